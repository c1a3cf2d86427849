"""The infer child: one accelerator's engines over the cameras' rings. `python -m edgeagent.inference.infer_child`.

Its main loop waits for a ring's eventfd, copies the newest frame, runs every pipeline of that ring on it, and
reports. A ring in lossless mode (a file played once) is read frame by frame instead, and a frame counts as consumed
only after its result has been sent. Rings take turns, a frame each, and the agent is heard after every turn: a ring
that always has a next frame starves nobody.

A frame that no pipeline looks at, because it is not due or because the agent lets them do less (`Pace`), is passed
over before it is copied.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeagent.camera.pace import Spacing
from edgeagent.camera.ring import FrameMeta, RingReader
from edgeagent.errors import EngineError
from edgeagent.inference.after import After, Memory
from edgeagent.inference.messages import (
    AGENT_WORDS,
    FrameResult,
    InferStart,
    InferStats,
    Loaded,
    LoadFailed,
    LoadPipeline,
    Pace,
    PipelineStart,
    RingInput,
    SetPace,
)
from edgeagent.inference.pacing import Limit
from edgeagent.inference.session import InferenceSession, open_session
from edgeagent.supervise.program import ControlChannel, run_child

REPORT_EVERY_S = 1.0
LISTEN_EVERY_S = 0.25  # SIGTERM does not end a wait
SILENCE_S = 10.0
LOAD_SILENCE_S = 120.0


@dataclass
class Pipeline:
    """A pipeline with its engine loaded."""

    start: PipelineStart
    session: InferenceSession
    after: After
    limit: Limit
    spacing: Spacing

    def wants(self, meta: FrameMeta, *, lossless: bool) -> bool:
        """Whether it looks at this frame; asked once for each. What is lossless is not shed."""
        if not self.spacing.is_due(meta.capture_ns):
            return False
        self.spacing.passed(meta.capture_ns)
        return lossless or self.limit.lets_through(meta.capture_ns)


@dataclass
class Feed:
    """A ring, the frame buffer it is copied into, and who looks at it. `awake`: it may hold a frame to look at."""

    ring: RingReader
    wake_fd: int
    buffer: npt.NDArray[np.uint8]
    lossless_only: bool = False
    awake: bool = True
    pipelines: list[Pipeline] = field(default_factory=list)
    last: int = 0
    dropped: int = 0

    def next_frame(self) -> FrameMeta | None:
        """The frame whose turn it is, not copied yet; None when there is nothing new, or all of it has to wait."""
        if self.ring.lossless:
            if any(pipeline.limit.paused for pipeline in self.pipelines):
                return None
            return self.read()
        return None if self.lossless_only else self.ring.peek_newest(after=self.last)

    def read(self, meta: FrameMeta | None = None) -> FrameMeta | None:
        """Copy that frame into `buffer`, or the newest where it is gone already; of a lossless ring the next one."""
        if meta is None:
            return self.ring.read_exactly(self.ring.consumed + 1, self.buffer[0])
        found = self.ring.read_exactly(meta.sequence, self.buffer[0])
        return found or self.ring.read_newest(self.buffer[0], after=self.last)

    def finished(self, meta: FrameMeta) -> None:
        if self.ring.lossless:
            self.ring.set_consumed(meta.sequence)
        elif self.last:
            self.dropped += meta.sequence - self.last - 1
        self.last = meta.sequence


class Infer:
    """The loop over all rings."""

    def __init__(self, channel: ControlChannel, start: InferStart, feeds: dict[str, Feed]) -> None:
        self._channel = channel
        self._threads = start.threads
        self._feeds = feeds
        self._limits: dict[str, Limit] = {}
        self._memories: dict[str, Memory] = {}
        self._frames = 0
        self._invalid = 0
        self._next_report = time.monotonic()
        self._by_wake = {feed.wake_fd: feed for feed in feeds.values()}
        self._poller = select.poll()
        self._poller.register(channel, select.POLLIN)
        for fd in self._by_wake:
            self._poller.register(fd, select.POLLIN)
        for pace in start.paces:
            self.pace(pace)

    def run(self) -> int:
        while not self._channel.stopping:
            busy = any(feed.awake for feed in self._feeds.values())
            ready = self._poller.poll(0 if busy else LISTEN_EVERY_S * 1000)
            if not self._listen():
                return 0
            for fd, _ in ready:
                self._wake(fd)
            for feed in self._feeds.values():
                if feed.awake:
                    feed.awake = self._look(feed)
            self._report()
        return 0

    def pace(self, pace: Pace) -> None:
        """A pipeline may do so much from now on, whether its engine is here yet or not."""
        self._limit(pace.pipeline).take(pace)
        for feed in self._feeds.values():
            feed.awake = True  # a frame may wait that had to be left lying

    def _limit(self, pipeline: str) -> Limit:
        return self._limits.setdefault(pipeline, Limit())

    def load(self, start: PipelineStart) -> None:
        """Load an engine and put it in its pipeline's place. A failure is told and leaves the others alone."""
        self._channel.beat(LOAD_SILENCE_S)
        began = time.monotonic()
        try:
            session = self._opened(start)
        except EngineError as error:
            text = error.line()
            self._channel.send(LoadFailed(pipeline=start.pipeline, engine=start.engine, text=text))
            return
        after = After(start, self._memories.setdefault(start.pipeline, Memory()))
        self._replace(Pipeline(start, session, after, self._limit(start.pipeline), Spacing(start.min_interval_s)))
        took = round(time.monotonic() - began, 3)
        self._channel.send(Loaded(pipeline=start.pipeline, engine=start.engine, load_s=took))

    def _opened(self, start: PipelineStart) -> InferenceSession:
        """The engine, run once: the first frame must not wait for what an engine does at its first run."""
        feed = self._feeds.get(start.ring)
        if feed is None:
            raise EngineError(f"there is no ring {start.ring!r}")
        plugins = [Path(path) for path in start.plugins]
        session = open_session(start.backend, Path(start.plan), self._threads, dla_core=start.dla_core, plugins=plugins)
        try:
            self._warm(session, feed)
        except EngineError:
            session.close()
            raise
        return session

    def _warm(self, session: InferenceSession, feed: Feed) -> None:
        if (session.height, session.width) != feed.buffer.shape[1:3]:
            raise EngineError(f"the engine takes {session.width}x{session.height}, the ring holds another size")
        session.run(np.zeros_like(feed.buffer))

    def _replace(self, pipeline: Pipeline) -> None:
        for feed in self._feeds.values():
            for old in [p for p in feed.pipelines if p.start.pipeline == pipeline.start.pipeline]:
                feed.pipelines.remove(old)
                old.session.close()
        feed = self._feeds[pipeline.start.ring]
        feed.pipelines.append(pipeline)
        feed.awake = True  # a writer that waits for its reader wakes nobody again

    def _listen(self) -> bool:
        while (line := self._channel.receive(0.0)) is not None:
            word = AGENT_WORDS.validate_json(line)
            if isinstance(word, LoadPipeline):
                self.load(word.pipeline)
            elif isinstance(word, SetPace):
                self.pace(word.pace)
            else:
                return False
        return True

    def _wake(self, fd: int) -> None:
        feed = self._by_wake.get(fd)
        if feed is not None:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(fd)
            feed.awake = True

    def _look(self, feed: Feed) -> bool:
        """Run what is due on the ring's next frame. False when there is none for anybody."""
        meta = feed.next_frame() if feed.pipelines else None
        if meta is None:
            return False
        lossless = feed.ring.lossless
        looking = [pipeline for pipeline in feed.pipelines if pipeline.wants(meta, lossless=lossless)]
        if looking and not lossless:
            meta = feed.read(meta)
            if meta is None:
                return False
        for pipeline in looking:
            self._infer(pipeline, feed, meta)
        feed.finished(meta)
        return True

    def _infer(self, pipeline: Pipeline, feed: Feed, meta: FrameMeta) -> None:
        begun = time.monotonic_ns()
        candidates = pipeline.session.run(feed.buffer)[0]
        ran = time.monotonic_ns()
        if not (np.isfinite(candidates.scores).all() and np.isfinite(candidates.boxes).all()):
            self._invalid += 1  # its rows are left out below; the rest of the frame counts
        rows = pipeline.after.take(candidates, meta.box, meta.capture_ns)
        self._frames += 1
        if rows is None:
            return
        self._channel.send(
            FrameResult(
                pipeline=pipeline.start.pipeline,
                frame=meta.sequence,
                capture_ns=meta.capture_ns,
                capture_ms=meta.capture_ms,
                width=meta.box.source_width,
                height=meta.box.source_height,
                wait_ms=(begun - meta.capture_ns) / 1e6,
                engine_ms=(ran - begun) / 1e6,
                post_ms=(time.monotonic_ns() - ran) / 1e6,
                rows=rows,
                last_track=pipeline.after.last_track,
            )
        )

    def _report(self) -> None:
        now = time.monotonic()
        if now < self._next_report:
            return
        self._next_report = now + REPORT_EVERY_S
        dropped = {name: feed.dropped for name, feed in self._feeds.items()}
        torn = sum(feed.ring.torn for feed in self._feeds.values())
        shed = {name: limit.shed for name, limit in self._limits.items()}
        looked = {name: memory.looked for name, memory in self._memories.items()}
        unchanged = {name: memory.unchanged for name, memory in self._memories.items() if memory.unchanged}
        self._channel.send(
            InferStats(
                frames=self._frames,
                dropped=dropped,
                torn=torn,
                invalid=self._invalid,
                shed=shed,
                looked=looked,
                unchanged=unchanged,
            )
        )
        self._channel.beat(SILENCE_S)


def _open_feed(stack: ExitStack, ring: RingInput) -> Feed:
    reader = stack.enter_context(RingReader(ring.fd))
    layout = reader.layout
    buffer = np.zeros((1, layout.height, layout.width, 3), np.uint8)
    return Feed(reader, ring.wake_fd, buffer, ring.lossless_only)


def main(channel: ControlChannel) -> int:
    line = channel.receive(timeout_s=None)
    if line is None:
        return 0
    start = InferStart.model_validate_json(line)
    channel.beat(LOAD_SILENCE_S)
    from edgeagent.camera.sources import quiet_opencv

    quiet_opencv()
    with ExitStack() as stack:
        feeds = {ring.id: _open_feed(stack, ring) for ring in start.rings}
        infer = Infer(channel, start, feeds)
        for pipeline in start.pipelines:
            infer.load(pipeline)
        return infer.run()


if __name__ == "__main__":
    run_child(main)
