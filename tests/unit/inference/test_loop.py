"""The loop with an engine that the test holds in its hands: what is under way when, and which errors end it.

Ring, loop, channel and opener are the real ones; the engine is a stand-in that refuses what a session refuses.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edgeagent.camera.ring import RingReader, RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.errors import EdgeAgentError, EngineError
from edgeagent.inference.engine import Engine, EngineKey
from edgeagent.inference.loop import Infer
from edgeagent.inference.messages import (
    INFER_WORDS,
    AfterEngine,
    InferStart,
    InferStats,
    LoadFailed,
    PipelineStart,
    RingInput,
    Tracking,
)
from edgeagent.inference.result_line import cut_result, is_result
from edgeagent.inference.session import Frames
from edgeagent.inference.stream import Feed
from edgeagent.supervise.messages import Heartbeat, LineBuffer, Message, Stop
from edgeagent.supervise.program import ControlChannel
from edgeagent.vision.detections import Candidates
from edgeagent.vision.letterbox import fit_letterbox

SIDE = 32
SAME = fit_letterbox(SIDE, SIDE, SIDE, SIDE)


class Session:
    """Says a frame's first byte as a score. `log` holds `in BYTE` and `out BYTE`; `errors` are raised by byte."""

    def __init__(self, depth: int, batch: int = 1) -> None:
        self.batch, self.width, self.height, self.depth = batch, SIDE, SIDE, depth
        self.copies, self.pads, self.how = False, True, ""
        self.log: list[str] = []
        self.errors: dict[int, EngineError] = {}
        self.does_not_open: EngineError | None = None
        self.lent: list[int] = []
        self.most = 0
        self._under_way: deque[Sequence[Frames]] = deque()

    def run(self, frames: Frames) -> list[Candidates]:
        self.submit(list(frames))
        return self.collect()

    def lend(self, memory: memoryview) -> None:
        self.lent.append(len(memory))

    def submit(self, frames: Sequence[Frames]) -> None:
        assert 0 < len(frames) <= self.batch and len(self._under_way) < self.depth
        assert all(frame.shape == (SIDE, SIDE, 3) for frame in frames)
        self._under_way.append(frames)
        self.most = max(self.most, len(self._under_way))
        self.log += [f"in {frame[0, 0, 0]}" for frame in frames]

    def collect(self) -> list[Candidates]:
        frames = self._under_way.popleft()
        self.log += [f"out {frame[0, 0, 0]}" for frame in frames]
        for frame in frames:
            if (error := self.errors.get(int(frame[0, 0, 0]))) is not None:
                raise error
        box = np.array([[1, 1, 9, 9]], np.float32)
        return [
            Candidates(box, np.array([frame[0, 0, 0] / 255], np.float32), np.zeros(1, np.int32)) for frame in frames
        ]

    def close(self) -> None:
        self.log.append("closed")


class Hall:
    """A ring, a loop over it on a thread, and its words."""

    def __init__(self, session: Session, *, lossless: bool, after: AfterEngine | None = None) -> None:
        self.session, self._after = session, after or AfterEngine()
        self.fd, self.wake_fd = create_ring("test", RingLayout(SIDE, SIDE)), os.eventfd(0, os.EFD_NONBLOCK)
        self.writer = RingWriter(self.fd, [self.wake_fd])
        if lossless:
            self.writer.begin_pass()
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(20)
        self._buffer, self._lines = LineBuffer(), deque[bytes]()
        self.error: EdgeAgentError | None = None
        self._thread = threading.Thread(target=self._run, args=(ControlChannel(self._theirs),))

    def _run(self, channel: ControlChannel) -> None:
        look = PipelineStart(
            pipeline="look", ring="cam", backend="stand-in", plan="", engine="e", classes=["a"], keep=None,
            min_score=0.0, iou=None, max_detections=9, min_interval_s=0.0, after=self._after,
        )  # fmt: skip
        ring = RingInput(id="cam", fd=self.fd, wake_fd=self.wake_fd)
        start = InferStart(rings=[ring], pipelines=[look], threads=1)
        with RingReader(self.fd) as reader:
            try:
                Infer(channel, start, {"cam": Feed(reader, self.wake_fd)}, self._opened).run()
            except EdgeAgentError as error:
                self.error = error

    def _opened(self, key: EngineKey, threads: int, known: Sequence[float]) -> Engine:
        if self.session.does_not_open is not None:
            raise self.session.does_not_open
        return Engine(key, self.session, np.zeros((SIDE, SIDE, 3), np.uint8), ())

    def put(self, byte: int) -> None:
        self.writer.start()[:] = byte
        self.writer.publish(time.monotonic_ns(), 0, SAME)

    def begin(self, first: str = "loaded") -> None:
        self._thread.start()
        if first:
            self.until(first)

    def until(self, kind: str) -> Message:
        return INFER_WORDS.validate_json(self._line_of(kind))

    def _line_of(self, kind: str) -> bytes:
        while True:
            while not self._lines:
                self._lines.extend(self._buffer.feed(self._ours.recv(1 << 16)))
            line = self._lines.popleft()
            if b'"heartbeat"' in line:
                assert Heartbeat.model_validate_json(line)
            elif is_result(line):
                assert cut_result(line)
            else:
                assert INFER_WORDS.validate_json(line)
            if line.startswith(b'{"kind":"%b"' % kind.encode()):
                return line

    def result(self) -> int:
        """The byte of the next result."""
        detections = json.loads(cut_result(self._line_of("result"))[1])
        return round(detections[0]["score"] * 255)

    def stats(self) -> InferStats:
        word = self.until("stats")
        assert isinstance(word, InferStats)
        return word

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()

    def close(self) -> None:
        if self._thread.is_alive():
            self._ours.sendall(Stop().line())
        self.join()
        self._ours.close()
        self._theirs.close()
        self.writer.close()
        os.close(self.fd)
        os.close(self.wake_fd)


