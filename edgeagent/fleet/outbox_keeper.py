"""Keeps the outbox's file as it should be, whatever happens to file and disk. For one thread, which may block.

It knows every row that should be there, so a new file can be written at any time: a damaged one is set aside and
replaced, and after a time without a disk (full, read only) what is missing is written. None of that is an error to
anybody else; `view` tells it.

Invariants: nothing but a bug raises; a row is deleted from the file only after it was forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from edgeagent.clock import Clock
from edgeagent.fleet.outbox_aside import put_in_order, remove_file, set_aside, take_place, waiting_name
from edgeagent.fleet.outbox_file import ROWS_AT_ONCE, Damaged, OutboxFile, salvage
from edgeagent.fleet.outbox_policy import Entry
from edgeagent.fleet.outbox_sync import SyncBook

_log = structlog.get_logger(__name__)
_NS: Final = 1_000_000_000
DELETE_WITHIN_S: Final = 5.0
RETRY_S: Final = 30.0
LASTED_S: Final = 60.0
"""How often it is written down that this boot still lasts, while something waits."""
LATE_BASE: Final = 1 << 40
"""Where the numbers of a run begin that could not read its file: what is read later gets numbers below."""
_NO_DISK: Final = (sqlite3.OperationalError, OSError)
_CONTENT: Final = (sqlite3.Error, Damaged)


@dataclass(frozen=True)
class OutboxView:
    """How the file is, for health and measurements. Counts are since the start."""

    on_disk: bool = False
    reason: str = ""
    """Why nothing is on the disk; empty while it is."""
    file_bytes: int = 0
    rows: int = 0
    set_aside: tuple[tuple[str, str], ...] = ()
    """Names of damaged files, each with what was wrong."""
    lost_rows: int = 0
    """Rows that could not be read any more."""
    commits: int = 0
    syncs: int = 0


class Keeper:
    """One file, from `open` to `close`."""

    def __init__(self, path: Path, boot: str, clock: Clock) -> None:
        self._path = path
        self._boot = boot
        self._clock = clock
        self._file: OutboxFile | None = None
        self._rows: dict[int, Entry] = {}
        self._added: dict[int, Entry] = {}
        self._removed: list[int] = []
        self._book = SyncBook()
        self._loaded = False
        self._retry_ns = self._wrote_ns = self._lasted_ns = 0  # `_lasted_ns`: when that is due
        self.view = OutboxView()

    def open(self) -> tuple[Entry, ...]:
        """What an earlier run left, by number; nothing where the file cannot be read now."""
        entries = self._guarded(self._load)
        self._loaded = entries is not None
        self._rows.update((entry.number, entry) for entry in entries or ())
        self._look()
        return entries or ()

    @property
    def loaded(self) -> bool:
        """Whether what an earlier run left has been read."""
        return self._loaded

    def take(self, added: Iterable[Entry], removed: Iterable[int]) -> None:
        """Notes how the file shall be. A row that is not written yet needs no deletion."""
        for entry in added:
            self._rows[entry.number] = entry
            if self._file is not None:  # otherwise what is missing is found out when there is a disk again
                self._added[entry.number] = entry
        for number in removed:
            self._rows.pop(number, None)
            self._book.gone(number)
            if self._added.pop(number, None) is None and self._file is not None:
                self._removed.append(number)

    def work(self, *, online: bool, sync: bool = False) -> tuple[Entry, ...]:
        """Does what is due, and syncs with `sync` in any case. Returns what an earlier run left, read late."""
        late: tuple[Entry, ...] = ()
        if self._file is None and self._clock.monotonic_ns() >= self._retry_ns:
            late = self._guarded(self._reopen) or ()
        elif self._file is not None:
            self._guarded(lambda: self._write(online=online, sync=sync))
        self._look()
        return late

    def due_ns(self, *, online: bool) -> int:
        """When `work` has to be called next, if nothing comes in."""
        now_ns = self._clock.monotonic_ns()
        if self._file is None:
            return self._retry_ns
        due = [self._lasted_ns if self._rows else now_ns + round(LASTED_S * _NS)]
        due += [now_ns] if self._added else []
        due += [self._wrote_ns + round(DELETE_WITHIN_S * _NS)] if self._removed else []
        sync_ns = self._book.due_ns(online=online)
        return min([*due, sync_ns] if sync_ns is not None else due)

    def close(self) -> None:
        """Writes what is left."""
        if self._file is not None:
            self._wrote_ns = -round(DELETE_WITHIN_S * _NS)  # deletions are due
            self._guarded(lambda: self._write(online=False, sync=bool(self._rows)))
        self._drop_file()

    def _write(self, *, online: bool, sync: bool) -> tuple[Entry, ...]:
        file, now_ns = self._opened(), self._clock.monotonic_ns()
        deleting = self._removed and now_ns >= self._wrote_ns + round(DELETE_WITHIN_S * _NS)
        lasting = self._rows and now_ns >= self._lasted_ns
        if self._added or deleting or lasting:
            self._commit(file, now_ns if lasting else None)
        sync_ns = self._book.due_ns(online=online)
        if sync or (sync_ns is not None and sync_ns <= now_ns):
            self._sync(file)
        if deleting and not self._rows:
            file.make_small()
        return ()

    def _commit(self, file: OutboxFile, lasted_ns: int | None) -> None:
        added = list(self._added.values())
        for start in range(0, len(added) or 1, ROWS_AT_ONCE):
            file.change(added[start : start + ROWS_AT_ONCE], () if start else self._removed, lasted_ns)
            self.view = replace(self.view, commits=self.view.commits + 1)
        self._wrote_ns = self._clock.monotonic_ns()
        if lasted_ns is not None:
            self._lasted_ns = lasted_ns + round(LASTED_S * _NS)
        self._book.committed(list(self._added), self._wrote_ns)
        self._added.clear()
        self._removed.clear()

    def _sync(self, file: OutboxFile) -> None:
        file.sync()
        self._book.synced(self._clock.monotonic_ns())
        self.view = replace(self.view, syncs=self.view.syncs + 1)

    # Opening, and what can go wrong.

    def _opened(self) -> OutboxFile:
        if self._file is None:
            self._file = OutboxFile(self._path, self._boot, self._clock.monotonic_ns())
        return self._file

    def _load(self) -> tuple[Entry, ...]:
        """Reads what is there. Of a damaged file what can still be read, into a new one."""
        self._put_in_order()
        try:
            loaded = self._opened().load(self._clock.monotonic_ns())
            if loaded.lost:
                raise Damaged(f"{loaded.lost} of its rows do not fit their checksums")
        except _NO_DISK:
            raise
        except _CONTENT as error:
            return self._rescue(str(error))
        return loaded.entries

    def _put_in_order(self) -> None:
        aside = put_in_order(self._path, self._clock.wall_ms())
        if aside is not None:
            self._tell_aside(aside, "its log was there without it")

    def _rescue(self, reason: str) -> tuple[Entry, ...]:
        self._drop_file()
        loaded = salvage(self._path, self._clock.monotonic_ns())
        self.view = replace(self.view, lost_rows=self.view.lost_rows + loaded.lost)
        self._rows.update((entry.number, entry) for entry in loaded.entries)
        self._guarded(lambda: self._replace(reason))  # if that fails, it is done when there is a disk again
        return loaded.entries

    def _replace(self, reason: str) -> tuple[Entry, ...]:
        """A new file with all rows in the place of the damaged one, which is set aside."""
        self._drop_file()
        waiting = waiting_name(self._path)
        remove_file(waiting)
        with closing(OutboxFile(waiting, self._boot, self._clock.monotonic_ns())) as new:
            new.reconcile(self._rows)
        aside = set_aside(self._path, self._clock.wall_ms())
        take_place(self._path)
        self._tell_aside(aside, reason)
        self._opened()
        return ()

    def _reopen(self) -> tuple[Entry, ...]:
        """After a time without a disk. What is in memory counts; what was never read is read now."""
        late: tuple[Entry, ...] = ()
        self._put_in_order()
        if not self._loaded:
            own = dict(self._rows)
            late = self._renumbered(self._load())
            self._rows = {**{entry.number: entry for entry in late}, **own}
            self._loaded = True
        return self._fill() or late

    def _renumbered(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Older than all that this run has made. In one transaction: they are in the file once, whatever happens."""
        below = LATE_BASE - len(entries)
        late = tuple(replace(entry, number=below + index) for index, entry in enumerate(entries))
        self._opened().change(late, [entry.number for entry in entries])
        return late

    def _fill(self) -> tuple[Entry, ...]:
        """Makes the file what it should be, on the disk."""
        self._opened().reconcile(self._rows)
        self._sync(self._opened())
        return ()

    def _guarded(self, work: Callable[[], tuple[Entry, ...]]) -> tuple[Entry, ...] | None:
        """Does the work; whatever is wrong with content or disk is dealt with here. None where it was not done."""
        try:
            try:
                return work()
            except _NO_DISK:
                raise
            except _CONTENT as error:
                self._replace(str(error))
        except (sqlite3.Error, OSError, Damaged) as error:
            self._without_disk(str(error))
        return None

    def _tell_aside(self, aside: Path, reason: str) -> None:
        self.view = replace(self.view, set_aside=(*self.view.set_aside, (aside.name, reason)))
        _log.error("outbox", state="damaged", reason=reason, set_aside=aside.name)

    def _without_disk(self, reason: str) -> None:
        self._drop_file()
        self._retry_ns = self._clock.monotonic_ns() + round(RETRY_S * _NS)
        if reason != self.view.reason:
            _log.error("outbox", state="in memory only", reason=reason, retry_s=RETRY_S)
        self.view = replace(self.view, on_disk=False, reason=reason)

    def _drop_file(self) -> None:
        file, self._file = self._file, None
        self._added.clear()
        self._removed.clear()
        if file is not None:
            with suppress(sqlite3.Error):
                file.close()

    def _look(self) -> None:
        file = self._file
        if file is None:
            self.view = replace(self.view, rows=len(self._rows), file_bytes=0)
            return
        if self.view.reason:
            _log.info("outbox", state="on disk again", rows=len(self._rows))
        self.view = replace(self.view, on_disk=True, reason="", rows=len(self._rows), file_bytes=file.size_bytes())
