"""`submit` and `collect` for sessions that do one batch after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]


class Halves:
    """A batch is copied when it is submitted and runs when it is collected. Unused places keep what was there."""

    depth = 1
    copies = True
    batch: int
    width: int
    height: int

    def __init__(self) -> None:
        self._batch: Frames | None = None
        self._waiting = 0

    def run(self, frames: Frames) -> list[Candidates]:
        raise NotImplementedError

    def lend(self, memory: memoryview) -> None:
        """Nothing reads it but the copy."""

    def submit(self, frames: Sequence[Frames]) -> None:
        if self._waiting:
            raise EngineError("the batch before was not collected", code="engine_run")
        shape = (self.height, self.width, 3)
        if not 0 < len(frames) <= self.batch or any(f.shape != shape or f.dtype != np.uint8 for f in frames):
            raise EngineError(f"the engine takes 1 to {self.batch} frames of uint8 {shape}", code="engine_run")
        if self._batch is None:
            self._batch = np.zeros((self.batch, *shape), np.uint8)
        for place, frame in zip(self._batch, frames, strict=False):
            np.copyto(place, frame)
        self._waiting = len(frames)

    def collect(self) -> list[Candidates]:
        if not self._waiting or self._batch is None:
            raise EngineError("no batch was submitted", code="engine_run")
        count, self._waiting = self._waiting, 0
        return self.run(self._batch)[:count]
