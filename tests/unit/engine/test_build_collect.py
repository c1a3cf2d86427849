"""Frames of several cameras in turn, from real rings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from edgeagent.camera.ring import RingReader, RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.engine.build.collect import RingsInTurn
from edgeagent.vision.letterbox import fit_letterbox

SIDE = 32
SAME = fit_letterbox(SIDE, SIDE, SIDE, SIDE)


@pytest.fixture
def rings() -> Iterator[list[tuple[RingWriter, RingReader]]]:
    with ExitStack() as stack:
        made = []
        for _ in range(3):
            fd = create_ring("test", RingLayout(SIDE, SIDE))
            stack.callback(os.close, fd)
            made.append((stack.enter_context(RingWriter(fd, [])), stack.enter_context(RingReader(fd))))
        yield made


def put(writer: RingWriter, value: int) -> None:
    writer.start()[:] = value
    writer.publish(time.monotonic_ns(), 0, SAME)


def taken(frames: RingsInTurn) -> list[int]:
    """All that is there now."""
    found = []
    while (frame := frames.next()) is not None:
        assert frame.shape == (SIDE, SIDE, 3) and np.ptp(frame) == 0
        found.append(int(frame[0, 0, 0]))
    return found


def test_each_camera_has_its_turn_and_one_that_gives_nothing_holds_up_nobody(
    rings: list[tuple[RingWriter, RingReader]],
) -> None:
    frames = RingsInTurn([reader for _, reader in rings])
    assert taken(frames) == []
    first, second, third = (writer for writer, _ in rings)
    for number, writer in enumerate((first, second, third)):
        put(writer, number)
    assert taken(frames) == [0, 1, 2]
    put(first, 10)
    put(first, 20)
    put(third, 30)
    assert sorted(taken(frames)) == [20, 30], "the newest of each, and none twice"
    assert taken(frames) == []


def test_a_fast_camera_does_not_take_the_others_turns(rings: list[tuple[RingWriter, RingReader]]) -> None:
    frames = RingsInTurn([reader for _, reader in rings[:2]])
    (fast, _), (slow, _) = rings[:2]
    put(slow, 100)
    found = []
    for number in range(6):
        put(fast, number)
        frame = frames.next()
        assert frame is not None
        found.append(int(frame[0, 0, 0]))
    assert found == [0, 100, 2, 3, 4, 5]
