"""Non-maximum suppression, box by box."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.vision.detections import Candidates, Detections, no_detections
from edgeagent.vision.nms import select_detections

A, NEAR_A, FAR_FROM_A = (10, 10, 50, 50), (12, 12, 52, 52), (200, 10, 240, 50)


def candidates(*rows: tuple[tuple[float, ...], float, int]) -> Candidates:
    return Candidates(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int32),
    )


def select(rows: Candidates, min_score: float = 0.25, **more: object) -> Detections:
    return select_detections(rows, **{"min_score": min_score, "iou": 0.5, "limit": 100, **more})  # type: ignore[arg-type]


def test_the_best_of_those_that_overlap_stays() -> None:
    found = select(candidates((A, 0.6, 0), (NEAR_A, 0.9, 0), (FAR_FROM_A, 0.3, 0)))
    assert found.boxes.tolist() == [list(NEAR_A), list(FAR_FROM_A)]
    assert found.scores.tolist() == pytest.approx([0.9, 0.3])
    assert found.class_ids.tolist() == [0, 0]


def test_another_class_is_never_suppressed() -> None:
    assert sorted(select(candidates((A, 0.9, 0), (A, 0.8, 1), (A, 0.7, 79))).class_ids.tolist()) == [0, 1, 79]


@pytest.mark.parametrize("huge", [2**31 - 1, -(2**31), -1])
def test_any_class_number_will_do(huge: int) -> None:
    found = select(candidates((A, 0.9, 0), (A, 0.8, huge), (NEAR_A, 0.7, huge), (FAR_FROM_A, 0.6, huge)))
    assert found.class_ids.tolist() == [0, huge, huge]


@pytest.mark.parametrize("score", [0.25, 0.3, 0.5, 0.1, 0.999])
def test_a_score_of_exactly_the_minimum_is_enough(score: float) -> None:
    below = float(np.nextafter(np.float32(score), np.float32(0)))
    assert len(select(candidates((A, score, 0), (FAR_FROM_A, below, 0)), min_score=score)) == 1


def test_the_minimum_may_be_nothing_at_all() -> None:
    assert len(select(candidates((A, 0.0, 0), (FAR_FROM_A, 1.0, 0)), min_score=0.0)) == 2


def test_no_candidates_are_no_detections() -> None:
    for found in (select(candidates()), select(candidates((A, 0.1, 0))), no_detections()):
        assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((0, 4), (0,), (0,))
        assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int32)
        assert len(found) == 0


@pytest.mark.parametrize("limit", [0, -1, 1, 2, 3, 10])
def test_the_limit_keeps_the_best(limit: int) -> None:
    rows = [((60.0 * i, 0, 60.0 * i + 50, 50), 0.5 + 0.1 * i, 0) for i in range(3)]
    expected = [0.7, 0.6, 0.5][: max(0, limit)]
    assert select(candidates(*rows), limit=limit).scores.tolist() == pytest.approx(expected)


def test_classes_that_nobody_asked_for_are_left_out_before_they_count() -> None:
    rows = candidates((A, 0.9, 0), (A, 0.8, 1), (FAR_FROM_A, 0.7, 2))
    assert select(rows, keep=frozenset({1, 2}), limit=1).class_ids.tolist() == [1]
    assert len(select(rows, keep=frozenset())) == 0


@pytest.mark.parametrize(
    "junk",
    [
        ((np.nan, 0, 1, 1), 0.9), ((0, 0, np.inf, 1), 0.9), ((-np.inf, 0, 1, 1), 0.9), ((50, 50, 10, 10), 0.9),
        ((10, 10, 10, 50), 0.9), ((10, 10, 50, 10), 0.9), ((0, 0, 1e-7, 1e-7), 0.9), ((2e6, 2e6, 3e6, 3e6), 0.9),
        (A, np.nan), (A, np.inf), (A, -np.inf),
    ],
)  # fmt: skip
def test_a_row_of_junk_is_left_out_and_harms_no_other(junk: tuple[tuple[float, ...], float]) -> None:
    rows = candidates((junk[0], junk[1], 0), (A, 0.5, 0), (FAR_FROM_A, 0.4, 1), (junk[0], junk[1], 1))
    assert select(rows).boxes.tolist() == [list(A), list(FAR_FROM_A)]


def test_one_absurd_box_does_not_blur_the_others() -> None:
    """Its extent moves the other classes far away, where float32 would no longer tell their boxes apart."""
    absurd = (-3e38, -3e38, 3e38, 3e38)
    rows = candidates((absurd, 0.9, 0), (A, 0.8, 5), (NEAR_A, 0.7, 5), (FAR_FROM_A, 0.6, 5))
    assert select(rows).boxes[1:].tolist() == [list(A), list(FAR_FROM_A)]


def test_boxes_outside_the_picture_are_boxes_too() -> None:
    rows = candidates(((-50, -50, -10, -10), 0.9, 0), ((-49, -49, -9, -9), 0.8, 0), ((-200, -50, -160, -10), 0.7, 3))
    assert select(rows).boxes.tolist() == [[-50, -50, -10, -10], [-200, -50, -160, -10]]


def test_what_was_handed_in_is_left_as_it_was() -> None:
    rows = candidates((A, 0.9, 1), (NEAR_A, 0.8, 1))
    before = rows.boxes.copy()
    select(rows)
    assert np.array_equal(rows.boxes, before)


def test_wider_class_numbers_come_out_as_int32() -> None:
    rows = candidates((A, 0.9, 1))
    found = select(Candidates(rows.boxes, rows.scores, rows.class_ids.astype(np.int64)))  # type: ignore[arg-type]
    assert found.class_ids.dtype == np.int32


@pytest.mark.parametrize("iou", [None, 1.0, 2.0])
def test_a_network_that_needs_no_nms_is_given_none(iou: float | None) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    candidates = Candidates(boxes, np.array([0.3, 0.9, 0.3, 0.8], np.float32), np.array([7, 1, 1, 1], np.int32))
    found = select_detections(candidates, min_score=0.1, iou=iou, limit=10)
    assert found.class_ids.tolist() == [1, 7, 1], "best first, of equals the earlier; the empty box is no detection"
    assert len(select_detections(candidates, min_score=0.1, iou=0.99, limit=10)) == 2
    assert len(select_detections(candidates, min_score=0.5, iou=iou, limit=10)) == 1
    assert len(select_detections(candidates, min_score=0.1, iou=iou, limit=2)) == 2
