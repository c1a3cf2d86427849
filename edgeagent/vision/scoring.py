"""How good detections are: against ground truth, or against another engine's detections taken as the truth.

Average precision follows PASCAL VOC from 2010 on (Everingham et al., "The PASCAL Visual Object Classes Challenge: A
Retrospective", IJCV 2015): all-point interpolation, that is the area under the precision-recall curve after each
precision has been raised to the highest precision at the same or a higher recall. A detection is right when its
overlap with a truth box of its class in its image is at least 0.5. As in COCO, it takes the best truth box that no
better-scored detection has taken (VOC would count it as wrong if the best one is taken).

Pure: numpy only, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Boxes: TypeAlias = NDArray[np.floating[Any]]
"""(M, 4) xyxy in pixels; M may be 0."""
Scores: TypeAlias = NDArray[np.floating[Any]]
"""(M,), higher is surer."""
ClassIds: TypeAlias = NDArray[np.integer[Any]]
"""(M,)."""
Detected: TypeAlias = tuple[Boxes, Scores, ClassIds]
"""One image's detections, in any order."""
Truth: TypeAlias = tuple[Boxes, ClassIds]
"""One image's ground truth."""

OVERLAP: Final = 0.5


@dataclass(frozen=True)
class Precision:
    """`by_class`: AP50 of every class that has truth. `mean`: their mean (mAP50).

    Classes without truth are not in `by_class`, whatever was detected of them. Where no class has truth, `mean` is
    1.0 if nothing was detected either, else 0.0.
    """

    mean: float
    by_class: dict[int, float]


@dataclass(frozen=True)
class Agreement:
    """How closely detections follow a reference's detections of the same images.

    `matched` pairs; `missed`: the reference has it, the candidate not; `extra`: the other way round. Over the matched
    pairs: `mean_iou`, `mean_score_difference` (mean of |candidate - reference|) and `worst_score_difference`.
    With no matched pair `mean_iou` is 1.0 if there was nothing to match, else 0.0, and the differences are 0.0.
    """

    matched: int
    missed: int
    extra: int
    mean_iou: float
    mean_score_difference: float
    worst_score_difference: float


def iou_matrix(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Overlap of every box of `first` (M, 4) with every box of `second` (K, 4), both xyxy: (M, K), 0..1.

    Overlap is intersection over union. Empty and inverted boxes overlap with nothing.
    """
    a, b = np.asarray(first, np.float64).reshape(-1, 1, 4), np.asarray(second, np.float64).reshape(1, -1, 4)
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0)
    shared = sides[..., 0] * sides[..., 1]  # several times faster than prod
    union = _area(a) + _area(b) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(union), where=union > 0.0))


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def average_precision_50(detected: Sequence[Detected], truth: Sequence[Truth], class_id: int) -> float:
    """AP50 of one class over images; `detected[i]` and `truth[i]` belong together.

    Returns 0..1; 0.0 where the class has truth and no detections; NaN where it has no truth. Detections of equal
    score keep the order of their images and of their rows.

    Raises ValueError when the two sequences differ in length.
    """
    scores, right, wanted = _judged(detected, truth, class_id)
    if wanted == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, hits.size + 1)
    return _area_under(hits / wanted, precision)


def mean_average_precision_50(detected: Sequence[Detected], truth: Sequence[Truth]) -> Precision:
    """mAP50 and each class's AP50 over images; `detected[i]` and `truth[i]` belong together.

    Raises ValueError when the two sequences differ in length.
    """
    classes = _classes(class_ids for _, class_ids in truth)
    by_class = {class_id: average_precision_50(detected, truth, class_id) for class_id in classes}
    if by_class:
        return Precision(float(np.mean(list(by_class.values()))), by_class)
    _check_lengths(detected, truth)
    anything = any(np.size(scores) for _, scores, _ in detected)
    return Precision(0.0 if anything else 1.0, {})


def as_truth(reference: Sequence[Detected], min_score: float) -> list[Truth]:
    """A reference's detections that score at least `min_score`, as the ground truth for another engine."""
    return [(boxes[scores >= min_score], class_ids[scores >= min_score]) for boxes, scores, class_ids in reference]


def agreement(candidate: Sequence[Detected], reference: Sequence[Detected]) -> Agreement:
    """Compare two engines' detections of the same images, class by class, best-scored candidate first.

    Raises ValueError when the two sequences differ in length.
    """
    _check_lengths(candidate, reference)
    overlaps: list[float] = []
    differences: list[float] = []
    for ours, theirs in zip(candidate, reference, strict=True):
        for one, other, overlap in _pairs(ours, theirs):
            overlaps.append(overlap)
            differences.append(abs(float(ours[1][one]) - float(theirs[1][other])))
    matched = len(overlaps)
    missed = sum(np.size(scores) for _, scores, _ in reference) - matched
    extra = sum(np.size(scores) for _, scores, _ in candidate) - matched
    nothing = 0.0 if missed or extra else 1.0
    return Agreement(
        matched=matched,
        missed=missed,
        extra=extra,
        mean_iou=float(np.mean(overlaps)) if matched else nothing,
        mean_score_difference=float(np.mean(differences)) if matched else 0.0,
        worst_score_difference=max(differences, default=0.0),
    )


def _pairs(ours: Detected, theirs: Detected) -> list[tuple[int, int, float]]:
    """(our row, their row, overlap) of the matched detections of one image."""
    pairs: list[tuple[int, int, float]] = []
    for class_id in _classes([ours[2]]):
        mine, others = np.flatnonzero(ours[2] == class_id), np.flatnonzero(theirs[2] == class_id)
        mine = mine[np.argsort(-ours[1][mine], kind="stable")]
        overlaps = iou_matrix(ours[0][mine], theirs[0][others])
        taken = _matches(overlaps)
        pairs += [(int(mine[i]), int(others[k]), float(overlaps[i, k])) for i, k in enumerate(taken) if k >= 0]
    return pairs


def _judged(
    detected: Sequence[Detected], truth: Sequence[Truth], class_id: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], int]:
    """Scores of all detections of the class, whether each is right, and how many truth boxes there are."""
    _check_lengths(detected, truth)
    all_scores: list[NDArray[np.float64]] = [np.zeros(0)]
    all_right: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    wanted = 0
    for (boxes, scores, class_ids), (true_boxes, true_ids) in zip(detected, truth, strict=True):
        mine = np.flatnonzero(np.asarray(class_ids) == class_id)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        true = true_boxes[np.asarray(true_ids) == class_id]
        wanted += len(true)
        all_scores.append(np.asarray(scores[mine], np.float64))
        all_right.append(_matches(iou_matrix(boxes[mine], true)) >= 0)
    return np.concatenate(all_scores), np.concatenate(all_right), wanted


def _matches(overlaps: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each row (best-scored first) the column it takes, or -1: the best free column with enough overlap."""
    free = overlaps.copy()
    taken = np.full(overlaps.shape[0], -1, np.int64)
    if overlaps.shape[1] == 0:
        return taken
    for row in range(overlaps.shape[0]):
        best = int(free[row].argmax())
        if free[row, best] >= OVERLAP:
            taken[row] = best
            free[:, best] = -1.0
    return taken


def _area_under(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Area under the interpolated curve; both (D,), in order of falling score. D = 0 gives 0.0."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _classes(class_ids: Iterable[ClassIds]) -> list[int]:
    return sorted({int(class_id) for one in class_ids for class_id in np.asarray(one).ravel()})


def _check_lengths(first: Sequence[object], second: Sequence[object]) -> None:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} images against {len(second)}")
