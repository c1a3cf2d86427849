"""OpenCV's NMS with classes moved apart equals the textbook's, on random boxes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.vision.detections import Candidates
from edgeagent.vision.nms import select_detections

# Whole pixels make intersections and unions exact; the threshold lies between the fractions that they can form.
SIDE = 24
IOU = 0.4503
CORNER = st.integers(-SIDE, SIDE)
LENGTH = st.integers(0, SIDE)
SCORE = st.integers(0, 12).map(lambda n: n / 12)
ROW = st.tuples(CORNER, CORNER, LENGTH, LENGTH, SCORE, st.integers(0, 3))


def make(rows: list[tuple[int, int, int, int, float, int]]) -> Candidates:
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _, _ in rows]
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([row[4] for row in rows], np.float32),
        np.array([row[5] for row in rows], np.int32),
    )


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(shared / (sum(areas) - shared))


def reference(rows: Candidates, min_score: float, limit: int) -> list[int]:
    """Greedy, one class at a time, best first; of equal scores the earlier row."""
    kept: list[int] = []
    for index in np.argsort(-rows.scores, kind="stable"):
        box = rows.boxes[index].astype(float)
        if rows.scores[index] < np.float32(min_score) or box[2] <= box[0] or box[3] <= box[1]:
            continue
        rivals = [k for k in kept if rows.class_ids[k] == rows.class_ids[index]]
        if all(overlap(rows.boxes[k].astype(float), box) <= IOU for k in rivals):
            kept.append(int(index))
    return kept[:limit]


@given(st.lists(ROW, max_size=40), SCORE, st.integers(1, 20))
def test_it_is_the_textbook_s_nms(
    rows: list[tuple[int, int, int, int, float, int]], min_score: float, limit: int
) -> None:
    given_rows = make(rows)
    found = select_detections(given_rows, min_score=min_score, iou=IOU, limit=limit)
    expected = reference(given_rows, min_score, limit)
    assert found.boxes.tolist() == given_rows.boxes[expected].tolist()
    assert found.scores.tolist() == given_rows.scores[expected].tolist()
    assert found.class_ids.tolist() == given_rows.class_ids[expected].tolist()


@given(st.lists(ROW, max_size=30), st.integers(-600, 600), st.integers(-600, 600))
def test_moving_all_boxes_changes_nothing(rows: list[tuple[int, int, int, int, float, int]], dx: int, dy: int) -> None:
    before = select_detections(make(rows), min_score=0.2, iou=IOU, limit=100)
    moved = [(x + dx, y + dy, *rest) for x, y, *rest in rows]
    after = select_detections(make(moved), min_score=0.2, iou=IOU, limit=100)  # type: ignore[arg-type]
    assert np.array_equal(after.boxes - np.array([dx, dy, dx, dy]), before.boxes)


@given(st.lists(st.tuples(*[st.floats(width=32)] * 5, st.integers(-5, 5)), max_size=20), st.floats(-1, 2))
def test_whatever_the_engine_says_what_comes_out_is_sound(
    rows: list[tuple[float, float, float, float, float, int]], min_score: float
) -> None:
    given_rows = Candidates(
        np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[4] for row in rows], np.float32),
        np.array([row[5] for row in rows], np.int32),
    )
    found = select_detections(given_rows, min_score=min_score, iou=0.5, limit=10)
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (found.scores >= np.float32(min_score)).all()
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert len(found) <= 10
