"""Whether a frame shows anything that the last one told did not. Pure numpy; time is the frames' own.

News is: another set of things (their class, their number where they are tracked, the regions that they are in), or a
thing that moved or grew by more than a share of its size since it was last told, so that a slow one is told as well. A
frame that tells nothing new is told all the same when the last one is `heartbeat_s` old: silence must not look like a
dead camera. Scores are no news.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Boxes: TypeAlias = npt.NDArray[np.floating[Any]]
Keys: TypeAlias = npt.NDArray[np.int64]

LEAST_SIZE: Final = 1.0  # pixel


@dataclass
class Changes:
    """`moved`: share of a box's size, the square root of its area."""

    moved: float
    heartbeat_s: float
    _keys: Keys = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    _boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4)))
    _told_ns: int | None = None

    def is_news(self, keys: Keys, boxes: Boxes, at_ns: int) -> bool:
        """Whether to tell of this frame; if so, the next one is held against it.

        `keys` (M, K) say what each of the boxes (M, 4) xyxy is: rows that are equal are things that nobody can tell
        apart. The order of the rows does not matter. M may be 0.
        """
        order = np.lexsort(keys.T[::-1]) if keys.shape[1] else np.arange(len(keys))
        sorted_keys, sorted_boxes = keys[order], np.asarray(boxes, np.float64)[order]
        if self._is_due(at_ns) or not np.array_equal(sorted_keys, self._keys) or self._has_moved(sorted_boxes):
            self._keys, self._boxes, self._told_ns = sorted_keys, sorted_boxes, at_ns
            return True
        return False

    def _is_due(self, at_ns: int) -> bool:
        return self._told_ns is None or at_ns - self._told_ns >= int(self.heartbeat_s * 1e9)

    def _has_moved(self, boxes: Boxes) -> bool:
        """Whether a box lies where no box of its kind lay, or one lay where none lies; keys are known to be equal."""
        if not len(boxes):
            return False
        off = np.abs(self._boxes[:, None, :] - boxes[None, :, :]).max(axis=-1) / _sizes(self._boxes)[:, None]
        off[(self._keys[:, None, :] != self._keys[None, :, :]).any(axis=-1)] = np.inf
        return bool(max(off.min(axis=0).max(), off.min(axis=1).max()) > self.moved)


def _sizes(boxes: Boxes) -> npt.NDArray[np.float64]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], LEAST_SIZE)
    return np.asarray(np.sqrt(sides.prod(axis=1)), np.float64)
