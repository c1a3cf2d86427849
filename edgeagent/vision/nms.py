"""Class-aware non-maximum suppression: OpenCV's, with each class moved to a place of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Candidates, Detections, no_detections

Array = npt.NDArray[Any]


def select_detections(
    candidates: Candidates, *, min_score: float, iou: float, limit: int, keep: frozenset[int] | None = None
) -> Detections:
    """The detections among `candidates`, best first, at most `limit`.

    Boxes of different classes never suppress each other: every class is shifted by more than the largest extent
    before OpenCV's NMS (`cv2.dnn.NMSBoxes`, on every OpenCV since 3.4) compares them. Rows that are not finite or
    have no area are left out. Returns zero rows for K = 0.
    """
    chosen = np.flatnonzero(_is_usable(candidates, min_score, keep))
    if len(chosen) == 0 or limit < 1:
        return no_detections()
    boxes, scores = candidates.boxes[chosen], candidates.scores[chosen]
    class_ids = candidates.class_ids[chosen]
    kept = _suppress(boxes, scores, class_ids, min_score, iou)[:limit]
    return Detections(boxes[kept], scores[kept], class_ids[kept].astype(np.int32, copy=False))


def _is_usable(candidates: Candidates, min_score: float, keep: frozenset[int] | None) -> Array:
    boxes = candidates.boxes
    usable = candidates.scores >= min_score  # NaN compares false
    if not usable.any():
        return usable
    usable &= np.isfinite(boxes).all(axis=1) & np.isfinite(candidates.scores)
    usable &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if keep is not None:
        usable &= np.isin(candidates.class_ids, list(keep))
    return usable


def _suppress(boxes: Array, scores: Array, class_ids: Array, min_score: float, iou: float) -> Array:
    import cv2

    low, high = boxes.min(), boxes.max()
    corners = boxes[:, :2] + (class_ids[:, None] * (high - low + 1.0))
    xywh = np.concatenate([corners, boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    nms: Any = cv2.dnn.NMSBoxes  # its stub wants lists and copies; arrays are taken as they are
    kept = nms(xywh, scores.astype(np.float32), float(np.nextafter(min_score, -1.0)), iou)
    return np.asarray(kept, np.int64).reshape(-1)
