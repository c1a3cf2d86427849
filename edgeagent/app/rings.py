"""A camera's rings as the agent has them: memory, who reads them, and the counters in their headers.

Each accelerator has a seat: a reader's number and an eventfd, made with the ring, because a capture that runs can be
given nothing. Who sits where is a word in the header, which the agent alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from edgeagent.camera.ring_layout import (
    READERS,
    W_BASE,
    W_CONSUMED,
    W_NEWEST,
    W_NEWEST_NS,
    W_READING,
    RingLayout,
)
from edgeagent.camera.ring_memory import create_ring, map_header
from edgeagent.inference.accelerators import ACCELERATORS, Accelerator

HOLD = READERS - 1  # the agent's own seat


class Ring:
    """One ring of a camera. `lossless_only`: of a file played once, whose pass must lose nothing.

    Somebody always sits there: in a pass the writer then waits for whoever comes next. That is the first accelerator's
    reader until another one is named.
    """

    def __init__(self, camera: str, layout: RingLayout, *, lossless_only: bool) -> None:
        self.lossless_only = lossless_only
        self.id = f"{camera}-{layout.width}x{layout.height}"
        self.layout = layout
        self.fd = create_ring(self.id, layout)
        self.wake_fds = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in ACCELERATORS]
        self._words = map_header(self.fd)
        self._holds = 0

    @staticmethod
    def reader(accelerator: Accelerator) -> int:
        """Its number among the readers."""
        return ACCELERATORS.index(accelerator)

    def wake_fd(self, accelerator: Accelerator) -> int:
        return self.wake_fds[self.reader(accelerator)]

    # who reads

    def is_read_by(self, accelerator: Accelerator) -> bool:
        return bool(self._words[W_READING] >> self.reader(accelerator) & 1)

    def let_read(self, accelerators: Collection[Accelerator]) -> None:
        """These read it from now on, and nobody else; with none named those stay who do. One who comes begins where the
        slowest of the others is."""
        wanted = {self.reader(one) for one in accelerators}
        for seat in sorted(wanted - self._seats()):
            self._sit(seat)
            os.eventfd_write(self.wake_fds[seat], 1)  # for a frame that came before it was seen there
        if wanted:
            self._words[W_READING] = sum(1 << seat for seat in wanted) | (self._words[W_READING] & 1 << HOLD)

    def hold(self) -> None:
        """What the slowest reader has not finished stays until `let_go`, whatever readers do meanwhile."""
        if not self._holds:
            self._sit(HOLD)
        self._holds += 1

    def let_go(self) -> None:
        """Once for each `hold`."""
        self._holds -= 1
        if not self._holds:
            self._words[W_READING] &= ~(1 << HOLD)

    def _sit(self, seat: int) -> None:
        self._words[W_CONSUMED + seat] = min(self.progress(one) for one in self._seats())
        self._words[W_READING] |= 1 << seat

    def _seats(self) -> set[int]:
        reading = self._words[W_READING]
        return {seat for seat in range(READERS) if reading >> seat & 1}

    # counters

    @property
    def newest(self) -> int:
        return self._words[W_NEWEST]

    @property
    def newest_ns(self) -> int:
        return self._words[W_NEWEST_NS]

    @property
    def passed(self) -> int:
        """Frames of a pass that must lose nothing, written so far."""
        return self._words[W_NEWEST] - self._words[W_BASE]

    def progress(self, seat: int) -> int:
        """How far that reader has come in a pass."""
        return max(self._words[W_CONSUMED + seat], self._words[W_BASE])

    def done_by(self, accelerator: Accelerator) -> int:
        """Up to which frame of a pass that accelerator is done with it."""
        return self.progress(self.reader(accelerator))

    @property
    def drained(self) -> bool:
        """Whether all who read it are done with the newest frame."""
        return all(self.progress(seat) >= self.newest for seat in self._seats())

    def close(self) -> None:
        self._words.release()
        os.close(self.fd)
        for fd in self.wake_fds:
            os.close(fd)
