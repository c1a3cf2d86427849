"""Writer and reader of a ring in one process, step by step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edgeagent.camera.ring import READ_TRIES, Frame, FrameMeta, RingReader, RingWriter
from edgeagent.camera.ring_layout import READERS, W_READING, RingLayout
from edgeagent.camera.ring_memory import create_ring, map_header
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

LAYOUT = RingLayout(8, 4, 3)
BOX = fit_letterbox(1920, 1080, 8, 4)


@pytest.fixture
def fd() -> Iterator[int]:
    number = create_ring("ends", LAYOUT)
    yield number
    os.close(number)


@pytest.fixture
def ends(fd: int) -> Iterator[tuple[RingWriter, RingReader]]:
    with RingWriter(fd, []) as writer, RingReader(fd) as reader:
        yield writer, reader


def write(writer: RingWriter, count: int = 1) -> None:
    for _ in range(count):
        number = writer.newest + 1
        writer.start()[:] = number
        writer.publish(number * 10, number * 100, BOX, number * 11)


def empty() -> Frame:
    return np.zeros((4, 8, 3), np.uint8)


def test_a_new_ring_has_no_frame(ends: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ends
    assert (writer.newest, reader.newest, reader.torn, reader.lossless, writer.passed) == (0, 0, 0, False, None)
    assert reader.read_newest(empty()) is None
    assert reader.read_exactly(1, empty()) is None


def test_the_newest_frame_wins(ends: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ends
    write(writer, 5)
    out = empty()
    assert reader.read_newest(out) == FrameMeta(5, 50, 500, BOX, 55)
    assert (out == 5).all()
    assert reader.read_newest(out, after=5) is None
    write(writer)
    meta = reader.read_newest(out, after=5)
    assert meta is not None
    assert meta.sequence == 6


def test_bars_are_right_whatever_was_in_a_place_before() -> None:
    """Pictures of two sizes, frames that somebody else wrote, and writers one after the other."""
    rng, layout = np.random.default_rng(4), RingLayout(16, 16)
    made = create_ring("bars", layout)
    out, expected = np.empty((2, 16, 16, 3), np.uint8)
    with RingReader(made) as reader:
        for _ in range(4):
            with RingWriter(made, []) as writer:
                for step in rng.integers(0, 4, 60):
                    if step == 0:
                        writer.start()[:] = 99
                        writer.publish(1, 1, BOX)
                        continue
                    width, height = ((32, 20), (32, 20), (20, 32))[step - 1]
                    box, image = (
                        fit_letterbox(width, height, 16, 16),
                        rng.integers(0, 255, (height, width, 3), np.uint8),
                    )
                    writer.fill(image, box)
                    writer.publish(1, 1, box)
                    apply_letterbox(image, box, expected)
                    assert reader.read_newest(out) is not None and np.array_equal(out, expected)
    os.close(made)


def test_a_frame_that_is_being_written_is_not_there_yet(ends: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ends
    writer.start()[:] = 9
    assert reader.read_newest(empty()) is None
    write(writer, 3)
    writer.start()[:] = 99  # over frame 1
    assert reader.read_exactly(1, empty()) is None
    for sequence in (2, 3):
        assert reader.read_exactly(sequence, empty()) == FrameMeta(
            sequence, sequence * 10, sequence * 100, BOX, sequence * 11
        )
    assert reader.read_exactly(4, empty()) is None


def test_an_overwritten_frame_is_gone(ends: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ends
    write(writer, 4)
    assert reader.read_exactly(1, empty()) is None
    assert reader.read_exactly(2, empty()) is not None


def test_a_writer_that_is_always_faster_is_given_up_on(
    ends: tuple[RingWriter, RingReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy's copy stands in for the moment in which the writer overtakes the reader by a whole ring."""
    writer, reader = ends
    write(writer)
    copy = np.copyto

    def overtaken(out: Frame, frame: Frame) -> None:
        copy(out, frame)
        write(writer, LAYOUT.slots)

    monkeypatch.setattr(np, "copyto", overtaken)
    assert reader.read_newest(empty()) is None
    assert reader.torn == READ_TRIES


def test_a_restarted_writer_goes_on_counting(fd: int) -> None:
    with RingWriter(fd, []) as first:
        write(first, 7)
        first.start()[:] = 77  # and dies here
    with RingWriter(fd, []) as second, RingReader(fd) as reader:
        assert second.newest == 7
        write(second)
        out = empty()
        meta = reader.read_newest(out)
        assert meta is not None
        assert (meta.sequence, int(out.min()), int(out.max())) == (8, 8, 8)


def test_a_pass_counts_from_where_it_begins(fd: int) -> None:
    with RingWriter(fd, []) as writer, RingReader(fd) as reader:
        write(writer, 10)
        writer.begin_pass()
        assert (writer.lossless, reader.lossless, writer.passed, reader.consumed, writer.backlog()) == (
            True, True, 0, 10, 0,
        )  # fmt: skip
        write(writer, 2)
        assert (writer.passed, writer.backlog()) == (2, 2)
        reader.set_consumed(11)
        assert (writer.passed, writer.backlog()) == (2, 1)
    with RingWriter(fd, []) as successor:
        assert (successor.passed, successor.backlog()) == (2, 1)


