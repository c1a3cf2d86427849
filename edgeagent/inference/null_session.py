"""An engine that does nothing: for measuring what a frame costs outside of the engine.

Its plan is one line of JSON: `{"batch": 1, "width": 640, "height": 640, "candidates": 20}`. It looks at the first two
bytes of a frame and gives so many boxes that do not overlap, moved by these bytes: the same frame gives the same
boxes, another one others. No configuration can choose it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.errors import EngineError
from edgeagent.inference.checks import check_batch, check_depth, check_frames, closed, nothing_submitted
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]
CLASSES = 3
MOST_CANDIDATES = 10_000
MOST_KNOWN = 256  # answers


class NullPlan(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    batch: int = Field(ge=1, le=256)
    width: int = Field(ge=1, le=16384)
    height: int = Field(ge=1, le=16384)
    candidates: int = Field(ge=0, le=MOST_CANDIDATES)


class NullSession:
    """A batch is answered when it is submitted. Raises EngineError `engine_load` for a file that is no such plan."""

    depth = 2
    copies = True
    how = "not at all"
    pads = True  # as if: so that what a batch leaves empty can be seen

    def __init__(self, plan: Path) -> None:
        told = _read(plan)
        self.batch, self.width, self.height = told.batch, told.width, told.height
        self._shape = (told.height, told.width, 3)
        self._boxes, self._step = grid(told.candidates, told.width, told.height)
        self._scores = np.linspace(0.95, 0.5, told.candidates, dtype=np.float32)
        self._classes = np.arange(told.candidates, dtype=np.int32) % CLASSES
        self._scores.flags.writeable = self._classes.flags.writeable = False
        self._known: dict[tuple[int, int], Candidates] = {}
        self._answers: deque[list[Candidates]] = deque()
        self._closed = False

    def run(self, frames: Frames) -> list[Candidates]:
        if self._closed:
            raise closed()
        check_batch(frames, (self.batch, *self._shape))
        return [self._look(frame) for frame in frames]

    def lend(self, memory: memoryview) -> None:
        if self._closed:
            raise closed()

    def submit(self, frames: Sequence[Frames]) -> None:
        if self._closed:
            raise closed()
        check_depth(len(self._answers), self.depth)
        check_frames(frames, self.batch, self._shape)
        self._answers.append([self._look(frame) for frame in frames])

    def collect(self) -> list[Candidates]:
        if self._closed:
            raise closed()
        if not self._answers:
            raise nothing_submitted()
        return self._answers.popleft()

    def close(self) -> None:
        self._closed = True
        self._answers.clear()

    def _look(self, frame: Frames) -> Candidates:
        """Not to be written to. Looked up where these bytes were seen before: NumPy's calls are not to be measured."""
        seen = frame.item(0), frame.item(1)
        if (found := self._known.get(seen)) is None:
            x, y = seen
            moved = self._boxes + np.array([x, y, x, y], np.float32) * self._step
            moved.flags.writeable = False
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[seen] = Candidates(moved, self._scores, self._classes)
        return found


def grid(count: int, width: int, height: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """`count` boxes (count, 4) xyxy on a grid, each the left upper half of its cell, and what a byte's step moves them
    (4,): by at most the other half, so that they never overlap and never leave the picture."""
    columns = max(1, int(np.ceil(np.sqrt(count))))
    cell = np.array([width / columns, height / columns], np.float32)
    rows, places = np.divmod(np.arange(count), columns)
    corner = np.stack([places, rows], 1).astype(np.float32) * cell
    boxes = np.concatenate([corner, corner + cell / 2], 1).astype(np.float32)
    return boxes, np.tile(cell / 2 / 256, 2).astype(np.float32)


def _read(plan: Path) -> NullPlan:
    try:
        return NullPlan.model_validate_json(plan.read_bytes())
    except OSError as error:
        raise EngineError(f"the plan cannot be read: {error}", code="engine_load") from error
    except ValidationError as error:
        raise EngineError(
            f"this is no plan of the null engine: {error.errors()[0]['msg']}",
            mend='it is one line: {"batch": 1, "width": 640, "height": 640, "candidates": 20}',
            code="engine_load",
        ) from error
