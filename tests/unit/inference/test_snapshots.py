"""When a picture is taken, and what is on it."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from edgeagent.inference.messages import ResultRow
from edgeagent.inference.snapshots import MOST_BYTES, Arrivals, draw_snapshot, without_bars
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

S = 1_000_000_000
BOX = fit_letterbox(640, 480, 320, 320)


def row(class_id: int, *more: int) -> ResultRow:
    return (class_id, 0.9, 100.0, 100.0, 200.0, 200.0, *more)  # type: ignore[return-value]


def due(arrivals: Arrivals, seconds: float, *rows: ResultRow, tracked: bool = False) -> bool:
    return arrivals.is_due(rows, 10.0, int(seconds * S), tracked=tracked)


def test_more_of_a_class_is_an_arrival_where_nothing_is_tracked() -> None:
    arrivals = Arrivals()
    assert not due(arrivals, 0)
    assert due(arrivals, 1, row(0))
    assert not due(arrivals, 20, row(0)), "the same again"
    assert due(arrivals, 40, row(0), row(1))
    assert not due(arrivals, 60, row(1)), "something went"
    assert due(arrivals, 80, row(0), row(1)), "and came back"


def test_a_new_number_is_an_arrival_where_things_are_tracked() -> None:
    arrivals = Arrivals()
    assert not due(arrivals, 0, row(0, 0), tracked=True)
    assert due(arrivals, 1, row(0, 1), tracked=True)
    assert not due(arrivals, 20, row(0, 1), tracked=True)
    assert not due(arrivals, 40, tracked=True)
    assert not due(arrivals, 60, row(0, 1), tracked=True), "it was only lost"
    assert due(arrivals, 80, row(0, 1), row(0, 2), tracked=True)


def test_pictures_keep_their_distance() -> None:
    arrivals = Arrivals()
    taken = [number for number in range(1, 40) if due(arrivals, number, row(0, number), tracked=True)]
    assert taken == [1, 11, 21, 31]


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    out = np.zeros((320, 320, 3), np.uint8)
    apply_letterbox(ConveyorStream(640, 480, 30.0, 2).frame(9)[0], BOX, out)
    return out


def picture(jpeg: str) -> np.ndarray:
    raw = base64.b64decode(jpeg, validate=True)
    assert len(raw) <= MOST_BYTES
    return np.asarray(cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR))


def test_a_plain_picture_is_the_frame_without_its_bars(frame: np.ndarray) -> None:
    plain = picture(draw_snapshot(frame, BOX, [row(0)], ["bolt"], drawn=False))
    assert plain.shape == (240, 320, 3)
    assert np.abs(plain.astype(int) - without_bars(frame, BOX).astype(int)).mean() < 8


def test_a_drawn_one_has_the_boxes_where_the_things_are(frame: np.ndarray) -> None:
    plain, drawn = (picture(draw_snapshot(frame, BOX, [row(0, 7)], ["bolt"], drawn=wish)) for wish in (False, True))
    changed = np.abs(plain.astype(int) - drawn.astype(int)).max(axis=2) > 60
    assert changed[75, 48:53].any() and changed[75, 98:103].any(), "its left and right side"
    assert not changed[60:90, 60:90].any(), "nothing on the thing itself"
    assert not changed[150:, 150:].any()


def test_a_frame_as_large_as_any_fits_the_link() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1280, 1280, 3), dtype=np.uint8)
    assert picture(draw_snapshot(noise, fit_letterbox(4096, 4096, 1280, 1280), [], [], drawn=True)).size
