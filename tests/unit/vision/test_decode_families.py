"""The reference decodings of all families, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeagent.vision import decode
from edgeagent.vision.detections import Candidates


def array(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array([rows], np.float32)


def said(found: Candidates) -> tuple[list[Any], list[Any], list[Any]]:
    return found.boxes.tolist(), [round(float(score), 4) for score in found.scores], found.class_ids.tolist()


def test_yolov5_multiplies_objectness_and_class() -> None:
    found = decode.decode_yolov5(array((50, 40, 20, 10, 0.5, 0.2, 0.8), (10, 10, 4, 4, 0.9, 0.9, 0.1)))
    assert said(found) == ([[8, 8, 12, 12], [40, 35, 60, 45]], [0.81, 0.4], [0, 1])


def test_yolov5_with_raw_scores() -> None:
    found = decode.decode_yolov5(array((0, 0, 2, 2, 0.0, 0.0, -9.0)), activation="sigmoid")
    assert said(found) == ([[-1, -1, 1, 1]], [0.25], [0])


def test_end_to_end_rows_are_corners_and_sorted() -> None:
    found = decode.decode_end2end_rows(array((1, 2, 3, 4, 0.5, 1), (5, 6, 7, 8, 0.75, 0)), 2)
    assert said(found) == ([[5, 6, 7, 8], [1, 2, 3, 4]], [0.75, 0.5], [0, 1])


@pytest.mark.parametrize(
    ("label", "background", "score", "class_id"),
    [
        *[(0, "none", 0.5, 0), (2, "none", 0.5, 2), (3, "none", 0.0, 2), (-1, "none", 0.0, 0)],
        *[(1, "first", 0.5, 0), (3, "first", 0.5, 2), (0, "first", 0.0, 0), (4, "first", 0.0, 2)],
    ],
)
def test_a_label_that_no_class_has_scores_0(label: int, background: Any, score: float, class_id: int) -> None:
    boxes, scores, labels = array((1, 2, 3, 4)), np.full((1, 1), 0.5, np.float32), np.array([[label]])
    found = decode.decode_end2end(boxes, scores, labels, 3, background=background)
    assert said(found) == ([[1, 2, 3, 4]], [score], [class_id])


def test_rtdetr_s_shares_of_the_input() -> None:
    found = decode.decode_rows(array((0.5, 0.5, 0.5, 1.0, 0.1, 0.7)), size=(200, 100))
    assert said(found) == ([[50, 0, 150, 100]], [0.7], [1])


@pytest.mark.parametrize(
    ("boxes_are", "row"),
    [("xyxy", (10, 20, 50, 80)), ("yxyx", (20, 10, 80, 50)), ("xywh", (10, 20, 40, 60)), ("cxcywh", (30, 50, 40, 60))],
)
def test_orders_of_a_box(boxes_are: Any, row: tuple[float, ...]) -> None:
    found = decode.decode_pair(array(row), array((0.9,)), boxes_are=boxes_are)
    assert found.boxes.tolist() == [[10, 20, 50, 80]]


@pytest.mark.parametrize(
    ("background", "activation", "row", "score", "class_id"),
    [
        ("none", "none", (0.2, 0.3), 0.3, 1),
        ("first", "none", (0.9, 0.2, 0.3), 0.3, 1),
        ("last", "none", (0.2, 0.3, 0.9), 0.3, 1),
        ("first", "softmax", (np.log(2), 0, np.log(5)), 5 / 8, 1),
        ("last", "softmax", (np.log(5), 0, np.log(2)), 5 / 8, 0),
        ("none", "sigmoid", (0, -1), 0.5, 0),
    ],
)
def test_scores_with_a_class_for_nothing(
    background: Any, activation: Any, row: tuple[float, ...], score: float, class_id: int
) -> None:
    found = decode.decode_pair(array((0, 0, 1, 1)), array(row), background=background, activation=activation)
    assert said(found)[1:] == ([round(score, 4)], [class_id])


def test_a_classification_is_the_whole_frame_five_times() -> None:
    raw = np.array([[1.0, 5.0, 3.0, 5.0, 0.0, 2.0]], np.float32)
    found = decode.decode_classes(raw, (64, 32), activation="softmax")
    assert found.class_ids.tolist() == [1, 3, 2, 5, 0]
    assert found.boxes.tolist() == [[0, 0, 64, 32]] * 5
    assert found.scores[0] == pytest.approx(np.exp(5) / np.exp(raw).sum())


def test_extreme_raw_scores_overflow_nowhere() -> None:
    extreme = np.array([-1e30, -100, 0, 100, 1e30], np.float32)
    assert decode.sigmoid(extreme).tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert decode.softmax(extreme).tolist() == pytest.approx([0, 0, 0, 0, 1])


def test_no_rows_are_no_candidates() -> None:
    assert len(decode.decode_rows(np.zeros((1, 0, 84), np.float32))) == 0
    assert len(decode.decode_end2end_rows(np.zeros((1, 0, 6), np.float32), 80)) == 0
    assert len(decode.decode_yolov5(np.zeros((1, 0, 85), np.float32))) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: decode.decode_yolov5(np.zeros((1, 10, 5), np.float32)),
        lambda: decode.decode_yolov5(np.zeros((2, 10, 85), np.float32)),
        lambda: decode.decode_rows(np.zeros((1, 10, 4), np.float32)),
        lambda: decode.decode_end2end_rows(np.zeros((1, 10, 7), np.float32), 3),
        lambda: decode.decode_pair(np.zeros((1, 10, 4), np.float32), np.zeros((1, 9, 3), np.float32)),
        lambda: decode.decode_end2end(
            np.zeros((1, 9, 4), np.float32), np.zeros((1, 8), np.float32), np.zeros((1, 9)), 3
        ),
        lambda: decode.decode_classes(np.zeros((1, 3, 2), np.float32), (32, 32)),
    ],
)
def test_other_shapes_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="not"):
        wrong()
