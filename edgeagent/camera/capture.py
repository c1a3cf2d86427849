"""One camera's loop in its capture child: read, letterbox, publish.

It may hang in a driver: every second it tells the agent how long it may stay silent, and the agent kills the child when
that time has passed. It knows nothing of engines, boards or MQTT.

A file played once is different from everything else: no frame may be lost. Until the agent says `begin` it plays
round and round (calibration looks at it); then it starts over and waits for the reader before it overwrites. How far
a pass has come is written in the rings: a child that takes over leaves out what its predecessor wrote, ring by ring.

Of any other source the agent may ask for a share of the frames only (nobody looks at more, and the board is hot). The
others are taken from the source all the same, so that the next picture is a new one, but never become a picture.

A live source whose picture stands still although it ought to show noise is given up like one that gives no picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeagent.camera.messages import AGENT_WORDS, CaptureStart, CaptureStats, Ended, Opened, SetShare
from edgeagent.camera.pace import Turnstile
from edgeagent.camera.ring import RingWriter
from edgeagent.camera.sources import EndOfSource, FrameSource, Image, open_source
from edgeagent.camera.spec import LIVE_KINDS, FileSpec, SourceSpec
from edgeagent.camera.stillness import Stillness
from edgeagent.camera.timetable import Timetable
from edgeagent.errors import SourceError
from edgeagent.supervise.messages import Stop
from edgeagent.supervise.program import ControlChannel
from edgeagent.vision.letterbox import Letterbox, fit_letterbox

STATS_EVERY_S = 1.0
BACKLOG_POLL_S = 0.001
SLACK_S = 2.0  # on top of what a read may take: stats come once a second, and a read that stalls is told first
UNUSABLE_IN_A_ROW = 30
SKIP_AT_ONCE = 10

Opener = Callable[[str, SourceSpec, float | None], FrameSource]


@dataclass
class Tally:
    """Counters since the child started, or since the pass of a file played once began."""

    frames: int = 0
    reads: int = 0
    unusable: int = 0
    unusable_in_a_row: int = 0
    shed: int = 0
    read_s: float = 0.0
    next_stats_s: float = field(default_factory=time.monotonic)


class Capture:
    """One camera's loop."""

    def __init__(
        self,
        channel: ControlChannel,
        start: CaptureStart,
        writers: list[RingWriter],
        open_source: Opener = open_source,
    ) -> None:
        self._channel = channel
        self._open_source = open_source
        self._start = start
        self._writers = writers
        self._once = isinstance(start.source, FileSpec) and start.source.mode == "once"
        self._fastest = isinstance(start.source, FileSpec) and start.source.pace == "fastest"
        self._counting = not self._once
        self._boxes: dict[tuple[int, int], list[Letterbox]] = {}
        self._source: FrameSource | None = None
        self._tally = Tally()
        self._turnstile = Turnstile(start.share)
        self._timetable = Timetable(30.0)
        self._since_open = 0
        self._last_frame_s = 0.0
        self._behind = 0
        self._size = (0, 0)
        self._stillness = Stillness(start.noisy, time.monotonic())
        self._judges = start.frozen_after_s > 0 and isinstance(start.source, LIVE_KINDS)

    def run(self) -> int:
        """Until told to stop (0), or until a file played once has ended (0)."""
        try:
            if self._once and self._start.resume_after is not None:
                self._begin()
            else:
                self._open()
            while not self._channel.stopping:
                if not self._step():
                    return 0
            return 0
        finally:
            self._close()

    def _open(self) -> None:
        self._close()
        self._channel.beat(self._start.source.open_timeout_s + 5.0)
        source = self._open_source(self._start.camera, self._start.source, self._start.fps)
        self._source = source
        if source.fps != self._timetable.fps:  # else a file that starts again goes on in its rhythm
            self._timetable = Timetable(source.fps)
        self._since_open, self._last_frame_s = 0, time.monotonic()
        self._stillness.restart(self._last_frame_s)
        self._channel.send(Opened(width=source.width, height=source.height, fps=source.fps, fps_known=source.fps_known))
        self._beat()

    def _beat(self) -> None:
        self._channel.beat(self._start.source.stall_timeout_s + SLACK_S)

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
        try:
            if self._behind:
                self._catch_up()
            elif self._once or self._turnstile.lets_through():
                self._take(self._read())
            else:
                self._pass_over()
        except EndOfSource:
            return self._at_end()
        self._report()
        return True

    def _catch_up(self) -> None:
        """Leave out frames that a predecessor wrote, a few at a time: there may be many thousands."""
        count = min(self._behind, SKIP_AT_ONCE)
        self._opened().skip(count)
        self._behind -= count

    def _read(self) -> Image | None:
        started = time.monotonic()
        image = self._opened().read()
        self._tally.read_s += time.monotonic() - started
        self._tally.reads += 1
        self._timetable.passed()
        return image

    def _pass_over(self) -> None:
        """A frame that nobody looks at."""
        had = self._opened().pass_over()
        self._timetable.passed()
        if not had:
            self._count_unusable()
            return
        self._tally.shed += 1
        self._had_one()

    def _had_one(self) -> None:
        self._tally.unusable_in_a_row = 0
        self._since_open += 1
        if self._since_open == 1:
            self._tally.next_stats_s = 0.0  # the first one is told at once: somebody waits for it after a failure
        self._last_frame_s = time.monotonic()

    def _opened(self) -> FrameSource:
        if self._source is None:
            raise SourceError(f"camera {self._start.camera} is closed", retry=True)
        return self._source

    def _pause_s(self) -> float:
        if self._opened().paced and not self._behind and not (self._fastest and self._counting):
            return self._timetable.wait_s()
        return 0.0

    def _must_wait_for_reader(self) -> bool:
        return (
            self._once and self._counting and any(writer.backlog() >= writer.layout.slots for writer in self._writers)
        )

    def _listen(self, timeout_s: float) -> bool:
        """Hear the agent for at most `timeout_s`, and go on telling it of us. False when the work is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._report()
            left_s = max(0.0, deadline - time.monotonic())
            line = self._channel.receive(min(left_s, STATS_EVERY_S))
            if line is not None:
                word = AGENT_WORDS.validate_json(line)
                if isinstance(word, Stop):
                    return False
                if isinstance(word, SetShare):
                    self._turnstile = Turnstile(word.share)
                else:
                    self._begin()
            elif self._channel.stopping:
                return False
            elif time.monotonic() >= deadline:
                return True

    def _begin(self) -> None:
        """From here on every frame counts. A pass that a predecessor began is gone on with."""
        if not self._once or self._counting:
            return
        self._open()
        self._counting = True
        for writer in self._writers:
            if writer.passed is None:
                _rehearse(writer)
                writer.begin_pass()
            writer.wake()  # a predecessor may have died between a frame and this
        self._behind = min((writer.passed or 0 for writer in self._writers), default=0)
        self._tally = Tally(frames=self._behind)

    def _at_end(self) -> bool:
        if self._once and self._counting:
            self._channel.send(Ended(frames=self._tally.frames, expected=self._opened().expected_frames))
            return False
        if self._since_open == 0:
            raise SourceError(
                f"camera {self._start.camera}: the file holds no readable frame",
                mend="copy the video again",
                code="source_unreadable",
            )
        self._open()
        return True

    def _take(self, image: Image | None) -> None:
        if image is None:
            self._count_unusable()
            return
        capture_ns, capture_ms = time.monotonic_ns(), time.time_ns() // 1_000_000
        boxes = self._letterboxes(image.shape[1], image.shape[0])
        for writer, box in zip(self._writers, boxes, strict=True):
            if self._lacks_this_frame(writer):
                writer.fill(image, box)
                writer.publish(capture_ns, capture_ms, box)
        self._tally.frames += 1
        self._size = (image.shape[1], image.shape[0])
        self._had_one()
        if self._judges:
            self._look_for_life(image)

    def _look_for_life(self, image: Image) -> None:
        now_s, had_moved = time.monotonic(), self._stillness.moved
        self._stillness.look(image, now_s)
        if self._stillness.moved and not had_moved:
            self._tally.next_stats_s = 0.0  # told at once: after a frozen picture somebody waits for it
        still_s = self._stillness.unchanged_s(now_s)
        if still_s >= self._start.frozen_after_s:
            raise SourceError(
                f"camera {self._start.camera}: its picture has been the same to the bit for {still_s:.1f} s",
                mend=f"restart the camera; a picture that may stand still wants cameras.{self._start.camera}"
                ".frozen_after_s = 0",
                retry=True,
                code="source_frozen",
            )

    def _lacks_this_frame(self, writer: RingWriter) -> bool:
        """False for a ring that a predecessor filled before it died on the way to the next ring."""
        return not (self._once and self._counting) or (writer.passed or 0) <= self._tally.frames

    def _count_unusable(self) -> None:
        tally = self._tally
        tally.unusable += 1
        tally.unusable_in_a_row += 1
        silent_s = time.monotonic() - self._last_frame_s
        if tally.unusable_in_a_row >= UNUSABLE_IN_A_ROW or silent_s >= self._start.source.stall_timeout_s:
            raise SourceError(
                f"camera {self._start.camera}: no picture in {tally.unusable_in_a_row} reads and {silent_s:.1f} s",
                mend="see that the camera is on and its cable or network holds",
                retry=True,
                code="source_lost",
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
        read_ms = tally.read_s * 1000 / max(1, tally.reads)
        width, height = self._size
        self._channel.send(
            CaptureStats(
                frames=tally.frames,
                unusable=tally.unusable,
                read_ms=round(read_ms, 3),
                shed=tally.shed,
                width=width,
                height=height,
                unchanged_s=round(self._stillness.unchanged_s(now), 3),
                noisy=self._stillness.noisy,
                moved=self._stillness.moved or not self._judges,
            )
        )
        self._beat()


def _rehearse(writer: RingWriter) -> None:
    """A pass begins behind a frame, if only a black one that nobody looks at: a reader that has come to none yet could
    not be told from one that is new, which begins where others are."""
    if writer.newest:
        return
    layout = writer.layout
    writer.start()[...] = 0
    box = fit_letterbox(layout.width, layout.height, layout.width, layout.height)
    writer.publish(time.monotonic_ns(), time.time_ns() // 1_000_000, box)
