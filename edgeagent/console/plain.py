"""The fleet without a terminal's help: a table in plain text, a line for each change, an object for scripts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.console.columns import COLUMNS, Column
from edgeagent.console.device import Device
from edgeagent.console.view import Totals

PLAIN_COLUMNS = tuple(column for column in COLUMNS if column.name != "age")


@dataclass(frozen=True)
class Headline:
    """What of a device is worth a line when it changes."""

    state: str = ""
    reason: str = ""
    engine: str = ""
    alarm: str = ""
    config: str = ""


def headline(device: Device) -> Headline:
    words = {each.state for each in device.engines.values()}
    engine = device.engine if words == {"ready"} else ", ".join(sorted(words))  # not every percent
    return Headline(device.state, device.reason, engine, device.alarm, device.config_word)


def news(before: Headline, device: Device) -> str | None:
    """One line for what has changed; None when nothing has."""
    now = headline(device)
    if now == before:
        return None
    parts = [_change("", before.state, now.state)] if now.state != before.state else [now.state]
    if now.reason and (now.reason != before.reason or now.state != before.state):
        parts[0] += f" ({now.reason})"
    for name in ("engine", "alarm", "config"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            parts.append(_change(name, old, new))
    return f"{device.key}: {'; '.join(parts)}"


def _change(name: str, old: str, new: str) -> str:
    text = f"{old} -> {new or 'none'}" if old else new or "none"
    return f"{name} {text}" if name else text


def table(devices: Sequence[Device], now_s: float, columns: Sequence[Column] = PLAIN_COLUMNS) -> str:
    """Text in columns as wide as they must be."""
    rows = [[column.text(device, now_s) or "-" for column in columns] for device in devices]
    widths = [max(len(column.name), *(len(row[i]) for row in rows), 0) for i, column in enumerate(columns)]
    lines = [[column.name for column in columns], *rows]
    return "\n".join(_line(line, widths, columns) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    padded = (
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, width, column in zip(cells, widths, columns, strict=True)
    )
    return "  ".join(padded).rstrip()


def totals_text(totals: Totals) -> str:
    """`1000 devices: 880 ready, 30 lost · 24501 fps · 11.2 kW · 4 alarms · 2 building`."""
    states = ", ".join(f"{count} {state}" for state, count in totals.states)
    power = f"{totals.power_w / 1000:.2f} kW" if totals.power_w >= 1000 else f"{totals.power_w:.0f} W"
    alarms = f"{totals.alarms} alarm{'' if totals.alarms == 1 else 's'}"
    devices = f"{totals.devices} device{'' if totals.devices == 1 else 's'}"
    return " · ".join(
        (f"{devices}: {states or 'none'}", f"{totals.fps:.0f} fps", power, alarms, f"{totals.building} building")
    )


def facts(device: Device, now_s: float) -> dict[str, object]:
    """The row for a script: stable keys, null where nothing is known."""
    config = device.config
    return {
        "fleet": device.fleet,
        "device": device.name,
        "state": device.state,
        "reason": device.reason,
        "trouble": device.trouble,
        "age_s": _rounded(device.age_s(now_s)),
        "module": device.module or None,
        "agent_version": device.version or None,
        "temp_c": _rounded(device.temp_c(now_s)),
        "headroom_c": _rounded(device.headroom_c(now_s)),
        "power_w": _rounded(device.power_w(now_s)),
        "fps": _rounded(device.fps(now_s)),
        "pipelines": {f"{cam}/{pipe}": round(each.fps, 2) for (cam, pipe), each in sorted(device.summaries.items())},
        "engines": {
            name: {"state": e.state, "percent": e.percent, "accelerator": e.accelerator}
            for name, e in sorted(device.engines.items())
        },
        "alarms": {kind: {"severity": a.severity, "text": a.text} for kind, a in sorted(device.alarms.items())},
        "config": None if config is None else {"version": config.version, "state": config.state},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
