"""Laws of the ring's layout, and of its two ends against a model that keeps every frame."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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
