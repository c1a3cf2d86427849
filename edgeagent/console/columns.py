"""The table's columns: what each shows, how it sorts, and which go first where the terminal is narrow. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgeagent.console.device import ENGINE_RANK, STATE_RANK, Device

Value = Callable[[Device, float], float | None]
STYLES: Final = {
    "lost": "bold red",
    "degraded": "yellow",
    "?": "dim",
    "init": "cyan",
    "updating": "cyan",
    "stopping": "dim",
    "stopped": "dim",
    "ready": "green",
}
HOT_HEADROOM_C: Final = 5.0


@dataclass(frozen=True)
class Column:
    """`order` gives what sorts first: the worst or the largest.

    `width`: what it takes at most; the last one takes the rest. `need`: the terminal's least
    width for it.
    """

    name: str
    text: Callable[[Device, float], str]
    order: Callable[[Device, float], float]
    style: Callable[[Device, float], str]
    width: int
    need: int = 0
    right: bool = False


def age_text(age_s: float | None) -> str:
    """`0 s`, `59 s`, `12 min`, `3 h`, `4 d`."""
    if age_s is None:
        return "-"
    for unit, seconds, until in (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 172_800)):
        if age_s < until:
            return f"{age_s / seconds:.0f} {unit}"
    return f"{age_s / 86_400:.0f} d"


def _number(value_of: Value, digits: int) -> Callable[[Device, float], str]:
    def text(device: Device, now_s: float) -> str:
        value = value_of(device, now_s)
        return "-" if value is None else f"{value:.{digits}f}"

    return text


def _largest_of(value_of: Value) -> Callable[[Device, float], float]:
    """The largest first, the unknown last."""

    def order(device: Device, now_s: float) -> float:
        value = value_of(device, now_s)
        return float("inf") if value is None else -value

    return order


def _plain(device: Device, now_s: float) -> str:
    return ""


def _none(device: Device, now_s: float) -> float:
    """Sorts by its text."""
    return 0.0


def _engine_order(device: Device, now_s: float) -> float:
    ranks = [ENGINE_RANK.index(each.state) for each in device.engines.values()]
    return min(ranks, default=len(ENGINE_RANK))


def _engine_style(device: Device, now_s: float) -> str:
    words = {each.state for each in device.engines.values()}
    return "red" if "failed" in words else "cyan" if words - {"ready"} else "green"


def _temp_style(device: Device, now_s: float) -> str:
    headroom_c = device.headroom_c(now_s)
    return "" if headroom_c is None or headroom_c > HOT_HEADROOM_C else "bold red" if headroom_c <= 0 else "yellow"


def _config_style(device: Device, now_s: float) -> str:
    return {"trial": "cyan", "rejected": "red", "rolled_back": "red"}.get(
        device.config.state if device.config else "", ""
    )


def _state_order(device: Device, now_s: float) -> float:
    return STATE_RANK.index(device.state)


def _age(device: Device, now_s: float) -> str:
    return age_text(device.age_s(now_s))


COLUMNS: Final = (
    Column("device", lambda d, now: d.key, _none, lambda d, now: "bold", 36),
    Column("state", lambda d, now: d.state, _state_order, lambda d, now: STYLES[d.state], 9),
    Column("age", _age, _largest_of(Device.age_s), _plain, 6, 60, True),
    Column("temp C", _number(Device.temp_c, 0), _largest_of(Device.temp_c), _temp_style, 6, 0, True),
    Column("W", _number(Device.power_w, 1), _largest_of(Device.power_w), _plain, 5, 80, True),
    Column("fps", _number(Device.fps, 1), _largest_of(Device.fps), _plain, 6, 0, True),
    Column("engine", lambda d, now: d.engine, _engine_order, _engine_style, 22, 64),
    Column("alarms", lambda d, now: d.alarm, lambda d, now: -len(d.alarms), lambda d, now: "red", 24, 100),
    Column("config", lambda d, now: d.config_word, _none, _config_style, 15, 112),
    Column("module", lambda d, now: d.module, _none, _plain, 20, 132),
    Column("agent", lambda d, now: d.version, _none, _plain, 12, 150),
    Column("why", lambda d, now: d.reason, lambda d, now: float(not d.reason), _plain, 12, 76),
)
BY_NAME: Final = {column.name: column for column in COLUMNS}


def shown_columns(width: int) -> tuple[Column, ...]:
    """Those that a terminal of so many columns has room for."""
    return tuple(column for column in COLUMNS if width >= column.need)


def ordered(devices: list[Device], column: Column, now_s: float, *, reverse: bool = False) -> list[Device]:
    """Sorted by the column, then by name."""
    by_text = column.order is _none

    def order(device: Device) -> tuple[str, float, str]:
        return (column.text(device, now_s) if by_text else "", column.order(device, now_s), device.key)

    return sorted(devices, key=order, reverse=reverse)
