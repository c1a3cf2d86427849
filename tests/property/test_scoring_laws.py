"""Laws of average precision that hold whatever is detected."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.vision.scoring import Detected, Truth, agreement, as_truth, iou_matrix, mean_average_precision_50

sides = st.integers(0, 60)
boxes = st.tuples(sides, sides, st.integers(1, 40), st.integers(1, 40)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)
classes = st.integers(0, 2)
scores = st.integers(0, 1000).map(lambda s: s / 1000)


def _boxes(rows: list) -> np.ndarray:
    return np.array([row[0] for row in rows], np.float64).reshape(-1, 4)


def _detected(rows: list) -> Detected:
    return _boxes(rows), np.array([row[1] for row in rows], np.float64), np.array([row[2] for row in rows], np.int64)


def _truth(rows: list) -> Truth:
    return _boxes(rows), np.array([row[1] for row in rows], np.int64)


detections = st.lists(st.tuples(boxes, scores, classes), max_size=6).map(_detected)
truths = st.lists(st.tuples(boxes, classes), max_size=6).map(_truth)
images = st.lists(st.tuples(detections, truths), max_size=4)


def _score(pairs: list) -> float:
    return mean_average_precision_50([found for found, _ in pairs], [truth for _, truth in pairs]).mean


@given(images)
def test_precision_is_a_share(pairs: list) -> None:
    assert 0.0 <= _score(pairs) <= 1.0


@given(images)
def test_only_the_order_of_the_scores_matters(pairs: list) -> None:
    squeezed = [((b, 0.25 + s / 2, c), truth) for (b, s, c), truth in pairs]
    assert _score(squeezed) == _score(pairs)


@given(images)
def test_nothing_new_below_all_scores_lowers_it(pairs: list) -> None:
    """A worse-scored false detection can only leave the curve as it is."""
    if not any(len(class_ids) for _, (_, class_ids) in pairs):
        return
    far = np.array([[500.0, 500.0, 510.0, 510.0]])
    more = [
        ((np.concatenate([b, far]), np.concatenate([s, [-1.0]]), np.concatenate([c, [0]])), truth)
        for (b, s, c), truth in pairs
    ]
    assert abs(_score(more) - _score(pairs)) < 1e-9


@given(images)
def test_the_truth_itself_scores_one(pairs: list) -> None:
    perfect = [((b, np.linspace(1.0, 0.5, len(b)), c), (b, c)) for _, (b, c) in pairs]
    assert _score(perfect) == 1.0


@given(images, st.integers(0, 50))
def test_moving_everything_changes_nothing(pairs: list, step: int) -> None:
    moved = [((b + step, s, c), (t + step, k)) for (b, s, c), (t, k) in pairs]
    assert abs(_score(moved) - _score(pairs)) < 1e-9


@given(st.lists(detections, max_size=4))
def test_an_engine_agrees_with_itself(found: list[Detected]) -> None:
    result = agreement(found, found)
    assert result.matched == sum(len(scores) for _, scores, _ in found)
    assert result.mean_iou == 1.0
    assert mean_average_precision_50(found, as_truth(found, 0.0)).mean == 1.0


@given(st.lists(st.tuples(detections, detections), max_size=4))
def test_every_detection_is_matched_missed_or_extra(pairs: list) -> None:
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    result = agreement(ours, theirs)
    assert result.matched + result.extra == sum(len(scores) for _, scores, _ in ours)
    assert result.matched + result.missed == sum(len(scores) for _, scores, _ in theirs)


@given(detections, detections)
def test_overlap_is_symmetric_and_at_most_one(first: Detected, second: Detected) -> None:
    overlaps = iou_matrix(first[0], second[0])
    assert np.array_equal(overlaps, iou_matrix(second[0], first[0]).T)
    assert ((overlaps >= 0.0) & (overlaps <= 1.0)).all()
