"""What of the fleet is on the screen: order, filter, cursor and page, and what each key does to them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from edgeagent.console.columns import BY_NAME, COLUMNS, ordered
from edgeagent.console.device import Device

SORTS: Final = tuple(column.name for column in COLUMNS)
_MOST_TYPED: Final = 60


@dataclass(frozen=True)
class View:
    """`cursor` is a place in the list of what is shown, `top` the first row on the screen. `typing`: keys go into the
    filter's text. `moved`: the cursor was, since the last drawing."""

    sort: str = "device"
    reverse: bool = False
    only: str = ""
    trouble: bool = False
    cursor: int = 0
    top: int = 0
    typing: bool = False
    detail: bool = False
    help: bool = False
    moved: bool = False
    done: bool = False


@dataclass(frozen=True)
class Totals:
    """Of all devices of the broker, whatever is shown."""

    states: tuple[tuple[str, int], ...]
    devices: int
    fps: float
    power_w: float
    alarms: int
    building: int


def pick(devices: Iterable[Device], view: View, now_s: float) -> list[Device]:
    """The devices that the filter leaves, in order."""
    words = view.only.lower().split()
    left = [d for d in devices if (not view.trouble or d.trouble) and _fits(d, words)]
    return ordered(left, BY_NAME[view.sort], now_s, reverse=view.reverse)


def _fits(device: Device, words: list[str]) -> bool:
    if not words:
        return True
    text = device.text()
    return all(word in text for word in words)


def total(devices: Iterable[Device], now_s: float) -> Totals:
    listed = list(devices)
    states = Counter(device.state for device in listed)
    return Totals(
        states=tuple(states.most_common()),
        devices=len(listed),
        fps=sum(device.fps(now_s) or 0.0 for device in listed),
        power_w=sum(device.power_w(now_s) or 0.0 for device in listed),
        alarms=sum(len(device.alarms) for device in listed),
        building=sum(device.engine.startswith("building") for device in listed),
    )


def press(view: View, key: str, count: int, page: int) -> View:
    """The view after a key: `count` devices are listed, `page` rows fit. Unknown keys do nothing."""
    if view.typing:
        return _typed(view, key)
    if key in _MOVES:
        return scroll(replace(view, cursor=view.cursor + _MOVES[key](count, page), moved=True), count, page)
    return _command(view, key)


def scroll(view: View, count: int, page: int) -> View:
    """Cursor and page within what there is."""
    cursor = max(0, min(view.cursor, count - 1))
    top = min(max(view.top, cursor - page + 1), cursor)
    return replace(view, cursor=cursor, top=max(0, min(top, count - page)))


_MOVES: Final[dict[str, Callable[[int, int], int]]] = {
    "up": lambda count, page: -1,
    "k": lambda count, page: -1,
    "down": lambda count, page: 1,
    "j": lambda count, page: 1,
    "pgup": lambda count, page: -page,
    "pgdn": lambda count, page: page,
    " ": lambda count, page: page,
    "home": lambda count, page: -count,
    "g": lambda count, page: -count,
    "end": lambda count, page: count,
    "G": lambda count, page: count,
}


def _command(view: View, key: str) -> View:
    change = _COMMANDS.get(key)
    return view if change is None else change(view)


def _sorted_by(view: View, step: int) -> View:
    return replace(view, sort=SORTS[(SORTS.index(view.sort) + step) % len(SORTS)], reverse=False, cursor=0, top=0)


def _typed(view: View, key: str) -> View:
    """A key while the filter is written."""
    match key:
        case "enter":
            return replace(view, typing=False)
        case "esc":
            return replace(view, typing=False, only="")
        case "backspace":
            return replace(view, only=view.only[:-1], cursor=0, top=0)
    if len(key) == 1 and key.isprintable() and len(view.only) < _MOST_TYPED:
        return replace(view, only=view.only + key, cursor=0, top=0)
    return view


_COMMANDS: Final[dict[str, Callable[[View], View]]] = {
    "q": lambda view: replace(view, done=True),
    "s": lambda view: _sorted_by(view, 1),
    "right": lambda view: _sorted_by(view, 1),
    "S": lambda view: _sorted_by(view, -1),
    "left": lambda view: _sorted_by(view, -1),
    "r": lambda view: replace(view, reverse=not view.reverse),
    "t": lambda view: replace(view, trouble=not view.trouble, cursor=0, top=0),
    "/": lambda view: replace(view, typing=True),
    "enter": lambda view: replace(view, detail=not view.detail),
    "?": lambda view: replace(view, help=not view.help),
    "esc": lambda view: replace(view, only="", trouble=False, detail=False, help=False),
}
