"""Pictures that are drawn beside the loop: in order, bounded, and never lost when somebody has asked."""

from __future__ import annotations

import base64
import dataclasses
import select
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edgeagent.inference.messages import Snapshot
from edgeagent.inference.painter import MOST_WAITING, Painter, Sketch
from edgeagent.vision.letterbox import fit_letterbox

SIDE = 32
BOX = fit_letterbox(SIDE, SIDE, SIDE, SIDE)


def sketch(number: int, asked: int = 0) -> Sketch:
    picture = np.full((SIDE, SIDE, 3), number, np.uint8)
    rows = [(0, 0.9, 1.0, 1.0, 9.0, 9.0)]
    return Sketch("look", picture, number, 1_700_000_000_000, BOX, rows, ["a"], drawn=False, asked=asked)


class Held(Sketch):
    """One whose drawing waits until it may."""

    go = threading.Event()

    def painted(self) -> Snapshot:
        assert self.go.wait(20)
        return super().painted()


class Broken(Sketch):
    def painted(self) -> Snapshot:
        raise ValueError("no picture")


@pytest.fixture
def painter() -> Iterator[Painter]:
    Held.go.clear()
    made = Painter()
    yield made
    Held.go.set()
    made.close()


def as_(kind: type[Sketch], one: Sketch) -> Sketch:
    return kind(**{field.name: getattr(one, field.name) for field in dataclasses.fields(one)})


def all_of(painter: Painter, count: int) -> list[Snapshot]:
    found: list[Snapshot] = []
    while len(found) < count:
        assert select.select([painter.wake_fd], [], [], 20)[0], "it never woke anybody"
        found += painter.take()
    return found


def test_a_picture_shows_its_frame_and_comes_in_its_turn(painter: Painter) -> None:
    for number in (40, 80, 120):
        painter.paint(sketch(number))
    found = all_of(painter, 3)
    assert [(one.frame, one.found, one.pipeline) for one in found] == [
        (40, 1, "look"),
        (80, 1, "look"),
        (120, 1, "look"),
    ]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(found[1].jpeg), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (SIDE, SIDE, 3) and abs(float(shown.mean()) - 80) < 3
    assert painter.take() == []


def test_when_many_wait_those_of_events_are_left_out_and_those_asked_for_are_not(painter: Painter) -> None:
    for number in range(1, MOST_WAITING + 3):
        painter.paint(as_(Held, sketch(number)))
    painter.paint(as_(Held, sketch(100, asked=7)))
    assert painter.left_out == 2
    Held.go.set()
    found = all_of(painter, MOST_WAITING + 1)
    assert [one.frame for one in found] == [*range(1, MOST_WAITING + 1), 100] and found[-1].asked == 7
    painter.paint(sketch(5))
    assert [one.frame for one in all_of(painter, 1)] == [5]


def test_at_the_end_those_that_are_wanted_are_waited_for(painter: Painter) -> None:
    for number in (1, 2, 3):
        painter.paint(sketch(number))
    assert [one.frame for one in painter.rest(20)] == [1, 2, 3]
    assert painter.rest(20) == []


def test_a_picture_that_takes_too_long_holds_up_no_end(painter: Painter) -> None:
    painter.paint(as_(Held, sketch(1)))
    assert painter.rest(0.01) == []


def test_what_a_picture_fails_with_is_the_loops(painter: Painter) -> None:
    painter.paint(as_(Broken, sketch(1)))
    with pytest.raises(ValueError, match="no picture"):
        all_of(painter, 1)
    painter.paint(sketch(2))
    assert [one.frame for one in all_of(painter, 1)] == [2]


def test_one_that_never_painted_leaves_nothing() -> None:
    before = threading.active_count()
    painter = Painter()
    assert threading.active_count() == before
    painter.close()
