"""How far a stream has come in its ring, and what counts as dropped on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from edgeagent.camera.pace import Spacing
from edgeagent.camera.ring import RingReader, RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.inference.after import After, Memory
from edgeagent.inference.messages import PipelineStart
from edgeagent.inference.pacing import Limit
from edgeagent.inference.pipeline import Pipeline
from edgeagent.inference.stream import Feed, Stream
from edgeagent.vision.letterbox import fit_letterbox

BOX = fit_letterbox(16, 16, 16, 16)
FRAME_NS = 100_000_000
BEGAN_NS = 10**12


class Ring:
    """A ring of a camera with ten frames a second, and one stream that looks at it."""

    def __init__(self) -> None:
        self.fd = create_ring("test", RingLayout(16, 16))
        self.writer, self.reader = RingWriter(self.fd, []), RingReader(self.fd)
        self.feed = Feed(self.reader, -1)
        self.stream = Stream(self.feed, 1, 1)

    def look(self, interval_s: float = 0.0, **pace: float | None) -> Limit:
        """One more pipeline, and its limit."""
        start = PipelineStart(
            pipeline="look", ring="cam", backend="", plan="", engine="e", classes=["a"], keep=None, min_score=0.5,
            iou=None, max_detections=9, min_interval_s=interval_s,
        )  # fmt: skip
        limit = Limit()
        limit.set(pace.get("share", 1.0) or 0.0, pace.get("per_s"))
        self.stream.add(Pipeline(start, After(start, Memory()), limit, Spacing(interval_s)))
        return limit

    def come_to(self, *frames: int) -> list[int]:
        """Have the stream look when each of these is the newest: those that go to the engine."""
        taken = []
        for frame in frames:
            while self.writer.newest < frame:
                self.writer.start()
                self.writer.publish(BEGAN_NS + (self.writer.newest + 1) * FRAME_NS, 0, BOX)
            self.stream.awake = True
            if self.stream.waits(0) and (seat := self.stream.board()) is not None:
                taken.append(seat.meta.sequence)
                self.stream.land(seat.meta)
        return taken

    def close(self) -> None:
        self.reader.close()
        self.writer.close()
        os.close(self.fd)


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring()
    yield made
    made.close()


def test_what_a_stream_never_came_to_is_dropped(ring: Ring) -> None:
    ring.look()
    assert ring.come_to(3, 4, 7) == [3, 4, 7]
    assert ring.feed.dropped == 2, "5 and 6; those before the first were never owed"


@pytest.mark.parametrize(
    ("frames", "taken", "dropped"),
    [((1, 4, 6, 9, 11), [1, 6, 11], 0), ((1, 5, 8, 9, 14), [1, 8, 14], 2 + 3), ((1, 21), [1, 21], 15)],
)
def test_frames_that_the_settings_do_not_want_are_not_missed(
    ring: Ring, frames: tuple[int, ...], taken: list[int], dropped: int
) -> None:
    """Two results a second of ten frames: the loop is busy elsewhere now and then, and comes back in time or late."""
    ring.look(0.5)
    assert ring.come_to(*frames) == taken
    assert ring.feed.dropped == dropped


def test_of_two_pipelines_the_one_that_wants_more_counts(ring: Ring) -> None:
    ring.look(0.5)
    ring.look(0.2)
    assert ring.come_to(1, 4) == [1, 4]
    assert ring.feed.dropped == 1, "3; 2 was wanted by neither"


def test_a_pipeline_that_sheds_misses_nothing(ring: Ring) -> None:
    limit = ring.look(share=0.0)
    assert ring.come_to(1, 9) == []
    assert ring.feed.dropped == 0
    limit.set(1.0, 2.0)
    assert ring.come_to(10, 14, 15, 18) == [10, 15]
    assert ring.feed.dropped == 0
