"""The board as a build needs to know it: memory, disk, throttling, kills for want of memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from edgeagent.board.reading import Reading
from edgeagent.engine.build.gate import Have
from edgeagent.engine.build.messages import Conditions


class Surroundings:
    """The newest reading, and what has happened since a build began. For the event loop only."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._reading: Reading | None = None
        self._oom_kills_before: int | None = None
        self._tell: Callable[[Conditions], None] | None = None

    def look(self, reading: Reading) -> None:
        """Take a sample of the board; a running build is told of it."""
        self._reading = reading
        if self._tell is not None:
            self._tell(Conditions(throttled=reading.throttling, memory_available_mb=self.have().memory_available_mb))

    def begin(self, tell: Callable[[Conditions], None]) -> None:
        """A build starts; `tell` hands it a message."""
        self._tell = tell
        self._oom_kills_before = self._reading.memory.oom_kills if self._reading else None

    def end(self) -> None:
        self._tell = None

    def have(self) -> Have:
        """Memory as the board shows it, the disk as the state directory's file system has it."""
        memory = self._reading.memory if self._reading else None
        return Have(
            memory_available_mb=_mb(memory.available_kb) if memory else None,
            memory_total_mb=_mb(memory.total_kb) if memory else None,
            disk_free_mb=self._disk_free_mb(),
        )

    def oom_kills_since(self) -> int | None:
        """Kills by the kernel for want of memory since the last build began; None: it cannot be told."""
        now = self._reading.memory.oom_kills if self._reading else None
        return None if now is None or self._oom_kills_before is None else now - self._oom_kills_before

    def _disk_free_mb(self) -> int | None:
        try:
            return shutil.disk_usage(self._state_dir).free // 1_000_000
        except OSError:
            return None


def _mb(kilobytes: int | None) -> int | None:
    return None if kilobytes is None else kilobytes * 1024 // 1_000_000