@pytest.fixture
def hall(request: pytest.FixtureRequest) -> Iterator[Hall]:
    values = {"depth": 2, "lossless": True, **getattr(request, "param", {})}
    made = Hall(Session(int(values["depth"])), lossless=bool(values["lossless"]))
    yield made
    made.close()


def test_the_next_batch_is_handed_over_before_the_one_before_is_collected(hall: Hall) -> None:
    for byte in (1, 2, 3, 4):
        hall.put(byte)
    hall.begin()
    assert [hall.result() for _ in range(4)] == [1, 2, 3, 4]
    assert hall.session.log[:8] == ["in 1", "in 2", "out 1", "in 3", "out 2", "in 4", "out 3", "out 4"]


@pytest.mark.parametrize("hall", [{"depth": 1}], indirect=True)
def test_no_more_is_under_way_than_the_engine_takes(hall: Hall) -> None:
    for byte in (1, 2, 3):
        hall.put(byte)
    hall.begin()
    assert [hall.result() for _ in range(3)] == [1, 2, 3]
    assert hall.session.most == 1


@pytest.mark.parametrize("hall", [{"depth": 3, "lossless": False}], indirect=True)
def test_a_single_frame_is_collected_at_once(hall: Hall) -> None:
    hall.begin()
    for byte in (5, 6, 7):
        hall.put(byte)
        assert hall.result() == byte
    assert hall.session.log == ["in 5", "out 5", "in 6", "out 6", "in 7", "out 7"]
    assert hall.session.lent == [RingLayout(SIDE, SIDE).total_bytes]


@pytest.mark.parametrize("hall", [{"lossless": False}], indirect=True)
def test_an_error_that_sticks_ends_the_loop_so_that_the_process_starts_anew(hall: Hall) -> None:
    hall.session.errors = {9: EngineError("CUDA failed: an illegal memory access", code="gpu_lost")}
    hall.begin()
    hall.put(8)
    assert hall.result() == 8
    hall.put(9)
    hall.join()
    assert hall.error is not None and hall.error.error_code == "gpu_lost"
    assert hall.error.retry, "a child that may be tried again is"
    assert hall.session.log[-1] == "closed"


@pytest.mark.parametrize(("code", "ends"), [("gpu_lost", True), ("engine_load", False), ("out_of_memory", False)])
def test_a_gpu_that_is_lost_while_an_engine_is_opened_is_not_that_engine_s_failure(
    hall: Hall, code: str, ends: bool
) -> None:
    hall.session.does_not_open = EngineError("it says no", code=code)
    hall.begin("" if ends else "load_failed")
    if ends:
        hall.join()
    assert (hall.error is not None and hall.error.error_code == code and hall.error.retry) is ends


def test_tracking_that_does_not_work_here_costs_its_pipeline_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lap", None)
    hall = Hall(Session(1), lossless=False, after=AfterEngine(tracking=Tracking(low_score=0.1, lost_s=1.0)))
    try:
        hall.begin("")
        word = hall.until("load_failed")
        assert isinstance(word, LoadFailed) and "tracking = false" in word.text
        assert hall.stats().frames == 0, "the loop goes on"
    finally:
        hall.close()
    assert hall.error is None and hall.session.log[-1] == "closed"


def test_any_other_error_costs_its_frames_and_nothing_else(hall: Hall) -> None:
    hall.session.errors = {2: EngineError("no", code="engine_run"), 3: EngineError("no", code="out_of_memory")}
    for byte in (1, 2, 3, 4):
        hall.put(byte)
    hall.begin()
    assert [hall.result() for _ in range(2)] == [1, 4]
    while (stats := hall.stats()).frames < 2:
        pass
    assert stats.failed == {"look": 2}
    assert hall.writer.backlog() == 0, "its writer does not wait for frames that are lost"


def test_a_frame_that_is_overwritten_while_it_is_looked_at_is_not_reported() -> None:
    """The writer comes round while the engine looks; afterwards frames are copied out first."""

    class Slow(Session):
        def collect(self) -> list[Candidates]:
            if len(self.log) == 1:
                for byte in range(11, 16):
                    hall.put(byte)
            return super().collect()

    hall = Hall(Slow(1), lossless=False)
    try:
        hall.begin()
        hall.put(10)
        assert hall.result() == 15
        while (stats := hall.stats()).frames < 1:
            pass
        assert stats.torn == {"cam": 1}
    finally:
        hall.close()


def test_a_frame_of_a_batch_that_failed_is_failed_and_not_torn_as_well() -> None:
    class Slow(Session):
        def collect(self) -> list[Candidates]:
            if len(self.log) == 1:
                for byte in range(11, 16):
                    hall.put(byte)
            return super().collect()

    hall = Hall(Slow(1), lossless=False)
    hall.session.errors = {byte: EngineError("no", code="engine_run") for byte in (10, *range(11, 15))}
    try:
        hall.begin()
        hall.put(10)
        assert hall.result() == 15
        while (stats := hall.stats()).frames < 1:
            pass
        assert (stats.failed, stats.torn) == ({"look": 1}, {"cam": 0})
    finally:
        hall.close()
