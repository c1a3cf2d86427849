"""The live table: draws at most four times a second, and at once after a key."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Console
from rich.live import Live

from edgeagent.console.device import Device
from edgeagent.console.fleet_book import FleetBook
from edgeagent.console.fleet_ear import FleetEar
from edgeagent.console.keys import Keyboard
from edgeagent.console.screen import Scene, draw, page_rows
from edgeagent.console.view import View, pick, press, scroll, total
from edgeagent.console.watch import read_mail

DRAW_S: Final = 0.25
REST: Final = 4
"""After a drawing comes a rest of so many times its length, so that a busy machine gets fewer of them."""
SWITCH_S: Final = 0.0002
"""The link's thread gives the interpreter away with each of its many short reads, and must soon get it back while a
drawing goes on: with Python's 5 ms it falls behind a thousand devices."""
LOOK_S: Final = 0.1
"""How often the mail is read: often in small heaps, so that no heap makes a key wait."""


@dataclass
class _Pace:
    """How many messages came a second, measured over a few seconds."""

    since_s: float
    received: int = 0
    rate: float = 0.0

    def update(self, received: int, now_s: float) -> float:
        if now_s - self.since_s >= 2.0:
            self.rate = (received - self.received) / (now_s - self.since_s)
            self.since_s, self.received = now_s, received
        return self.rate


class _Screen:
    """Draws, and remembers what a drawing leaves for the next one."""

    def __init__(self, live: Live, ear: FleetEar, book: FleetBook, broker: str) -> None:
        self._live = live
        self._ear = ear
        self._book = book
        self._broker = broker
        self._pace = _Pace(time.monotonic())
        self._seen: dict[str, int] = {}
        self._under = ""
        self.listed = 0

    def page(self, view: View) -> int:
        return page_rows(self._live.console.size.height, view)

    def draw(self, view: View) -> View:
        """Returns the view with cursor and page within what there is."""
        now_s = time.monotonic()
        devices = self._book.devices
        listed = pick(devices.values(), view, now_s)
        self.listed = len(listed)
        view = scroll(self._follow(view, listed), len(listed), self.page(view))
        self._under = listed[view.cursor].key if listed else ""
        scene = Scene(
            listed,
            total(devices.values(), now_s),
            view,
            f"{self._broker}  {self._pace.update(self._ear.mailbox.received, now_s):.0f} messages/s",
            _trouble(self._ear),
            now_s,
            one_fleet=len({device.fleet for device in devices.values()}) == 1,
            seen=self._seen,
        )
        width, height = self._live.console.size
        self._live.update(draw(scene, width, height), refresh=True)
        return view

    def _follow(self, view: View, listed: list[Device]) -> View:
        """While its detail is open the cursor stays on its device, wherever the order takes that."""
        if not view.detail or view.moved:
            return replace(view, moved=False)
        place = next((i for i, device in enumerate(listed) if device.key == self._under), view.cursor)
        return replace(view, cursor=place)


def show(ear: FleetEar, book: FleetBook, view: View, broker: str) -> int:
    """Until q. The terminal is as it was afterwards."""
    sys.setswitchinterval(SWITCH_S)
    with Keyboard() as keyboard, Live(console=Console(), screen=True, auto_refresh=False) as live:
        screen = _Screen(live, ear, book, broker)
        due_s = 0.0
        while not view.done:
            read_mail(ear, book, time.monotonic())
            if (begun_s := time.monotonic()) >= due_s:
                view = screen.draw(view)
                due_s = max(begun_s + DRAW_S, time.monotonic() + REST * (time.monotonic() - begun_s))
            for key in keyboard.wait(min(LOOK_S, max(0.0, due_s - time.monotonic()))):
                view = press(view, key, screen.listed, screen.page(view))
                due_s = 0.0
    return 0


def _trouble(ear: FleetEar) -> str:
    if ear.failure is not None:
        return f"no connection: {ear.failure.message}"
    return "" if ear.refused is None else f"the broker does not let us read {ear.refused[0]}"
