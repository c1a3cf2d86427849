"""The outbox's thread: it alone touches the file (`outbox_keeper.py`), and the loop never waits for it.

`keep` notes down and wakes the thread, which commits what has piled up at once: normally within a millisecond.
`forget` notes down only: what is forgotten before it was written is never written, and what is forgotten later is
deleted along with the next commit, or within a few seconds. A deletion that is lost costs a repetition.

Invariants: no method blocks but `open` and `close`; a flush is always answered, with False where the disk takes
nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from edgeagent.clock import Clock
from edgeagent.fleet.outbox_keeper import Keeper, OutboxView
from edgeagent.fleet.outbox_policy import Entry

_NS: Final = 1_000_000_000
_CLOSE_S: Final = 10.0


@dataclass
class _Mail:
    """What the loop has asked for since the thread last looked."""

    added: dict[int, Entry] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    flushes: list[Future[bool]] = field(default_factory=list)
    commits: list[Future[bool]] = field(default_factory=list)

    @property
    def urgent(self) -> bool:
        return bool(self.added or self.flushes or self.commits)


class Outbox:
    """The file behind the messages that wait. Opened once, closed once; everything else from any thread."""

    def __init__(self, path: Path, boot: str, clock: Clock) -> None:
        self._keeper = Keeper(path, boot, clock)
        self._clock = clock
        self._changed = threading.Condition()
        self._mail = _Mail()
        self._online = False
        self._ending = self._ended = False
        self._late: tuple[Entry, ...] = ()
        self._opened: Future[tuple[Entry, ...]] = Future()
        self._thread = threading.Thread(target=self._run, name="edgeagent-outbox", daemon=True)

    def open(self) -> tuple[Entry, ...]:
        """What an earlier run left, by number. Blocks while the file is read; a bad disk or file is no error."""
        self._thread.start()
        return self._opened.result()

    @property
    def loaded(self) -> bool:
        """Whether the file could be read; otherwise `take_late` brings its content one day."""
        return self._keeper.loaded

    def keep(self, entry: Entry) -> None:
        with self._changed:
            self._mail.added[entry.number] = entry
            self._changed.notify()

    def forget(self, number: int) -> None:
        """It has arrived, or was given up."""
        with self._changed:
            if self._mail.added.pop(number, None) is None:
                self._mail.removed.append(number)
                if len(self._mail.removed) == 1:
                    self._changed.notify()  # so that the thread knows of it; it is in no hurry

    def set_online(self, *, online: bool) -> None:
        """Whether the broker is there: without it, messages are brought onto the disk sooner."""
        with self._changed:
            self._online = online
            self._changed.notify()

    def flush(self) -> Future[bool]:
        """Done when all that was kept before is on the disk: safe from a power cut. False: it is in memory only."""
        return self._asked(lambda mail: mail.flushes)

    def committed(self) -> Future[bool]:
        """Done when all that was kept before is in the file: safe from any end of this process. False: it is not."""
        return self._asked(lambda mail: mail.commits)

    def _asked(self, queue: Callable[[_Mail], list[Future[bool]]]) -> Future[bool]:
        done: Future[bool] = Future()
        with self._changed:
            if self._ended:
                done.set_result(False)
            else:
                queue(self._mail).append(done)
                self._changed.notify()
        return done

    def view(self) -> OutboxView:
        if self._ended and not self._ending:
            return replace(self._keeper.view, on_disk=False, reason="the outbox's thread has ended, see the log")
        return self._keeper.view

    def take_late(self) -> tuple[Entry, ...]:
        """What an earlier run left and could be read only now."""
        with self._changed:
            late, self._late = self._late, ()
            return late

    def close(self) -> None:
        """Writes what is left and ends the thread. Blocks for that."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    # The thread's own.

    def _run(self) -> None:
        try:
            self._opened.set_result(self._keeper.open())
            while not self._ending:
                self._round(self._wait())
        finally:
            self._end()

    def _wait(self) -> _Mail:
        """Until there is something to do."""
        with self._changed:
            if not self._ending and not self._mail.urgent:
                left_s = (self._keeper.due_ns(online=self._online) - self._clock.monotonic_ns()) / _NS
                self._changed.wait(max(0.0, left_s))
            mail, self._mail = self._mail, _Mail()
            return mail

    def _round(self, mail: _Mail) -> None:
        done = False
        try:
            self._keeper.take(mail.added.values(), mail.removed)
            late = self._keeper.work(online=self._online, sync=bool(mail.flushes))
            with self._changed:
                self._late += late
            done = self._keeper.view.on_disk
        finally:
            for each in (*mail.flushes, *mail.commits):
                each.set_result(done)

    def _end(self) -> None:
        """The last round, whatever ended the others."""
        with self._changed:
            self._ended = True
            if not self._opened.done():
                self._opened.set_result(())
            mail, self._mail = self._mail, _Mail()
        self._round(mail)
        self._keeper.close()
