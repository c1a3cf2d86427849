"""The demo's terminal view: everything on it came over MQTT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgeagent.fleet.states import PowerInfo
from edgeagent.simulate.demo_state import DemoState

HEALTH_STYLES = {"ok": "green", "ready": "green", "degraded": "yellow", "failed": "red", "lost": "red", "init": "cyan"}
LEVELS = ("nominal", "warm", "hot", "critical")
LEVEL_STYLES = {"nominal": "green", "warm": "yellow", "hot": "red", "critical": "bold red"}
SHOWN_DETECTIONS = 6
SHOWN_TOPICS = 12
WIDE_COLUMNS = 110
TALL_ROWS = 40


@dataclass(frozen=True)
class Surroundings:
    """What the view shows that is not a message: where to look and what was asked for."""

    watch: str
    source: str
    broker: str


def draw(state: DemoState, around: Surroundings, elapsed_s: float, width: int, height: int) -> Panel:
    """The whole view as one renderable for a terminal of that many columns and rows; small ones get less of it."""
    hint = Text.assemble(("watch it  ", "dim"), (around.watch, "bold"), "\n", ("stop      ", "dim"), "Ctrl-C")
    title = f"edgeagent demo · {around.source} · {around.broker} · {elapsed_s:.0f} s"
    body = _wide(state, height) if width >= WIDE_COLUMNS else _narrow(state, height)
    return Panel(Group(body, hint), title=title, border_style="cyan")


def _wide(state: DemoState, height: int) -> Table:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(_board(state), _loop(state))
    grid.add_row(_engine(state), _health(state))
    if height >= TALL_ROWS:
        grid.add_row(_detections(state), _topics(state))
    return grid


def _narrow(state: DemoState, height: int) -> Table:
    grid = Table.grid(expand=True)
    panels = [_loop, _engine, _health, _board, _detections]
    for panel in panels if height >= TALL_ROWS else panels[:2]:
        grid.add_row(panel(state))
    return grid


def _pairs(title: str, rows: list[tuple[str, Any]]) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value if isinstance(value, (Text, ProgressBar)) else str(value))
    return Panel(table, title=title, title_align="left", border_style="dim")


def _number(value: float | None, unit: str, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}"


def _board(state: DemoState) -> Panel:
    info = state.info
    rows: list[tuple[str, Any]] = [
        ("module", info.module.name if info else "..."),
        ("mode", _power(info.power) if info and info.power else "..."),
        ("JetPack", f"{info.jetpack or '-'} (L4T {info.l4t or '-'})" if info else "..."),
        ("hottest", _number(state.number("thermal", "temp_max_c"), "C")),
        ("headroom", _headroom(state)),
        ("power", _number(state.number("power", "power_total_w"), "W")),
        ("cpu", f"{_number(state.number('cpu', 'percent'), '%', 0)}   fan {_fan(state)}"),
        ("memory", f"{_number(state.number('memory', 'available_mb'), 'MB free', 0)}"),
    ]
    return _pairs("board", rows)


def _headroom(state: DemoState) -> Text:
    """How far it is to throttling, how the governor calls that, and where it holds a board while it builds."""
    level = state.number("governor", "level")
    text = Text(f"{_number(state.number('thermal', 'headroom_c'), 'C')} to throttling")
    if level is not None:
        name = LEVELS[min(len(LEVELS) - 1, max(0, int(level)))]
        text.append(f"  {name}", style=LEVEL_STYLES[name])
    if state.steered:
        text.append(f"  held at {_number(state.number('governor', 'set_point_c'), 'C', 0)}", style="dim")
    return text


def _power(power: PowerInfo) -> str:
    """`25W (balanced)`; what is wrong, where something is."""
    if power.state in ("applied", "unverified"):
        return f"{power.mode} ({power.intent})"
    return f"{power.intent or 'as it was'}: {power.state.replace('_', ' ')}"


def _fan(state: DemoState) -> str:
    return _number(state.number("fan", "percent"), "%", 0)


def _loop(state: DemoState) -> Panel:
    summary, camera, agent = state.summary, state.camera, state.agent
    latency = "-"
    if summary and summary.lat_p50_ms is not None:
        latency = f"{summary.lat_p50_ms:.1f} / {summary.lat_p95_ms or 0:.1f} / {summary.lat_p99_ms or 0:.1f} ms"
    rows: list[tuple[str, Any]] = [
        ("camera", f"{camera.state}, {camera.fps:.1f} fps" if camera else "..."),
        (
            "results",
            f"{summary.fps:.1f} a second, {state.tally.results} in all" if summary else "waiting for the engine",
        ),
        ("latency", f"{latency}  (p50 / p95 / p99, capture to publish)"),
        ("engine", _number(summary.engine_ms if summary else None, "ms a frame")),
        ("dropped", f"{state.dropped} frames"),
        *_shed(state),
        ("agent", f"{agent.rss_mb:.0f} MB, {agent.cpu_percent:.1f} % of a core" if agent else "..."),
    ]
    return _pairs("loop", rows)


def _shed(state: DemoState) -> list[tuple[str, Any]]:
    """What the pipeline gives up because the board must do less, while it does."""
    shedding = state.shedding
    if shedding is None or shedding.state == "full":
        return []
    return [("shed", f"{', '.join(shedding.steps)}: {shedding.reason} ({state.shed} frames)")]


def _engine(state: DemoState) -> Panel:
    engine = state.engine
    if engine is None:
        return _pairs("engine", [("state", "...")])
    rows: list[tuple[str, Any]] = [("state", engine.state), ("key", (engine.key or "-")[:12])]
    if engine.state == "ready":
        origin = "from the store" if engine.from_store else "built now"
        rows.append(
            ("origin", f"{origin}, {engine.precision} on {engine.backend}, built in {engine.build_s or 0:.1f} s")
        )
        rows.append(("agreement", f"{engine.agreement:.3f} with FP32" if engine.agreement is not None else "-"))
    else:
        rows.append(("progress", ProgressBar(total=100, completed=engine.percent, width=30)))
        eta = f", about {engine.eta_s:.0f} s left" if engine.eta_s else ""
        rows.append(("phase", f"{engine.phase or engine.reason}{eta}"))
        if state.steered and engine.duty is not None:
            rows.append(("pace", ProgressBar(total=100, completed=100 * engine.duty, width=30)))
            rows.append(("", Text(f"{100 * engine.duty:.0f} %: {engine.reason}", style="yellow")))
    return _pairs("engine", rows)


def _health(state: DemoState) -> Panel:
    word = state.status.state if state.status else "..."
    rows: list[tuple[str, Any]] = [("status", Text(word, style=HEALTH_STYLES.get(word, "")))]
    for component in state.health.components if state.health else ():
        text = Text(component.health, style=HEALTH_STYLES.get(component.health, ""))
        if component.reason:
            text.append(f"  {component.reason}", style="dim")
        rows.append((component.name, text))
    rows.extend((f"alarm {alarm.type}", Text(alarm.text, style="red")) for alarm in state.alarms.values())
    return _pairs("health", rows)


def _detections(state: DemoState) -> Panel:
    result = state.result
    if result is None:
        return _pairs("detections", [("", "none yet")])
    rows: list[tuple[str, Any]] = [("frame", f"{result.frame}, {len(result.detections)} detections")]
    for found in result.detections[:SHOWN_DETECTIONS]:
        x1, y1, x2, y2 = found.box
        rows.append((found.class_, f"{found.score:.2f}  ({x1:.0f}, {y1:.0f}) to ({x2:.0f}, {y2:.0f})"))
    return _pairs("detections", rows)


def _topics(state: DemoState) -> Panel:
    branch = next((topic for topic in state.topics if topic.endswith("/status")), "").removesuffix("status")
    rows: list[tuple[str, Any]] = [("under", branch or "...")]
    for topic, count in sorted(state.topics.items())[:SHOWN_TOPICS]:
        rows.append((topic.removeprefix(branch), f"{count}"))
    return _pairs("MQTT topics", rows)


def plain_line(state: DemoState) -> str | None:
    """One line for a log instead of a screen: what is going on now. The same state gives the same line."""
    engine = state.engine
    if state.tally.results:
        return None
    if engine is not None and engine.state not in ("ready", "failed"):
        return f"engine: {engine.state}, {engine.percent // 10 * 10:.0f} %{_plain_pace(state)}"
    if engine is not None and engine.state == "failed":
        return f"engine: failed: {engine.reason}"
    return f"engine: ready, {(engine.key or '')[:12]}" if engine is not None else None


def _plain_pace(state: DemoState) -> str:
    """In tens, so that a log gets few lines; the level, and what the pace is for."""
    if not state.steered or state.engine is None or state.engine.duty is None:
        return ""
    hottest = _number(state.number("thermal", "temp_max_c"), "C", 0)
    # of the reason only what it is about: its numbers change from word to word
    why = ", ".join(filter(None, [state.engine.level, state.engine.reason.partition(" is ")[0]]))
    return f", at {10 * round(10 * state.engine.duty)} % pace, hottest {hottest}" + (f" ({why})" if why else "")
