"""Rings, and the streams that leave them: a stream is the pipelines of one ring that one engine serves.

A stream's pipelines see the same frames and share one run of the engine for each. How far each stream has come is its
own affair, so a slow engine does not hold up a fast one on the same camera; a frame that some stream never came to look
at, and would have, counts as dropped once for the ring. Of a ring in lossless mode each frame is looked at in turn, and
it counts as consumed when every stream is done with it: when its results are sent.

Frames are handed to an engine where they lie in the ring. An engine that reads them for so long that the writer comes
round again would get none whole, so after a torn one a stream's next CAREFUL_FRAMES are copied out first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from edgeagent.camera.ring import Frame, FrameMeta, RingReader
from edgeagent.inference.pipeline import Pipeline

CAREFUL_FRAMES = 1000
_numbers = count(1)


class Feed:
    """A ring and who looks at it. `lossless_only`: frames before the ring turns lossless are a rehearsal. `awaited`:
    pipelines that come as soon as their engines are loaded; the writer of a lossless ring waits for them."""

    def __init__(self, ring: RingReader, wake_fd: int, *, lossless_only: bool = False) -> None:
        self.ring = ring
        self.wake_fd = wake_fd
        self.lossless_only = lossless_only
        self.streams: list[Stream] = []
        self.awaited: set[str] = set()
        self.dropped = 0
        self._counted_to = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames."""
        return self.ring.layout.height, self.ring.layout.width

    @property
    def paused(self) -> bool:
        return any(pipeline.limit.paused for stream in self.streams for pipeline in stream.pipelines)

    def wake(self) -> None:
        """It may hold a frame that was not there before, or that had to be left lying."""
        for stream in self.streams:
            stream.awake = True

    def missed(self, first: int, last: int) -> None:
        """A stream never came to look at these."""
        self.dropped += max(0, last + 1 - max(first, self._counted_to + 1))
        self._counted_to = max(self._counted_to, last)

    def consume(self) -> None:
        """Let the writer of a lossless ring go on as far as all are done."""
        if self.ring.lossless and self.streams and not self.awaited:
            consumed = self.ring.consumed
            if (done := min(stream.done for stream in self.streams)) > consumed:
                self.ring.set_consumed(done)


@dataclass
class Seat:
    """A frame on its way through an engine, and who looks at it. `own`: its memory is ours, so nobody writes to it."""

    stream: Stream
    meta: FrameMeta
    frame: Frame
    looking: list[Pipeline]
    own: bool = False
    torn: bool = False

    def still_whole(self) -> bool:
        """Whether nobody has written over the frame yet. Its result is sent: one that goes now is not torn."""
        return self.own or self.stream.feed.ring.lies_there(self.meta)

    def check(self) -> None:
        """After the last look at the frame: whether it stayed whole."""
        if self.own or self.torn or self.stream.feed.ring.is_whole(self.meta):
            return
        self.torn = True
        self.stream.torn()


@dataclass(eq=False)
class Stream:
    """`engine` is the number of the engine that serves it, `last` the frame that it has come to, `awake` whether there
    may be another. `depth`: how many of its frames may be under way."""

    feed: Feed
    engine: int
    depth: int
    last: int = 0
    awake: bool = True
    pipelines: list[Pipeline] = field(default_factory=list)
    under_way: deque[int] = field(default_factory=deque)
    since_ns: int = 0
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        self._copies: list[Frame] = []
        self._turn = 0
        self._careful = 0
        self._seen: FrameMeta | None = None
        self._last_ns = 0
        self.priority = 0

    def add(self, pipeline: Pipeline) -> None:
        self.pipelines.append(pipeline)
        self._rank()

    def remove(self, pipeline: Pipeline) -> None:
        self.pipelines.remove(pipeline)
        self._rank()

    def _rank(self) -> None:
        self.priority = max((pipeline.start.priority for pipeline in self.pipelines), default=0)

    @property
    def came_to(self) -> int:
        """The frame behind which it looks for the next one."""
        return max(self.last, self.feed.ring.consumed) if self.feed.ring.lossless else self.last

    @property
    def done(self) -> int:
        """Up to which frame nothing is left to do."""
        return self.under_way[0] - 1 if self.under_way else max(self.last, self.feed.ring.consumed)

    def may_join(self, came_to: int) -> bool:
        """Whether a pipeline that has come to that frame (0: to none) misses nothing here that it must not miss."""
        return not came_to or came_to == self.came_to or not self.feed.ring.lossless

    def waits(self, now_ns: int) -> bool:
        """Whether there is a frame that one of its pipelines wants. Those that none wants are passed over here."""
        while self.awake and self.pipelines:
            meta = self._next()
            if meta is None:
                self.awake, self.since_ns = False, 0
                return False
            lossless = self.feed.ring.lossless
            for pipeline in self.pipelines:
                if pipeline.would_look(meta, lossless=lossless):
                    self.since_ns, self._seen = self.since_ns or now_ns, meta
                    return True
            self._ask(meta)
            self.feed.consume()
        return False

    def board(self) -> Seat | None:
        """Take the frame that `waits` has seen just now; None when it has gone meanwhile."""
        ring, own = self.feed.ring, False
        meta, self._seen, self.since_ns = self._seen, None, 0
        if meta is None:
            return None
        frame = ring.view(meta)
        if self._careful and not ring.lossless:
            frame, own = self._copy_place(), True
            meta = ring.read_newest(frame, after=self.last)
            self._careful -= 1
        if meta is None or not (looking := self._ask(meta)):
            return None
        self.under_way.append(meta.sequence)
        return Seat(self, meta, frame, looking, own)

    def land(self, meta: FrameMeta) -> None:
        """The frame's results are sent, or will never be."""
        self.under_way.remove(meta.sequence)
        self.feed.consume()

    def torn(self) -> None:
        self._careful = CAREFUL_FRAMES

    def _next(self) -> FrameMeta | None:
        feed, ring = self.feed, self.feed.ring
        if ring.lossless:
            return None if feed.paused else ring.peek_exactly(self.came_to + 1)
        return None if feed.lossless_only else ring.peek_newest(after=self.last)

    def _ask(self, meta: FrameMeta) -> list[Pipeline]:
        """Who looks at the frame; the stream has come to it."""
        lossless = self.feed.ring.lossless
        if self.last and not lossless and meta.sequence > self.last + 1:
            self.feed.missed(self._first_missed(meta), meta.sequence - 1)
        self.last, self._last_ns = meta.sequence, meta.capture_ns
        return [pipeline for pipeline in self.pipelines if pipeline.wants(meta, lossless=lossless)]

    def _first_missed(self, meta: FrameMeta) -> int:
        """The first frame between the last one and this that a pipeline would have looked at, `meta.sequence` for none:
        what nobody wants is not missed. Frames count as captured at even intervals."""
        due_ns = min(pipeline.due_ns for pipeline in self.pipelines)
        since_ns, late_ns = meta.capture_ns - self._last_ns, meta.capture_ns - due_ns
        if late_ns <= 0:
            return meta.sequence
        if not self._last_ns or late_ns >= since_ns:
            return self.last + 1
        return meta.sequence - int(late_ns * (meta.sequence - self.last) / since_ns)

    def _copy_place(self) -> Frame:
        if not self._copies:
            shape = (*self.feed.size, 3)
            self._copies = [np.zeros(shape, np.uint8) for _ in range(self.depth + 1)]
        self._turn = (self._turn + 1) % len(self._copies)
        return self._copies[self._turn]
