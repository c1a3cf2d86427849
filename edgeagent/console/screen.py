"""The live table, drawn with rich: totals, the devices of the page, the one under the cursor, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from edgeagent.console.columns import STYLES, Column, age_text, shown_columns
from edgeagent.console.device import STALE_S, Device, clip
from edgeagent.console.lines import Lines, fit
from edgeagent.console.plain import totals_text
from edgeagent.console.view import Totals, View

HELP: Final = (
    ("arrows, PgUp, PgDn, Home, End", "move"),
    ("Enter", "more about the device under the cursor"),
    ("left, right (or S, s)", "sort by another column"),
    ("r", "the other way round"),
    ("t", "only devices with trouble"),
    ("/", "only devices with this text: name, state, module, alarm, reason; Enter ends, Esc forgets it"),
    ("Esc", "show all again"),
    ("q", "quit"),
)
_LEAST_LAST: Final = 6
_DETAIL_LINES: Final = 10


@dataclass(frozen=True)
class Scene:
    """All that is drawn: `listed` is what the filter leaves, in order; `line` is about the broker."""

    listed: Sequence[Device]
    totals: Totals
    view: View
    line: str
    trouble: str
    now_s: float
    one_fleet: bool = False
    seen: dict[str, int] = field(default_factory=dict)
    """The widest text of each column so far: columns may grow, and never jump back and forth."""


def page_rows(height: int, view: View) -> int:
    """How many devices fit on a terminal of that many lines."""
    below = _detail_lines(height) if view.detail else 0
    return max(1, height - 3 - below)


def _detail_lines(height: int) -> int:
    return min(_DETAIL_LINES, max(5, height // 2))


def draw(scene: Scene, width: int, height: int) -> RenderableType:
    view = scene.view
    rows = page_rows(height, view)
    if view.help:
        return Group(_top(scene), _help(width, height - 3), _bottom(scene, rows))
    parts: list[RenderableType] = [_top(scene), _table(scene, width, rows)]
    if view.detail and scene.listed:
        parts.append(_detail(scene.listed[min(view.cursor, len(scene.listed) - 1)], scene.now_s, _detail_lines(height)))
    return Group(*parts, _bottom(scene, rows))


def _top(scene: Scene) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(totals_text(scene.totals), style="bold")
    text.append(f"   {scene.line}", style="dim")
    if scene.trouble:
        text = Text.assemble((f"{scene.trouble}   ", "bold red"), text, no_wrap=True, overflow="ellipsis")
    return text


def _table(scene: Scene, width: int, rows: int) -> RenderableType:
    columns = shown_columns(width)
    top = scene.view.top
    shown = scene.listed[top : top + rows]
    texts = [[_text(column, device, scene) for column in columns] for device in shown]
    widths = _widths(scene, columns, texts, width)
    lines = [[_title(column, room, scene.view) for column, room in zip(columns, widths, strict=True)]]
    for place, (device, row) in enumerate(zip(shown, texts, strict=True), start=top):
        cells = zip(columns, widths, row, strict=True)
        under = place == scene.view.cursor
        lines.append(
            [(fit(text, room, right=c.right), _style(c, device, scene.now_s, under)) for c, room, text in cells]
        )
    if not shown:
        lines.append([(_nobody(scene), "dim")])
    return Lines(lines, rows + 1)


def _text(column: Column, device: Device, scene: Scene) -> str:
    return device.name if column.name == "device" and scene.one_fleet else column.text(device, scene.now_s)


def _widths(scene: Scene, columns: Sequence[Column], texts: Sequence[Sequence[str]], width: int) -> list[int]:
    """Each as wide as its texts, up to its most; the last one gets the rest."""
    for place, column in enumerate(columns):
        widest = max((len(row[place]) for row in texts), default=0)
        scene.seen[column.name] = max(widest, scene.seen.get(column.name, len(column.name) + 1))
    widths = [min(scene.seen[column.name], column.width) for column in columns]
    rest = width - sum(widths[:-1]) - len(widths)
    return [*widths[:-1], max(_LEAST_LAST, rest)]


def _title(column: Column, room: int, view: View) -> tuple[str, str]:
    mark = ("▲" if view.reverse else "▼") if column.name == view.sort else ""
    return fit(f"{column.name}{mark}", room, right=column.right), "bold underline" if mark else "underline"


def _style(column: Column, device: Device, now_s: float, under: bool) -> str:
    if under:
        return "reverse"  # without the colours: an empty cell would be a block of red
    if not device.present and column.name not in ("device", "state", "alarms", "why"):
        return "dim"
    return column.style(device, now_s)


def _nobody(scene: Scene) -> str:
    if scene.totals.devices == 0:
        return "no device has said anything yet: is this the fleet's broker?"
    return "no device fits the filter (Esc shows all)"


def _bottom(scene: Scene, rows: int) -> Text:
    view, count = scene.view, len(scene.listed)
    first, last = min(view.top + 1, count), min(view.top + rows, count)
    text = Text(no_wrap=True, overflow="ellipsis")
    if view.typing:
        text.append(f"only: {view.only}▏", style="bold")
        return text.append("  Enter ends, Esc forgets it", style="dim")
    text.append(f"{first}-{last} of {count}")
    if view.only:
        text.append(f"  only: {view.only}", style="yellow")
    if view.trouble:
        text.append("  only trouble", style="yellow")
    return text.append("   q quit  s sort  r reverse  t trouble  / filter  Enter detail  ? keys", style="dim")


def _help(width: int, height: int) -> Lines:
    keys = max(len(keys) for keys, _ in HELP)
    lines = [[(fit(each, keys), "bold"), (fit(what, width - keys - 2), "none")] for each, what in HELP]
    return Lines(lines[:height], height)


def _detail(device: Device, now_s: float, height: int) -> Panel:
    """What the row has no room for; at most as many lines as the page leaves."""
    lines = [_first_line(device, now_s), *_component_lines(device), *_pipeline_lines(device, now_s)]
    lines += [
        Text.assemble(
            (f"alarm {kind}  ", "red"), clip(alarm.text), f"  ({alarm.count} x)", no_wrap=True, overflow="ellipsis"
        )
        for kind, alarm in sorted(device.alarms.items())
    ]
    most = height - 2
    if len(lines) > most:
        lines = [*lines[: most - 1], Text(f"... and {len(lines) - most + 1} lines more", style="dim")]
    lines += [Text("")] * (most - len(lines))
    return Panel(Group(*lines), title=device.key, title_align="left", border_style="dim")


def _first_line(device: Device, now_s: float) -> Text:
    info, config = device.info, device.config
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(device.state, style=STYLES[device.state])
    text.append(f"  {device.reason}" if device.reason else "")
    if info is not None:
        text.append(
            f"  {clip(info.module.name)}, JetPack {clip(info.jetpack or '-')}, agent {clip(info.agent_version)}"
        )
        text.append(f", groups {', '.join(info.groups)}" if info.groups else "")
    if config is not None and config.reason:
        text.append(f"  config {device.config_word}: {clip(config.reason)}")
    age_s = device.age_s(now_s)
    heard = "not heard since this table is open" if age_s is None else f"heard {age_text(age_s)} ago"
    return text.append(f"  {heard}", style="dim")


def _component_lines(device: Device) -> list[Text]:
    parts = device.health.components if device.health is not None and device.present else ()
    wrong = [part for part in parts if part.health != "ok"]
    lines = [
        Text.assemble(
            (f"{clip(part.name)} {part.health}  ", STYLES.get(part.health, "red")),
            clip(part.reason),
            no_wrap=True,
            overflow="ellipsis",
        )
        for part in wrong
    ]
    return lines if wrong or not parts else [Text(f"every component is well ({len(parts)})", style="green")]


def _pipeline_lines(device: Device, now_s: float) -> list[Text]:
    lines = []
    for name, engine in sorted(device.engines.items()):
        words = f"{name}: {_speed(device, name, now_s)}engine {engine.state}"
        words += f" on {engine.accelerator}" if engine.accelerator and engine.state == "ready" else ""
        words += "" if engine.state == "ready" else f" {engine.percent:.0f}% {clip(engine.phase or engine.reason)}"
        lines.append(Text(words, no_wrap=True, overflow="ellipsis"))
    return lines


def _speed(device: Device, pipeline: str, now_s: float) -> str:
    sums = [s for (_, name), s in device.summaries.items() if name == pipeline and now_s - s.at_s <= STALE_S]
    if not sums:
        return ""
    p95_ms = max(each.lat_p95_ms or 0.0 for each in sums)
    return f"{sum(each.fps for each in sums):.1f} fps, p95 {p95_ms:.0f} ms, "
