"""What the outbox's tests share. No tests in here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from edgeagent.clock import ManualClock
from edgeagent.fleet.outbox_keeper import Keeper
from edgeagent.fleet.outbox_policy import Entry, Kind

BRANCH = "edgeagent/v1/lab/one/"
DAY_S = 86_400.0


def event(number: int, payload: bytes = b"{}", life_s: float | None = DAY_S, made_ns: int = 1_000_000_000) -> Entry:
    return Entry(number, Kind.EVENT, f"{BRANCH}e/test", payload, False, made_ns, 1_700_000_000_000, life_s)


def state(number: int, topic: str = "a/hot", payload: bytes = b"{}") -> Entry:
    return Entry(number, Kind.STATE, BRANCH + topic, payload, True, 1_000_000_000, 1_700_000_000_000)


def rows(path: Path) -> list[int]:
    """The numbers in the file, as another program reads them. Only while nobody has it open."""
    with closing(sqlite3.connect(path)) as db:
        return [number for (number,) in db.execute("SELECT number FROM waiting ORDER BY number")]


def keeper(path: Path, clock: ManualClock | None = None, boot: str = "boot1") -> Keeper:
    return Keeper(path, boot, clock or ManualClock())


def filled(path: Path, *entries: Entry, clock: ManualClock | None = None, boot: str = "boot1") -> None:
    """A file of an earlier run, closed in order."""
    one = keeper(path, clock, boot)
    one.open()
    one.take(entries, ())
    one.work(online=True)
    one.close()


def reopened(path: Path, clock: ManualClock | None = None, boot: str = "boot1") -> tuple[Entry, ...]:
    one = keeper(path, clock, boot)
    found = one.open()
    one.close()
    return found
