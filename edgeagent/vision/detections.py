"""What leaves the engine and what leaves NMS, as arrays. No I/O, no model knowledge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


@dataclass
class Candidates:
    """One frame before NMS: boxes (K, 4) xyxy in input pixels, scores (K,) 0..1, class_ids (K,). K may be 0."""

    boxes: FloatArray
    scores: FloatArray
    class_ids: IntArray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class Detections:
    """Boxes of one frame after NMS, best first: boxes (M, 4) xyxy, scores (M,), class_ids (M,). M may be 0."""

    boxes: FloatArray
    scores: FloatArray
    class_ids: IntArray

    def __len__(self) -> int:
        return len(self.scores)


def no_detections() -> Detections:
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
