"""The short way gives what the long way gives, or says that it is not for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeagent.vision.detections import Candidates
from edgeagent.vision.few import MOST, Few, Row
from edgeagent.vision.letterbox import Letterbox, fit_letterbox, map_to_source
from edgeagent.vision.nms import select_detections

# Whole pixels and a threshold between the fractions that they can form: neither way has anything to round differently.
SIDE = 24
IOU = 0.4503
CORNER = st.integers(-4, 64)
SCORE = st.integers(0, 24).map(lambda n: n / 24)
ROW = st.tuples(CORNER, CORNER, st.integers(1, SIDE), st.integers(1, SIDE), SCORE, st.integers(0, 3))
BOXES = st.sampled_from([(64, 64), (128, 64), (31, 77), (640, 8)])
ODD = [float("nan"), float("inf"), -float("inf"), 3e6]
Rows = list[tuple[float, float, float, float, float, int]]


def make(rows: Rows) -> Candidates:
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _, _ in rows]
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([row[4] for row in rows], np.float32),
        np.array([row[5] for row in rows], np.int32),
    )


def few(min_score: float, limit: int, keep: frozenset[int] | None = None, iou: float | None = IOU) -> Few:
    return Few(float(np.float32(min_score)), iou, limit, keep)


def long_way(one: Few, candidates: Candidates, box: Letterbox) -> list[Row]:
    found = select_detections(candidates, min_score=one.min_score, iou=one.iou, limit=one.limit, keep=one.keep)
    boxes = map_to_source(found.boxes, box).tolist()
    rows = zip(found.class_ids.tolist(), found.scores.tolist(), boxes, strict=True)
    return [(c, score, *at) for c, score, at in rows if at[2] > at[0] and at[3] > at[1]]


def is_same(one: list[Row], other: list[Row]) -> bool:
    """To float32's last digits, which the short way does not round to."""
    return [row[:2] for row in one] == [row[:2] for row in other] and np.allclose(
        [row[2:] for row in one], [row[2:] for row in other], atol=1e-3
    )


@given(
    st.lists(ROW, max_size=MOST + 6),
    SCORE,
    st.integers(0, 12),
    st.none() | st.frozensets(st.integers(0, 3)),
    st.sampled_from([IOU, None, 1.0, 0.0]),
    BOXES,
)
def test_it_is_the_long_way_s_answer(
    rows: Rows, min_score: float, limit: int, keep: frozenset[int] | None, iou: float | None, size: tuple[int, int]
) -> None:
    rows.sort(key=lambda row: -row[4])
    one, candidates, box = few(min_score, limit, keep, iou), make(rows), fit_letterbox(*size, 64, 64)
    found = one.select(candidates, box)
    if sum(row[4] >= one.min_score for row in rows) > MOST:
        assert found is None
    else:
        assert found is not None and is_same(found, long_way(one, candidates, box))


SPOILT = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4), st.sampled_from(ODD)), max_size=3)


@given(st.lists(ROW, max_size=12), SCORE, SPOILT)
@example([(0, 0, 9, 9, 0.9, 0), (20, 20, 9, 9, 0.8, 0)], 0.5, [(1, 4, ODD[0])])
@example([(0, 0, 9, 9, 0.9, 0)], 0.5, [(0, 4, ODD[1])])
@example([(0, 0, 9, 9, 0.9, 0)], 0.5, [(0, 0, ODD[0])])
def test_whatever_it_is_given_it_says_nothing_or_the_same(
    rows: Rows, min_score: float, spoilt: list[tuple[int, int, float]]
) -> None:
    for number, column, odd in spoilt:
        if number < len(rows):
            rows[number] = (*rows[number][:column], odd, *rows[number][column + 1 :])
    one, candidates, box = few(min_score, 100), make(rows), fit_letterbox(64, 64, 64, 64)
    found = one.select(candidates, box)
    assert found is None or is_same(found, long_way(one, candidates, box))


@pytest.mark.parametrize("count", [0, 1, MOST, MOST + 1])
def test_how_many_are_few(count: int) -> None:
    rows: Rows = [(2.0 * n, 0, 1, 1, 0.9 - n / 100, 0) for n in range(count)]
    found = few(0.5, 100).select(make(rows), fit_letterbox(640, 640, 640, 640))
    assert found is None if count > MOST else found is not None and len(found) == count


def test_a_score_of_just_the_least_is_enough() -> None:
    found = few(0.7, 10).select(make([(0, 0, 9, 9, 0.7, 2)]), fit_letterbox(64, 64, 64, 64))
    assert found == [(2, float(np.float32(0.7)), 0.0, 0.0, 9.0, 9.0)]


@pytest.mark.parametrize("scores", [(0.8, 0.9), (0.8, 0.1, 0.8)])
def test_what_is_not_in_order_is_left_to_the_long_way(scores: tuple[float, ...]) -> None:
    rows: Rows = [(20.0 * n, 0, 9, 9, score, 0) for n, score in enumerate(scores)]
    assert few(0.5, 10).select(make(rows), fit_letterbox(64, 64, 64, 64)) is None