# looking at frames where they lie


def test_a_frame_is_looked_at_where_it_lies_and_nobody_writes_there_through_the_reader(
    ends: tuple[RingWriter, RingReader],
) -> None:
    writer, reader = ends
    write(writer, 3)
    meta = reader.peek_newest()
    assert meta is not None and meta.sequence == 3
    view = reader.view(meta)
    assert (view == 3).all() and reader.is_whole(meta)
    with pytest.raises(ValueError, match="read-only"):
        view[:] = 0


def test_a_frame_stays_whole_until_the_writer_comes_round_again(fd: int) -> None:
    with RingWriter(fd, []) as writer, RingReader(fd) as reader:
        write(writer)
        meta = reader.peek_newest()
        assert meta is not None
        write(writer, writer.layout.slots - 1)
        assert reader.is_whole(meta) and (reader.view(meta) == 1).all()
        writer.start()  # in the very memory
        torn = reader.torn
        assert not reader.lies_there(meta) and reader.torn == torn, "a look that counts nothing"
        assert not reader.is_whole(meta) and reader.torn == torn + 1
        assert reader.torn == 1, "counted"
        assert reader.peek_exactly(1) is None


def test_a_ring_can_be_closed_while_somebody_still_looks(fd: int) -> None:
    with RingWriter(fd, []) as writer:
        write(writer)
        with RingReader(fd) as reader:
            lent = memoryview(reader.memory)
            meta = reader.peek_newest()
            assert meta is not None
            view = reader.view(meta)
        assert (view == 1).all() and len(lent) == writer.layout.total_bytes


@pytest.mark.parametrize("index", [-1, READERS, 100])
def test_there_are_only_so_many_readers(fd: int, index: int) -> None:
    with pytest.raises(ValueError, match="there is no number"):
        RingReader(fd, index)


def test_readers_count_for_themselves(fd: int) -> None:
    with RingWriter(fd, []) as writer, RingReader(fd, 0) as one, RingReader(fd, READERS - 1) as last:
        write(writer, 3)
        one.set_consumed(3)
        last.set_consumed(1)
        assert (one.consumed, last.consumed) == (3, 1)


def test_a_writer_waits_for_the_slowest_of_those_who_are_there(fd: int) -> None:
    words = map_header(fd)
    with RingWriter(fd, []) as writer, RingReader(fd, 0) as one, RingReader(fd, 2) as other:
        writer.begin_pass()
        write(writer, 3)
        one.set_consumed(3)
        other.set_consumed(1)
        backlogs = []
        for reading in (0b001, 0b101, 0b100, 0b010):
            words[W_READING] = reading
            backlogs.append(writer.backlog())
    words.release()
    assert backlogs == [0, 2, 2, 3]


def test_a_pass_begins_for_everybody_behind_what_was_shown_before(fd: int) -> None:
    with RingWriter(fd, []) as writer, RingReader(fd, 0) as one, RingReader(fd, 3) as other:
        write(writer, 5)
        writer.begin_pass()
        assert (one.consumed, other.consumed, writer.backlog()) == (5, 5, 0)


def test_only_those_who_are_there_are_woken(fd: int) -> None:
    words, wakes = map_header(fd), [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3)]
    woken = []
    with RingWriter(fd, wakes) as writer:
        for reading in (0b001, 0b110):
            words[W_READING] = reading
            write(writer)
            woken.append([rang(wake) for wake in wakes])
    words.release()
    for wake in wakes:
        os.close(wake)
    assert woken == [[True, False, False], [False, True, True]]


def rang(wake: int) -> bool:
    try:
        return os.eventfd_read(wake) > 0
    except BlockingIOError:
        return False


def test_closing_does_not_hide_the_error_that_led_to_it(fd: int) -> None:
    """The error's traceback still holds the frame that was being filled."""

    def fill(frame: Frame) -> None:
        raise ZeroDivisionError(len(frame))

    with pytest.raises(ZeroDivisionError):
        with RingWriter(fd, []) as writer:
            fill(writer.start())


def test_a_picture_of_another_size_is_not_copied(ends: tuple[RingWriter, RingReader]) -> None:
    writer, reader = ends
    write(writer)
    with pytest.raises(ValueError, match="broadcast"):
        reader.read_newest(np.zeros((5, 8, 3), np.uint8))


def test_a_frame_says_when_it_was_written_and_how_it_lies_there(ends: tuple[RingWriter, RingReader]) -> None:
    """The letterbox is that of the very frame, also when the camera changes its size from one to the next."""
    writer, reader = ends
    for box in (BOX, BOX, fit_letterbox(4, 4, 8, 4), BOX):
        writer.start()
        before_ns = time.monotonic_ns()
        writer.publish(1, 2, box)
        meta = reader.peek_newest()
        assert meta is not None and meta.box == box
        assert before_ns <= meta.written_ns <= time.monotonic_ns()
