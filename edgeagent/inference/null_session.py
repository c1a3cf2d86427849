"""A session without an engine, for `edgeagent bench`: what a frame costs when nothing looks at it.

The plan is a line of JSON: {"batch": 1, "width": 640, "height": 640, "candidates": 20}. The candidates lie apart and
depend on the frame's first bytes only. No configuration can ask for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]
CLASSES = 3
Side = Annotated[int, Field(ge=32, le=16384)]


class NullPlan(BaseModel):
    """What the plan file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    batch: Annotated[int, Field(ge=1, le=64)] = 1
    width: Side = 640
    height: Side = 640
    candidates: Annotated[int, Field(ge=0, le=300)] = 20


class NullSession:
    """Takes frames of the plan's size and gives made-up candidates for each; reads three bytes of a frame."""

    depth = 2

    def __init__(self, plan: Path) -> None:
        try:
            read = NullPlan.model_validate_json(plan.read_bytes())
        except (OSError, ValidationError) as error:
            raise EngineError(f"this is no plan of the null backend: {error}", code="engine_load") from error
        self.batch, self.width, self.height = read.batch, read.width, read.height
        self._shape = (read.height, read.width, 3)
        self._made = [_candidates(read, shift) for shift in range(CLASSES)]
        self._waiting: deque[list[Candidates]] = deque()
        self._closed = False

    def run(self, frames: Frames) -> list[Candidates]:
        if len(frames) != self.batch:
            raise EngineError(f"the engine takes {self.batch} frames", code="engine_run")
        return [self._look(frame) for frame in frames]

    def lend(self, memory: memoryview) -> None:
        """Nothing is read, so nothing is lent."""

    def submit(self, frames: Sequence[Frames]) -> None:
        if not 0 < len(frames) <= self.batch or len(self._waiting) >= self.depth:
            raise EngineError("too many frames, or none, or too many batches", code="engine_run")
        self._waiting.append([self._look(frame) for frame in frames])

    def collect(self) -> list[Candidates]:
        if not self._waiting:
            raise EngineError("no batch was submitted", code="engine_run")
        return self._waiting.popleft()

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()

    def _look(self, frame: Frames) -> Candidates:
        if self._closed or frame.shape != self._shape or frame.dtype != np.uint8:
            raise EngineError(f"the engine is closed, or takes uint8 {self._shape}", code="engine_run")
        made = self._made[int(frame[0, 0, 0]) % CLASSES]
        return Candidates(made.boxes.copy(), made.scores.copy(), made.class_ids.copy())


def _candidates(plan: NullPlan, shift: int) -> Candidates:
    """One set for each first byte modulo CLASSES."""
    class_ids = (np.arange(plan.candidates) + shift) % CLASSES
    scores = np.linspace(0.95, 0.55, plan.candidates, dtype=np.float32)
    return Candidates(_boxes(plan), scores, class_ids.astype(np.int32))


def _boxes(plan: NullPlan) -> npt.NDArray[np.float32]:
    """Boxes (candidates, 4) xyxy in a grid, none touching another."""
    across = max(1, int(np.ceil(np.sqrt(plan.candidates))))
    places = np.arange(plan.candidates)
    step = np.array([plan.width, plan.height], np.float32) / across
    corners = np.stack([places % across, places // across], axis=1) * step
    return np.concatenate([corners + 0.1 * step, corners + 0.8 * step], axis=1).astype(np.float32)
