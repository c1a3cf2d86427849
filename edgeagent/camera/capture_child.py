"""The capture child: one frame source, one or more frame rings. `python -m edgeagent.camera.capture_child`.

Its main loop is read, letterbox, publish. It may hang in a driver: every second it tells the agent how long it may
stay silent, and the agent kills it when that time has passed. It knows nothing of engines, boards or MQTT.

A file played once is different from everything else: no frame may be lost. Until the agent says `begin` it plays
round and round (calibration looks at it); then it starts over and waits for the reader before it overwrites.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from edgeagent.camera.messages import AGENT_WORDS, CaptureStart, CaptureStats, Ended, Opened
from edgeagent.camera.ring import RingWriter
from edgeagent.camera.sources import EndOfSource, FrameSource, Image, open_source, quiet_opencv
from edgeagent.camera.spec import FileSpec
from edgeagent.errors import SourceError
from edgeagent.supervise.messages import Stop
from edgeagent.supervise.program import ControlChannel, run_child
from edgeagent.vision.letterbox import Letterbox, apply_letterbox, fit_letterbox

STATS_EVERY_S = 1.0
BACKLOG_POLL_S = 0.001


@dataclass
class Tally:
    """Counters since the source was opened."""

    frames: int = 0
    unusable: int = 0
    unusable_in_a_row: int = 0
    read_s: float = 0.0
    next_stats_s: float = field(default_factory=time.monotonic)


class Timetable:
    """When the next frame of a paced source is due. Falling half a second behind starts a new timetable."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps
        self._due_s = time.monotonic()

    def wait_s(self) -> float:
        return max(0.0, self._due_s - time.monotonic())

    def passed(self) -> None:
        self._due_s += self._period_s
        if time.monotonic() - self._due_s > 0.5:
            self._due_s = time.monotonic()


class Capture:
    """One camera's loop."""

    def __init__(self, channel: ControlChannel, start: CaptureStart, writers: list[RingWriter]) -> None:
        self._channel = channel
        self._start = start
        self._writers = writers
        self._once = isinstance(start.source, FileSpec) and start.source.mode == "once"
        self._fastest = isinstance(start.source, FileSpec) and start.source.pace == "fastest"
        self._counting = not self._once
        self._boxes: dict[tuple[int, int], list[Letterbox]] = {}
        self._source: FrameSource | None = None
        self._tally = Tally()
        self._timetable = Timetable(30.0)

    def run(self) -> int:
        """Until told to stop (0), or until a file played once has ended (0)."""
        self._open()
        if self._start.resume_after is not None:
            self._begin(self._start.resume_after)
        try:
            while not self._channel.stopping:
                if not self._step():
                    return 0
            return 0
        finally:
            self._close()

    def _open(self) -> None:
        self._close()
        self._channel.beat(self._start.source.open_timeout_s + 5.0)
        source = open_source(self._start.camera, self._start.source)
        self._source = source
        self._timetable = Timetable(source.fps)
        self._channel.send(Opened(width=source.width, height=source.height, fps=source.fps))
        self._channel.beat(self._start.source.stall_timeout_s)

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def _step(self) -> bool:
        """One frame. False when the work is over."""
        if not self._listen(self._pause_s()):
            return False
        if self._must_wait_for_reader():
            return self._listen(BACKLOG_POLL_S)
        started = time.monotonic()
        try:
            image = self._opened().read()
        except EndOfSource:
            return self._at_end()
        self._tally.read_s += time.monotonic() - started
        self._timetable.passed()
        self._take(image)
        self._report()
        return True

    def _opened(self) -> FrameSource:
        if self._source is None:
            raise SourceError(f"camera {self._start.camera} is closed", retry=True)
        return self._source

    def _pause_s(self) -> float:
        if self._opened().paced and not (self._fastest and self._counting):
            return self._timetable.wait_s()
        return 0.0

    def _must_wait_for_reader(self) -> bool:
        return (
            self._once and self._counting and any(writer.backlog() >= writer.layout.slots for writer in self._writers)
        )

    def _listen(self, timeout_s: float) -> bool:
        """Hear the agent for at most `timeout_s`. False when it said stop."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._channel.receive(max(0.0, deadline - time.monotonic()))
            if line is not None:
                if isinstance(AGENT_WORDS.validate_json(line), Stop):
                    return False
                self._begin(0)
            elif time.monotonic() >= deadline or self._channel.stopping:
                self._report()
                return not self._channel.stopping

    def _begin(self, resume_after: int) -> None:
        if not self._once:
            return
        self._open()
        if resume_after == 0:
            for writer in self._writers:
                writer.begin_pass()
        self._counting = True
        self._tally = Tally(frames=resume_after)
        skip = getattr(self._opened(), "skip", None)
        if skip is not None and resume_after:
            skip(resume_after)

    def _at_end(self) -> bool:
        if not (self._once and self._counting):
            if self._tally.frames == 0:
                raise SourceError(
                    f"camera {self._start.camera}: the file holds no readable frame", mend="copy the video again"
                )
            self._open()
            return True
        self._channel.send(Ended(frames=self._tally.frames, expected=self._opened().expected_frames))
        return False

    def _take(self, image: Image | None) -> None:
        if image is None:
            self._count_unusable()
            return
        capture_ns, capture_ms = time.monotonic_ns(), time.time_ns() // 1_000_000
        boxes = self._letterboxes(image.shape[1], image.shape[0])
        for writer, box in zip(self._writers, boxes, strict=True):
            apply_letterbox(image, box, writer.start())
            writer.publish(capture_ns, capture_ms, box)
        self._tally.frames += 1
        self._tally.unusable_in_a_row = 0

    def _count_unusable(self) -> None:
        self._tally.unusable += 1
        self._tally.unusable_in_a_row += 1
        if self._tally.unusable_in_a_row >= 30:
            raise SourceError(
                f"camera {self._start.camera}: 30 reads in a row gave no picture", retry=True, code="source_lost"
            )

    def _letterboxes(self, width: int, height: int) -> list[Letterbox]:
        """One letterbox a ring; frames that change size on the way get new ones."""
        if (width, height) not in self._boxes:
            if len(self._boxes) > 16:
                self._boxes.clear()
            layouts = [writer.layout for writer in self._writers]
            self._boxes[width, height] = [fit_letterbox(width, height, r.width, r.height) for r in layouts]
        return self._boxes[width, height]

    def _report(self) -> None:
        now = time.monotonic()
        tally = self._tally
        if now < tally.next_stats_s:
            return
        tally.next_stats_s = now + STATS_EVERY_S
        read_ms = tally.read_s * 1000 / max(1, tally.frames)
        self._channel.send(CaptureStats(frames=tally.frames, unusable=tally.unusable, read_ms=round(read_ms, 3)))
        self._channel.beat(self._start.source.stall_timeout_s + STATS_EVERY_S)


def main(channel: ControlChannel) -> int:
    line = channel.receive(timeout_s=None)
    if line is None:
        return 0
    start = CaptureStart.model_validate_json(line)
    quiet_opencv()
    with ExitStack() as stack:
        writers = [stack.enter_context(RingWriter(ring.fd, ring.wake_fds)) for ring in start.rings]
        return Capture(channel, start, writers).run()


if __name__ == "__main__":
    run_child(main)
