"""Laws of the ring's layout, and of its two ends against a model that keeps every frame."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.app.rings import Ring
from edgeagent.camera.ring import RingReader, RingWriter
from edgeagent.camera.ring_layout import PAGE, RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.vision.letterbox import Letterbox

LAYOUTS = st.builds(RingLayout, st.integers(1, 16384), st.integers(1, 16384), st.integers(2, 64))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 255)),
        st.tuples(st.just("begin"), st.integers(0, 255)),
        st.tuples(st.just("newest"), st.integers(0, 40)),
        st.tuples(st.just("exactly"), st.integers(0, 40)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@given(LAYOUTS)
def test_nothing_overlaps_and_everything_lies_on_pages(layout: RingLayout) -> None:
    end = PAGE
    for slot in range(layout.slots):
        assert layout.slot_offset(slot) == end
        assert layout.frame_offset(slot) == end + PAGE
        end = layout.frame_offset(slot) + layout.frame_bytes
        end += -end % PAGE
    assert layout.total_bytes == end


@given(st.integers(2, 5), STEPS)
def test_it_behaves_like_a_list_of_frames_of_which_the_last_few_are_kept(
    slots: int, steps: list[tuple[str, int]]
) -> None:
    fd = create_ring("laws", RingLayout(3, 2, slots))
    writer, reader = RingWriter(fd, []), RingReader(fd)
    frames: list[int] = []
    begun = False
    out = np.zeros((2, 3, 3), np.uint8)

    def see(sequence: int) -> None:
        assert (out == frames[sequence - 1]).all()

    try:
        for step, value in steps:
            if step == "begin":
                writer.start()[:] = value
                begun = True
            elif step == "write":
                writer.start()[:] = value
                box = Letterbox(value, len(frames), 3, 2, value / 3, value / 5, value / 7)
                assert writer.publish(value, value * 2, box) == len(frames) + 1
                frames.append(value)
                begun = False
            elif step == "restart":
                writer.close()
                writer = RingWriter(fd, [])
            elif step == "newest":
                meta = reader.read_newest(out, after=value)
                assert (meta is None) == (len(frames) <= value)
                if meta is not None:
                    assert meta.sequence == len(frames)
                    see(meta.sequence)
            elif value:
                meta = reader.read_exactly(value, out)
                oldest = len(frames) - slots + 1 + begun
                assert (meta is not None) == (max(1, oldest) <= value <= len(frames))
                assert reader.peek_exactly(value) == meta
                if meta is not None:
                    see(value)
                    assert (reader.view(meta) == frames[value - 1]).all() and reader.is_whole(meta)
                    assert (meta.capture_ns, meta.capture_ms) == (frames[value - 1], 2 * frames[value - 1])
                    assert (meta.box.source_height, meta.box.scale) == (value - 1, frames[value - 1] / 3)
    finally:
        writer.close()
        reader.close()
        os.close(fd)


SEATS: tuple[Literal["cpu", "gpu", "dla0", "dla1"], ...] = ("cpu", "gpu", "dla0", "dla1")
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.just(0)),
        st.tuples(st.just("finish"), st.integers(0, 3)),
        st.tuples(st.just("sit"), st.sets(st.integers(0, 3))),
        st.tuples(st.just("hold"), st.just(0)),
        st.tuples(st.just("let_go"), st.just(0)),
        st.tuples(st.just("writer"), st.just(0)),
    ),
    max_size=80,
)


@given(st.integers(0, 6), MOVES)
def test_a_pass_keeps_what_those_who_are_there_have_not_finished(shown: int, moves: list[tuple[str, Any]]) -> None:
    """Readers come and go as they like: nobody who stays ever misses a frame, and nobody waits for one who is away."""
    ring = Ring("laws", RingLayout(3, 2), lossless_only=True)
    writer, readers = RingWriter(ring.fd, ring.wake_fds), [RingReader(ring.fd, seat) for seat in range(len(SEATS))]
    there, holds, held = {0}, 0, 0
    out = np.zeros((2, 3, 3), np.uint8)
    done = [0] * len(SEATS)

    def write() -> None:
        writer.start()[:] = (writer.newest + 1) % 256
        writer.publish(0, 0, Letterbox(3, 2, 3, 2, 1.0, 0.0, 0.0))

    try:
        for _ in range(shown):
            write()
        writer.begin_pass()
        done = [shown] * len(SEATS)
        for move, what in moves:
            if move == "write" and writer.backlog() < ring.layout.slots:
                write()
                for seat in there:
                    assert rang(ring.wake_fds[seat]), "whoever is there is woken"
            elif move == "finish" and what in there and readers[what].newest > done[what]:
                assert readers[what].read_exactly(done[what] + 1, out) is not None, "it was overwritten"
                assert (out == (done[what] + 1) % 256).all()
                done[what] += 1
                readers[what].set_consumed(done[what])
            elif move == "sit":
                slowest = min([*(done[seat] for seat in there), *([held] if holds else [])])
                ring.let_read([SEATS[seat] for seat in what])
                for seat in what - there:
                    done[seat] = slowest
                    assert rang(ring.wake_fds[seat]), "one who comes looks at what is there"
                there = set(what) or there
            elif move == "hold":
                held = held if holds else min(done[seat] for seat in there)
                ring.hold()
                holds += 1
            elif move == "let_go" and holds:
                ring.let_go()
                holds -= 1
            elif move == "writer":
                writer.close()
                writer = RingWriter(ring.fd, ring.wake_fds)
            slowest = min([*(done[seat] for seat in there), *([held] if holds else [])])
            assert writer.backlog() == writer.newest - slowest <= ring.layout.slots
            assert ring.drained == (slowest == writer.newest)
            assert {seat for seat, name in enumerate(SEATS) if ring.is_read_by(name)} == there
    finally:
        writer.close()
        for reader in readers:
            reader.close()
        ring.close()


def rang(wake: int) -> bool:
    try:
        return os.eventfd_read(wake) > 0
    except BlockingIOError:
        return False
