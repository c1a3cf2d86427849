"""Class-aware non-maximum suppression: OpenCV's, with each class moved to a place of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Candidates, Detections, FloatArray, no_detections

Array = npt.NDArray[Any]
_least_of, _most_of = partial(np.minimum.reduce, axis=None), partial(np.maximum.reduce, axis=None)
FAR = 1e6  # pixels; no input is that large. A box that goes on beyond it is compared as if it ended there
APART = 2 * FAR + 1  # from one class to the next
USUAL_CLASSES = 10_000
MIN_AREA = 1e-9  # square pixels; OpenCV takes any two boxes that are next to nothing for the same
MIN_SIDE = 1e-4  # pixels; two sides of more than this make more than MIN_AREA


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
    suppress each other: every class is shifted further than boxes reach before OpenCV's NMS (`cv2.dnn.NMSBoxes`,
    on every OpenCV since 3.4) compares them. Rows that are not finite or have no area within FAR are left out. Returns
    zero rows for K = 0. With `iou` None, or 1 and more, nothing is suppressed: for networks that have done that
    themselves, and classifiers.
    """
    found = _scoring(candidates, min_score)
    if keep is not None:
        found = _of_classes(found, keep)
    places: Array = found.boxes
    if len(found) and not _is_sound(found):
        found, places = _sound(found)
    if len(found) == 0 or limit < 1:
        return no_detections()
    if iou is None or iou >= 1.0:
        best = np.argsort(-found.scores, kind="stable")[:limit]
    else:
        best = _suppress(found, places, iou)[:limit]
    boxes, scores, class_ids = found.boxes.take(best, axis=0), found.scores.take(best), found.class_ids.take(best)
    return Detections(boxes, scores, class_ids.astype(np.int32, copy=False))


def _scoring(candidates: Candidates, min_score: float | FloatArray) -> Candidates:
    """Those that score enough. Engines give the best first, so that they are mostly the first so many."""
    if not isinstance(min_score, float | int):
        min_score = min_score.take(candidates.class_ids, mode="clip")
    enough = candidates.scores >= min_score  # NaN compares false
    count = int(np.count_nonzero(enough))
    if count == len(candidates):
        return candidates
    if enough.argmin() != count:  # the first that does not score enough
        return _take(candidates, np.flatnonzero(enough))
    return Candidates(candidates.boxes[:count], candidates.scores[:count], candidates.class_ids[:count])


def _of_classes(found: Candidates, keep: frozenset[int]) -> Candidates:
    rows = [row for row, class_id in enumerate(found.class_ids.tolist()) if class_id in keep]
    return found if len(rows) == len(found) else _take(found, np.array(rows, np.int64))


def _take(candidates: Candidates, rows: Array) -> Candidates:
    return Candidates(
        candidates.boxes.take(rows, axis=0), candidates.scores.take(rows), candidates.class_ids.take(rows)
    )


def _is_sound(found: Candidates) -> bool:
    """Whether every row is finite, has an area, and lies within FAR: as nearly always. NaN compares false."""
    boxes = found.boxes
    return bool(
        _least_of(boxes) >= -FAR
        and _most_of(boxes) <= FAR
        and _least_of(boxes[:, 2:] - boxes[:, :2]) > MIN_SIDE
        and _most_of(found.scores) < np.inf
    )


def _sound(found: Candidates) -> tuple[Candidates, Array]:
    """The rows that can be compared, and their places for that: in float64, because float32 would lose small boxes
    beside a huge one."""
    places = np.minimum(np.maximum(found.boxes.astype(np.float64), -FAR), FAR)
    sides = places[:, 2:] - places[:, :2]
    usable = (sides[:, 0] > 0) & (sides[:, 0] * sides[:, 1] > MIN_AREA)
    usable &= np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    rows = np.flatnonzero(usable)
    return _take(found, rows), places[rows]


def _suppress(found: Candidates, places: Array, iou: float) -> Array:
    import cv2

    xywh = np.empty((len(found), 4))  # float32 would lose small boxes beside the classes that are far out
    np.add(places[:, :2], _groups(found.class_ids).reshape(-1, 1) * APART, out=xywh[:, :2])
    np.subtract(places[:, 2:], places[:, :2], out=xywh[:, 2:])
    nms: Any = cv2.dnn.NMSBoxes  # its stub wants lists and copies; arrays are taken as they are
    kept = nms(xywh, _ranks(found.scores), 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)


def _groups(class_ids: Array) -> Array:
    """A small number for each class. Usual ids are that themselves; ids that no model should give would push boxes so
    far out that float64 loses them."""
    if class_ids.min() >= 0 and class_ids.max() < USUAL_CLASSES:
        return class_ids
    return np.asarray(np.unique(class_ids, return_inverse=True)[1])


def _ranks(scores: Array) -> Array:
    """What orders the rows as their scores do. OpenCV refuses a threshold below 0, and its threshold excludes what just
    reaches it; so where a score is not above 0, K for the best of K down to 1 for the worst, of equals the earlier."""
    if scores.min() > 0:
        return scores
    ranks = np.empty(len(scores), np.float32)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores), 0, -1, dtype=np.float32)
    return ranks
