"""The live table: draws at most four times a second, and at once after a key."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.live import Live

from edgeagent.console.fleet_book import FleetBook
from edgeagent.console.fleet_ear import FleetEar
from edgeagent.console.keys import Keyboard
from edgeagent.console.screen import Scene, draw, page_rows
from edgeagent.console.view import View, pick, press, scroll, total
from edgeagent.console.watch import read_mail

DRAW_S: Final = 0.5
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


def show(ear: FleetEar, book: FleetBook, view: View, broker: str) -> int:
    """Until q. The terminal is as it was afterwards."""
    console = Console()
    pace = _Pace(time.monotonic())
    with Keyboard() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        due_s = 0.0
        while not view.done:
            now_s = time.monotonic()
            read_mail(ear, book, now_s)
            if now_s >= due_s:
                view = _draw(
                    live, ear, book, view, f"{broker}  {pace.update(ear.mailbox.received, now_s):.0f} messages/s"
                )
                due_s = time.monotonic() + DRAW_S
            for key in keyboard.wait(min(LOOK_S, max(0.0, due_s - time.monotonic()))):
                view = press(view, key, _listed(book, view, now_s), page_rows(console.size.height, view))
                due_s = 0.0
    return 0


def _listed(book: FleetBook, view: View, now_s: float) -> int:
    return len(pick(book.devices.values(), view, now_s)) if view.only or view.trouble else len(book.devices)


def _draw(live: Live, ear: FleetEar, book: FleetBook, view: View, line: str) -> View:
    """Returns the view with cursor and page within what there is."""
    now_s = time.monotonic()
    width, height = live.console.size
    listed = pick(book.devices.values(), view, now_s)
    view = scroll(view, len(listed), page_rows(height, view))
    scene = Scene(listed, total(book.devices.values(), now_s), view, line, _trouble(ear), now_s)
    live.update(draw(scene, width, height), refresh=True)
    return view


def _trouble(ear: FleetEar) -> str:
    if ear.failure is not None:
        return f"no connection: {ear.failure.message}"
    return "" if ear.refused is None else f"the broker does not let us read {ear.refused[0]}"
