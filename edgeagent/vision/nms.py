"""Class-aware non-maximum suppression: OpenCV's, with each class moved to a place of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Candidates, Detections, FloatArray, no_detections

Array = npt.NDArray[Any]
FAR = 1e6  # pixels; no input is that large. A box that goes on beyond it is compared as if it ended there
USUAL_CLASSES = 10_000
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
    chosen = np.flatnonzero(candidates.scores >= _least(candidates, min_score))  # NaN compares false
    found = _take(candidates, chosen)
    places = _places(found.boxes)
    usable = _is_usable(found, places, keep)
    if not usable.all():
        kept = np.flatnonzero(usable)
        found, places = _take(found, kept), places[kept]
    if len(found) == 0 or limit < 1:
        return no_detections()
    if iou is None or iou >= 1.0:
        best = np.argsort(-found.scores, kind="stable")[:limit]
    else:
        best = _suppress(places, found.scores, found.class_ids, iou)[:limit]
    boxes, scores, class_ids = found.boxes.take(best, axis=0), found.scores.take(best), found.class_ids.take(best)
    return Detections(boxes, scores, class_ids.astype(np.int32, copy=False))


def _least(candidates: Candidates, min_score: float | FloatArray) -> float | Array:
    return min_score if isinstance(min_score, float | int) else min_score.take(candidates.class_ids, mode="clip")


def _take(candidates: Candidates, rows: Array) -> Candidates:
    return Candidates(
        candidates.boxes.take(rows, axis=0), candidates.scores.take(rows), candidates.class_ids.take(rows)
    )


def _is_usable(found: Candidates, places: Array, keep: frozenset[int] | None) -> Array:
    sides = places[:, 2:] - places[:, :2]
    usable: Array = (sides[:, 0] > 0) & (sides[:, 0] * sides[:, 1] > MIN_AREA)
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        usable &= np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    if keep is not None:
        usable &= np.isin(found.class_ids, list(keep))
    return usable


def _places(boxes: Array) -> Array:
    """In float64, because float32 would lose small boxes beside a huge one."""
    return np.minimum(np.maximum(boxes.astype(np.float64), -FAR), FAR)


def _suppress(places: Array, scores: Array, class_ids: Array, iou: float) -> Array:
    import cv2

    xywh = places.copy()
    xywh[:, 2:] -= places[:, :2]
    xywh[:, :2] += _groups(class_ids).reshape(-1, 1) * (places.max() - places.min() + 1.0)
    nms: Any = cv2.dnn.NMSBoxes  # its stub wants lists and copies; arrays are taken as they are
    # Ranks stand for scores: OpenCV refuses a threshold below 0, and its threshold excludes what just reaches it.
    kept = nms(xywh, _ranks(scores), 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)


def _groups(class_ids: Array) -> Array:
    """A small number for each class. Usual ids are that themselves; ids that no model should give would push boxes so
    far out that float64 loses them."""
    if class_ids.min() >= 0 and class_ids.max() < USUAL_CLASSES:
        return class_ids
    return np.asarray(np.unique(class_ids, return_inverse=True)[1])


def _ranks(scores: Array) -> Array:
    """K for the best of K scores down to 1 for the worst; of equals the earlier is the better."""
    ranks = np.arange(len(scores), 0, -1, dtype=np.float32)
    if (scores[1:] <= scores[:-1]).all():
        return ranks  # best first already, as engines give them
    ordered = np.empty_like(ranks)
    ordered[np.argsort(-scores, kind="stable")] = ranks
    return ordered
