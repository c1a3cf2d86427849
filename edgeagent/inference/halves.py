"""`submit` and `collect` for sessions that do one batch after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeagent.inference.checks import check_batch, check_depth, check_frames, closed, nothing_submitted
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]


class Halves(ABC):
    """A batch runs when it is collected. Where an engine takes one frame it is read where it lies; several are put
    together in memory of the session when they are submitted. An engine that computes its whole batch always (`pads`)
    finds in the other places what was there."""

    depth = 1
    batch: int
    pads: bool
    width: int
    height: int

    def __init__(self) -> None:
        self._batch: Frames | None = None
        self._next: Frames | None = None
        self._count = 0
        self._closed = False

    @property
    def copies(self) -> bool:
        return self.batch > 1

    def run(self, frames: Frames) -> list[Candidates]:
        if self._closed:
            raise closed()
        check_batch(frames, (self.batch, self.height, self.width, 3))
        return self._run(frames)

    @abstractmethod
    def _run(self, frames: Frames) -> list[Candidates]:
        """The engine's answer to these; fewer than `batch` only where it does not pad."""

    def lend(self, memory: memoryview) -> None:
        """The CPU reads all memory alike."""
        if self._closed:
            raise closed()

    def submit(self, frames: Sequence[Frames]) -> None:
        if self._closed:
            raise closed()
        check_depth(int(self._next is not None), self.depth)
        check_frames(frames, self.batch, (self.height, self.width, 3))
        self._next = frames[0][None] if self.batch == 1 else self._together(frames)
        self._count = len(frames)

    def collect(self) -> list[Candidates]:
        if self._closed:
            raise closed()
        if self._next is None:
            raise nothing_submitted()
        frames, self._next = self._next, None
        return self._run(frames)[: self._count]

    def close(self) -> None:
        self._closed = True
        self._next = None

    def _together(self, frames: Sequence[Frames]) -> Frames:
        if self._batch is None:
            self._batch = np.zeros((self.batch, self.height, self.width, 3), np.uint8)
        for place, frame in zip(self._batch, frames, strict=False):
            np.copyto(place, frame)
        return self._batch if self.pads else self._batch[: len(frames)]
