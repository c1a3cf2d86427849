"""The live table, drawn with rich: totals, the devices of the page, the one under the cursor, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgeagent.console.columns import STYLES, Column, age_text, shown_columns
from edgeagent.console.device import Device, clip
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
_LEAST_WHY: Final = 12
_DETAIL_LINES: Final = 14


@dataclass(frozen=True)
class Scene:
    """All that is drawn: `listed` is what the filter leaves, in order; `line` is about the broker."""

    listed: Sequence[Device]
    totals: Totals
    view: View
    line: str
    trouble: str
    now_s: float


def page_rows(height: int, view: View) -> int:
    """How many devices fit on a terminal of that many lines."""
    below = len(HELP) + 2 if view.help else _DETAIL_LINES if view.detail else 0
    return max(1, height - 4 - below)


def draw(scene: Scene, width: int, height: int) -> RenderableType:
    view = scene.view
    rows = page_rows(height, view)
    parts: list[RenderableType] = [_top(scene), _table(scene, width, rows)]
    if view.help:
        parts.append(_help())
    elif view.detail and scene.listed:
        parts.append(_detail(scene.listed[min(view.cursor, len(scene.listed) - 1)], scene.now_s))
    parts.append(_bottom(scene, rows))
    return Group(*parts)


def _top(scene: Scene) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(totals_text(scene.totals), style="bold")
    text.append(f"   {scene.line}", style="dim")
    if scene.trouble:
        text = Text.assemble((f"{scene.trouble}   ", "bold red"), text, no_wrap=True, overflow="ellipsis")
    return text


def _table(scene: Scene, width: int, rows: int) -> RenderableType:
    columns = shown_columns(width)
    grid = Table.grid(padding=(0, 1), expand=False)
    for column, room in zip(columns, _widths(columns, width), strict=True):
        grid.add_column(justify="right" if column.right else "left", width=room, no_wrap=True, overflow="ellipsis")
    grid.add_row(*(_title(column, scene.view) for column in columns))
    top = scene.view.top
    shown = scene.listed[top : top + rows]
    for place, device in enumerate(shown, start=top):
        style = "reverse" if place == scene.view.cursor else ""
        grid.add_row(*(_cell(column, device, scene.now_s) for column in columns), style=style)
    if not shown:
        return Group(grid, Text(_nobody(scene), style="dim"), *(Text("") for _ in range(rows - 1)))
    return Group(grid, *(Text("") for _ in range(rows - len(shown))))


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """The fixed widths, and the rest for `why` and, where it is long, for the device's name."""
    used = sum(column.width + 1 for column in columns)
    spare = max(0, width - used)
    name = min(spare // 3, 12)
    return [
        c.width + (name if c.name == "device" else spare - name if c.name == columns[-1].name else 0) for c in columns
    ]


def _title(column: Column, view: View) -> Text:
    sorted_by = column.name == view.sort
    mark = ("▲" if view.reverse else "▼") if sorted_by else ""
    return Text(f"{column.name}{mark}", style="bold underline" if sorted_by else "underline")


def _cell(column: Column, device: Device, now_s: float) -> Text:
    away = "dim" if not device.present and column.name not in ("device", "state", "alarms", "why") else ""
    return Text(
        column.text(device, now_s), style=away or column.style(device, now_s), no_wrap=True, overflow="ellipsis"
    )


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


def _help() -> Panel:
    grid = Table.grid(padding=(0, 2))
    for keys, what in HELP:
        grid.add_row(Text(keys, style="bold"), what)
    return Panel(grid, title="keys", title_align="left", border_style="dim")


def _detail(device: Device, now_s: float) -> Panel:
    """What the row has no room for; at most as many lines as the page leaves."""
    lines = [_first_line(device, now_s), *_component_lines(device), *_pipeline_lines(device, now_s)]
    lines += [
        Text.assemble(
            (f"alarm {kind}  ", "red"), clip(alarm.text), f"  ({alarm.count} x)", no_wrap=True, overflow="ellipsis"
        )
        for kind, alarm in sorted(device.alarms.items())
    ]
    most = _DETAIL_LINES - 2
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
    return text.append(f"  last heard {age_text(device.age_s(now_s))} ago", style="dim")


def _component_lines(device: Device) -> list[Text]:
    parts = device.health.components if device.health is not None else ()
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
    return lines if wrong or not parts else [Text(f"{len(parts)} components, all well", style="green")]


def _pipeline_lines(device: Device, now_s: float) -> list[Text]:
    lines = []
    for name, engine in sorted(device.engines.items()):
        sums = [each for (_, pipeline), each in device.summaries.items() if pipeline == name]
        fps = sum(each.fps for each in sums)
        p95 = max((each.lat_p95_ms or 0.0 for each in sums), default=0.0)
        words = f"{name}: {fps:.1f} fps, p95 {p95:.0f} ms, engine {engine.state}"
        words += "" if engine.state == "ready" else f" {engine.percent:.0f}% {clip(engine.phase or engine.reason)}"
        lines.append(Text(words, no_wrap=True, overflow="ellipsis"))
    return lines
