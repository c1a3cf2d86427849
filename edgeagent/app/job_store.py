"""The book of commands for the event loop: every call in a worker thread, and opened when it is first needed.

A disk that does not take it costs the commands, not the agent: each call tries again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from edgeagent.fleet.job_book import JobBook
from edgeagent.fleet.job_record import JobRecord
from edgeagent.fleet.job_verdict import SANE_MS

T = TypeVar("T")

LOST = "lost_ms"


class JobStore:
    """`on_problem` is told of a damaged file that was set aside. Every call may raise StoreError."""

    def __init__(self, path: Path, now_ms: Callable[[], int], on_problem: Callable[[str], None]) -> None:
        self._path = path
        self._now_ms = now_ms
        self._on_problem = on_problem
        self._book: JobBook | None = None
        self._opening = anyio.Lock()
        self._ended = anyio.Event()
        self.ends = 0  # commands that were written as ended

    async def find(self, job: str) -> JobRecord | None:
        return await self._call(lambda book: book.find(job))

    async def write(self, record: JobRecord) -> None:
        """On the disk when this returns, also where the caller is cancelled meanwhile."""
        with anyio.CancelScope(shield=True):
            await self._call(lambda book: book.write(record))
        if record.final:
            self.ends += 1
            self._ended.set()
            self._ended = anyio.Event()

    async def unfinished(self) -> list[JobRecord]:
        return await self._call(lambda book: book.unfinished())

    async def to_forget(self, newest: int, ended_before_ms: int) -> list[str]:
        return await self._call(lambda book: book.to_forget(newest, ended_before_ms))

    async def forgotten(self, jobs: list[str]) -> None:
        await self._call(lambda book: book.forgotten(jobs))

    async def lost_ms(self, now_ms: int) -> int | None:
        """When the memory of earlier commands was lost; None: never. A loss while the clock was wrong is dated when it
        is right: later than it was, which refuses more and not less."""
        noted = await self._call(lambda book: book.note(LOST))
        if noted is None:
            return None
        lost_ms = int(noted) if noted.isdecimal() else 0
        if lost_ms < SANE_MS <= now_ms:
            lost_ms = now_ms
            await self._call(lambda book: book.set_note(LOST, str(now_ms)))
        return lost_ms

    async def wait_for_ends(self, seen: int, most_s: float) -> None:
        """Until more commands have ended than `seen`, or so long."""
        with anyio.move_on_after(most_s):
            while self.ends == seen:
                await self._ended.wait()

    def close(self) -> None:
        if self._book is not None:
            self._book.close()
            self._book = None

    async def _call(self, call: Callable[[JobBook], T]) -> T:
        book = await self._open()
        return await anyio.to_thread.run_sync(call, book)

    async def _open(self) -> JobBook:
        async with self._opening:
            if self._book is None:
                self._book = await anyio.to_thread.run_sync(JobBook, self._path, self._now_ms)
                if self._book.problem:
                    self._on_problem(self._book.problem)
            return self._book
