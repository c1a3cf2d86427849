"""The reference decoding of a YOLOv8 output, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.vision.decode import decode_yolov8


def output(*columns: tuple[float, ...]) -> np.ndarray:
    """Columns are cx, cy, w, h and the scores of the classes."""
    return np.array(columns, np.float32).T[None]


def test_rows_come_out_as_corners_best_first() -> None:
    found = decode_yolov8(output((50, 40, 20, 10, 0.1, 0.3), (10, 10, 4, 4, 0.9, 0.2)))
    assert found.boxes.tolist() == [[8, 8, 12, 12], [40, 35, 60, 45]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.3])
    assert found.class_ids.tolist() == [0, 1]
    assert (found.boxes.dtype, found.class_ids.dtype) == (np.float32, np.int32)


def test_equal_scores_keep_their_order_and_the_limit_cuts_the_worst() -> None:
    rows = [(float(i), 0.0, 2.0, 2.0, score) for i, score in enumerate((0.5, 0.7, 0.5, 0.1))]
    assert decode_yolov8(output(*rows), limit=3).boxes[:, 0].tolist() == [0, -1, 1]


def test_no_boxes_are_no_candidates() -> None:
    assert len(decode_yolov8(np.zeros((1, 84, 0), np.float32))) == 0


@pytest.mark.parametrize("shape", [(1, 4, 10), (2, 84, 10), (84, 10), (1, 84, 10, 1)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="YOLOv8 output"):
        decode_yolov8(np.zeros(shape, np.float32))
