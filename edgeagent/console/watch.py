"""`edgeagent fleet watch`: the ear fills a mailbox, the book reads it, and a table, lines or JSON show it.

Everything that costs time happens on this one thread, between two looks at the keyboard; so a key never waits for more
than one drawing.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from edgeagent.console.broker import Address
from edgeagent.console.fleet_book import FleetBook
from edgeagent.console.fleet_ear import FleetEar
from edgeagent.console.plain import Headline, facts, headline, news, table, totals_text
from edgeagent.console.view import View, pick, total

MOST_AT_ONCE: Final = 2000
TICK_S: Final = 0.1
RELEASES: Final = Path("/opt/edgeagent/releases")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """`fleet` None: all fleets of the broker. `once`: look for at most `wait_s`, print and end."""

    address: Address
    fleet: str | None
    view: View
    as_json: bool = False
    once: bool = False
    plain: bool = False
    wait_s: float = 3.0


def run_watch(wish: Wish, say: Say) -> int:
    """Until q, Ctrl-C or, with `once`, until the table is printed. Raises LinkError."""
    ear, book = FleetEar(wish.address, wish.fleet), FleetBook()
    ear.start()
    try:
        if wish.once:
            return _once(ear, book, wish, say)
        if not (wish.as_json or wish.plain) and _can_draw():
            from edgeagent.console.watch_screen import show

            return show(ear, book, wish.view, f"{wish.address.broker}")
        return _lines(ear, book, wish, say)
    finally:
        ear.stop()


def _can_draw() -> bool:
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        return False
    if importlib.util.find_spec("rich") is None:
        sys.stderr.write(f"edgeagent: lines instead of a table ({without_rich(Path(sys.prefix))})\n")
        return False
    return True


def without_rich(environment: Path, releases: Path = RELEASES) -> str:
    """What to do about it, by whose environment Python runs in: the installer's releases are never changed."""
    if releases in environment.resolve().parents:
        elsewhere = "from another machine, where pip install 'edgeagent[demo]' brings it"
        return f"a device's release has no rich and is never changed: add --once, or watch {elsewhere}"
    return "pip install 'edgeagent[demo]' brings rich"


def read_mail(ear: FleetEar, book: FleetBook, now_s: float) -> int:
    """Take in what has come, and ask on. How many messages it was."""
    letters = ear.mailbox.take(MOST_AT_ONCE)
    for letter in letters:
        book.take(letter.topic, letter.payload, now_s, retained=letter.retained)
    ear.mind(now_s)
    return len(letters)


def _read_news(ear: FleetEar, book: FleetBook, now_s: float) -> dict[str, Headline]:
    """The same; the devices that it is about, each as it was before."""
    before: dict[str, Headline] = {}
    for letter in ear.mailbox.take(MOST_AT_ONCE):
        key = "/".join(letter.topic.split("/", 4)[2:4])
        if key not in before:
            known = book.devices.get(key)
            before[key] = Headline() if known is None else headline(known)
        book.take(letter.topic, letter.payload, now_s, retained=letter.retained)
    ear.mind(now_s)
    return before


def _once(ear: FleetEar, book: FleetBook, wish: Wish, say: Say) -> int:
    """Everything that the broker keeps, and a number of each device that is there, if it comes in time."""
    until_s = time.monotonic() + wish.wait_s
    while (now_s := time.monotonic()) < until_s:
        settled = ear.settled
        count = read_mail(ear, book, now_s)
        if settled and count < MOST_AT_ONCE and book.devices and not _expects_numbers(book):
            break  # all that the broker keeps was in the mail
        if not count:
            time.sleep(0.02)
    devices = pick(book.devices.values(), wish.view, now_s)
    if wish.as_json:
        say(json.dumps([facts(device, now_s) for device in devices], indent=1))
    else:
        say(table(devices, now_s))
        say(totals_text(total(book.devices.values(), now_s)))
    return 0


def _expects_numbers(book: FleetBook) -> bool:
    return any(d.present and (d.thermal is None or (d.engines and not d.summaries)) for d in book.devices.values())


def _lines(ear: FleetEar, book: FleetBook, wish: Wish, say: Say) -> int:
    """A line for each change, until somebody ends it. What goes on and on is told apart by `age_s` in JSON only."""
    told = ""
    while True:
        now_s = time.monotonic()
        before = _read_news(ear, book, now_s)
        for key, headline_before in before.items():
            _tell(book, key, headline_before, wish, say, now_s)
        told = _tell_link(ear, told)
        if not before:
            time.sleep(TICK_S)


def _tell(book: FleetBook, key: str, before: Headline, wish: Wish, say: Say, now_s: float) -> None:
    device = book.devices.get(key)
    if device is None or not pick([device], wish.view, now_s):
        return
    line = news(before, device)
    if line is not None:
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        say(json.dumps(facts(device, now_s)) if wish.as_json else f"{clock} {line}")


def _tell_link(ear: FleetEar, told: str) -> str:
    line = "" if ear.failure is None else ear.failure.line()
    if line != told:
        sys.stderr.write(f"edgeagent: {line or 'connected again'}\n")
    return line
