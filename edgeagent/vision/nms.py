"""Class-aware non-maximum suppression: OpenCV's, with each class moved to a place of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Candidates, Detections, FloatArray, no_detections

Array = npt.NDArray[Any]
FAR = 1e6  # pixels; no input is that large. A box that goes on beyond it is compared as if it ended there
MIN_AREA = 1e-9  # square pixels; OpenCV takes any two boxes that are next to nothing for the same


def select_detections(
    candidates: Candidates,
    *,
    min_score: float | FloatArray,
    iou: float | None,
    limit: int,
    keep: frozenset[int] | None = None,
) -> Detections:
    """The detections among `candidates`, best first, at most `limit`; of equal scores the earlier row first.

    A score of exactly `min_score` is enough; it may be one a class, (C,) by class id. Boxes of different classes never
    suppress each other: every class is shifted by more than the largest extent before OpenCV's NMS (`cv2.dnn.NMSBoxes`,
    on every OpenCV since 3.4) compares them. Rows that are not finite or have no area within FAR are left out. Returns
    zero rows for K = 0. With `iou` None, or 1 and more, nothing is suppressed: for networks that have done that
    themselves, and classifiers.
    """
    chosen = np.flatnonzero(_is_usable(candidates, min_score, keep))
    if len(chosen) == 0 or limit < 1:
        return no_detections()
    boxes, scores = candidates.boxes[chosen], candidates.scores[chosen]
    class_ids = candidates.class_ids[chosen]
    if iou is None or iou >= 1.0:
        kept = np.argsort(-scores, kind="stable")[:limit]
    else:
        kept = _suppress(boxes, scores, class_ids, iou)[:limit]
    return Detections(boxes[kept], scores[kept], class_ids[kept].astype(np.int32, copy=False))


def _is_usable(candidates: Candidates, min_score: float | FloatArray, keep: frozenset[int] | None) -> Array:
    boxes = candidates.boxes
    wanted = min_score if isinstance(min_score, float | int) else min_score.take(candidates.class_ids, mode="clip")
    usable = candidates.scores >= wanted  # NaN compares false
    if not usable.any():
        return usable
    usable &= np.isfinite(boxes).all(axis=1) & np.isfinite(candidates.scores)
    places = _places(boxes)
    sides = places[:, 2:] - places[:, :2]
    usable &= (sides > 0).all(axis=1) & (sides[:, 0] * sides[:, 1] > MIN_AREA)
    if keep is not None:
        usable &= np.isin(candidates.class_ids, list(keep))
    return usable


def _places(boxes: Array) -> Array:
    """In float64, because float32 would lose small boxes beside a huge one."""
    return np.clip(boxes.astype(np.float64), -FAR, FAR)


def _suppress(boxes: Array, scores: Array, class_ids: Array, iou: float) -> Array:
    import cv2

    places = _places(boxes)
    _, group = np.unique(class_ids, return_inverse=True)
    corners = places[:, :2] + group.reshape(-1, 1) * (places.max() - places.min() + 1.0)
    xywh = np.concatenate([corners, places[:, 2:] - places[:, :2]], axis=1)
    nms: Any = cv2.dnn.NMSBoxes  # its stub wants lists and copies; arrays are taken as they are
    # Ranks stand for scores: OpenCV refuses a threshold below 0, and its threshold excludes what just reaches it.
    kept = nms(xywh, _ranks(scores), 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)


def _ranks(scores: Array) -> Array:
    """K for the best of K scores down to 1 for the worst; of equals the earlier is the better."""
    ranks = np.empty(len(scores), np.float32)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1)
    return ranks
