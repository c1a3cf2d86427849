"""Pictures with detections on them, and pictures as JPEG of bounded size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.drawing import COLOURS, Mark, draw_marks, encode_jpeg, mark_text

GREY = np.full((120, 200, 3), 90, np.uint8)


def test_a_mark_is_a_box_in_its_colour_and_a_text_beside_it() -> None:
    GREY.flags.writeable = False
    drawn = draw_marks(GREY, [Mark((60, 50, 120, 100), "bolt #3 0.91", 1)])
    for x, y in ((60, 75), (120, 75), (90, 50), (90, 100)):
        assert tuple(drawn[y, x]) == COLOURS[1]
    assert (drawn[60:95, 70:110] == 90).all(), "what is in the box can be seen"
    assert (drawn[:48] != 90).any(), "its text"


@pytest.mark.parametrize(
    "box",
    [(-50, -50, 30, 30), (150, 90, 900, 900), (0, 0, 200, 120), (199, 119, 199, 119), (500, 500, 600, 600)],
    ids=str,
)
@pytest.mark.parametrize("shape", [(120, 200, 3), (2000, 3000, 3), (8, 8, 3), (1, 1, 3)], ids=str)
def test_boxes_beyond_the_edge_are_cut(box: tuple[float, float, float, float], shape: tuple[int, int, int]) -> None:
    picture = np.zeros(shape, np.uint8)
    drawn = draw_marks(picture, [Mark(box, "a text that is longer than the picture is wide", 8)])
    assert drawn.shape == shape and drawn.any()


def test_no_marks_leave_the_picture_as_it_is() -> None:
    assert (draw_marks(GREY, []) == GREY).all()


def test_a_text_names_class_number_and_score() -> None:
    assert mark_text("bolt", 0.914) == "bolt 0.91"
    assert mark_text("bolt", 0.914, 12) == "bolt #12 0.91"


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return ConveyorStream(1280, 720, 30.0, 3).frame(40)[0]


def test_a_jpeg_is_the_picture(scene: np.ndarray) -> None:
    data = encode_jpeg(scene, max_bytes=1_000_000, max_side=4096)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert back.shape == scene.shape
    assert np.abs(back.astype(int) - scene.astype(int)).mean() < 8


@pytest.mark.parametrize("max_bytes", [120_000, 40_000, 10_000, 3_000])
@pytest.mark.parametrize("max_side", [1280, 640, 100])
def test_a_jpeg_is_as_small_as_it_must_be(scene: np.ndarray, max_bytes: int, max_side: int) -> None:
    data = encode_jpeg(scene, max_bytes=max_bytes, max_side=max_side)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert len(data) <= max_bytes and max(back.shape) <= max_side
    assert abs(back.shape[1] / back.shape[0] - 1280 / 720) < 0.1, "its shape stays"


def test_what_cannot_be_a_jpeg_is_refused(scene: np.ndarray) -> None:
    with pytest.raises(ValueError, match="does not fit into 200 bytes"):
        encode_jpeg(scene, max_bytes=200, max_side=640)
    with pytest.raises(ValueError, match="empty"):
        encode_jpeg(np.zeros((0, 10, 3), np.uint8), max_bytes=1000, max_side=640)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (500, 1, 3)], ids=str)
def test_odd_pictures_have_a_jpeg_too(shape: tuple[int, int, int]) -> None:
    back = cv2.imdecode(
        np.frombuffer(encode_jpeg(np.full(shape, 200, np.uint8), max_bytes=5000, max_side=64), np.uint8),
        cv2.IMREAD_COLOR,
    )
    assert 1 <= max(back.shape[:2]) <= 64
