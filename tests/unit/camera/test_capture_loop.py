"""The capture loop with a source that does as the test says: strange frames, silence, many sizes, an end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edgeagent.camera.capture import Capture
from edgeagent.camera.messages import CAPTURE_WORDS, CaptureStart, CaptureStats, Ended, Opened, SetShare
from edgeagent.camera.ring import RingReader, RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.camera.sources import EndOfSource, Image
from edgeagent.camera.spec import FileSpec, RtspSpec, SourceSpec
from edgeagent.camera.stillness import BLOCK, LEAST_LOOKS
from edgeagent.camera.timetable import Timetable
from edgeagent.errors import SourceError
from edgeagent.supervise.messages import LineBuffer, Stop
from edgeagent.supervise.program import AgentGone, ControlChannel
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

LIVE = RtspSpec(url="rtsp://camera/1")
ONCE = FileSpec(path="belt.mp4", mode="once", pace="fastest")
LOOP = FileSpec(path="belt.mp4", mode="loop", pace="fastest")


@dataclass
class Script:
    """A source that plays a list: a picture, None for a read in vain, an error to raise; then it ends."""

    plays: list[list[Image | Exception | None]]
    paced: bool = False
    fps: float = 240.0
    fps_known: bool = True
    width: int = 8
    height: int = 8
    expected_frames: int = 0
    opened: int = 0
    skipped: list[int] = field(default_factory=list)
    passed_over: int = 0
    closed: int = 0

    def open(self, camera: str, spec: SourceSpec, fps: float | None) -> Script:
        self._rest = list(self.plays[min(self.opened, len(self.plays) - 1)])
        self.opened += 1
        return self

    def read(self) -> Image | None:
        if not self._rest:
            raise EndOfSource
        step = self._rest.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def skip(self, frames: int) -> None:
        self.skipped.append(frames)
        if len(self._rest) < frames:
            self._rest.clear()
            raise EndOfSource
        del self._rest[:frames]

    def pass_over(self) -> bool:
        had = self.read() is not None
        self.passed_over += had
        return had

    def close(self) -> None:
        self.closed += 1


class Hall:
    """A ring, a socket pair, and what came out of both."""

    def __init__(self) -> None:
        self.fd = create_ring("loop", RingLayout(16, 16, 64))
        self.reader, self.writer = RingReader(self.fd), RingWriter(self.fd, [])
        ours, self.agent = socket.socketpair()
        self.channel = ControlChannel(ours)
        self._ours = ours

    def run(self, script: Script, spec: SourceSpec, resume_after: int | None = None, **more: Any) -> int:
        start = CaptureStart(camera="cam", source=spec, rings=[], resume_after=resume_after, **more)
        return Capture(self.channel, start, [self.writer], script.open).run()

    def said(self) -> list[object]:
        self.agent.setblocking(False)
        lines = LineBuffer().feed(self.agent.recv(1 << 20))
        return [CAPTURE_WORDS.validate_json(line) for line in lines if b"heartbeat" not in line]

    def frame(self, sequence: int) -> tuple[tuple[int, int], Image]:
        out = np.empty((16, 16, 3), np.uint8)
        meta = self.reader.read_exactly(sequence, out)
        assert meta is not None
        return (meta.box.source_width, meta.box.source_height), out

    def close(self) -> None:
        self.reader.close()
        self.writer.close()
        os.close(self.fd)
        self._ours.close()
        self.agent.close()


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.close()


def picture(width: int, height: int, level: int = 50) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def test_frames_that_change_their_size_on_the_way_get_their_own_letterbox(hall: Hall) -> None:
    sizes = [(160, 120), (320, 200), (96, 96), (1, 1), (16, 16)] + [(8 + n, 9) for n in range(25)] + [(160, 120)]
    script = Script([[picture(*size, level=n) for n, size in enumerate(sizes)]])
    assert hall.run(script, ONCE, resume_after=0) == 0
    for n, size in enumerate(sizes):
        expected = np.empty((16, 16, 3), np.uint8)
        apply_letterbox(picture(*size, level=n), fit_letterbox(*size, 16, 16), expected)
        told, image = hall.frame(n + 2)  # behind the black one
        assert told == size
        assert np.array_equal(image, expected)


def test_the_end_is_told_with_what_was_promised(hall: Hall) -> None:
    script = Script([[picture(8, 8)] * 3], expected_frames=5)
    assert hall.run(script, ONCE, resume_after=0) == 0
    assert hall.said()[-1] == Ended(frames=3, expected=5)
    assert script.closed == script.opened == 1


def test_reads_in_vain_are_counted_and_forgiven(hall: Hall) -> None:
    script = Script([[picture(8, 8), *[None] * 29, picture(8, 8), *[None] * 29, AgentGone()]])
    with pytest.raises(AgentGone):
        hall.run(script, LIVE)
    assert hall.reader.newest == 2


def test_thirty_reads_in_vain_are_a_lost_source(hall: Hall) -> None:
    with pytest.raises(SourceError, match=r"no picture in 30 reads") as caught:
        hall.run(Script([[picture(8, 8), *[None] * 100]]), LIVE)
    assert (caught.value.error_code, caught.value.retry) == ("source_lost", True)
    assert "cam" in caught.value.message


def test_a_source_that_stalls_is_lost_when_its_time_is_up(hall: Hall) -> None:
    """Each read may take seconds to fail: thirty of them would be minutes."""
    impatient = RtspSpec(url="rtsp://camera/1", stall_timeout_s=1e-9)
    with pytest.raises(SourceError, match=r"no picture in 1 reads"):
        hall.run(Script([[picture(8, 8), None, picture(8, 8)]]), impatient)


def test_a_file_without_a_frame_is_refused_and_not_opened_for_ever(hall: Hall) -> None:
    script = Script([[]])
    with pytest.raises(SourceError, match="no readable frame") as caught:
        hall.run(script, LOOP)
    assert (caught.value.error_code, caught.value.retry, script.opened) == ("source_unreadable", False, 1)


def test_a_file_that_loses_its_frames_while_it_loops_is_refused_too(hall: Hall) -> None:
    script = Script([[picture(8, 8)] * 2, [picture(8, 8)], []])
    with pytest.raises(SourceError, match="no readable frame"):
        hall.run(script, LOOP)
    assert (script.opened, hall.reader.newest) == (3, 3)


def test_a_long_way_to_catch_up_is_gone_in_small_steps(hall: Hall) -> None:
    """Between which the agent hears of it, and can stop it."""
    hall.writer.begin_pass()
    for _ in range(57):
        hall.writer.start()
        hall.writer.publish(0, 0, fit_letterbox(8, 8, 16, 16))
    hall.reader.set_consumed(57)
    script = Script([[picture(8, 8)] * 60])
    assert hall.run(script, ONCE, resume_after=57) == 0
    assert script.skipped == [10, 10, 10, 10, 10, 7]
    assert hall.said()[-1] == Ended(frames=60, expected=0)
    assert hall.reader.newest == 60


def test_it_can_be_stopped_while_it_catches_up(hall: Hall) -> None:
    hall.writer.begin_pass()
    for _ in range(50):
        hall.writer.start()
        hall.writer.publish(0, 0, fit_letterbox(8, 8, 16, 16))
    hall.agent.sendall(Stop().line())
    script = Script([[picture(8, 8)] * 60])
    assert hall.run(script, ONCE, resume_after=50) == 0
    assert script.skipped == []
    assert not any(isinstance(word, Ended) for word in hall.said())


def test_a_live_source_is_never_resumed(hall: Hall) -> None:
    with pytest.raises(AgentGone):
        hall.run(Script([[picture(8, 8), AgentGone()]]), LIVE, resume_after=3)
    assert (hall.reader.newest, hall.reader.lossless) == (1, False)


def test_the_source_is_closed_whatever_ends_the_work(hall: Hall) -> None:
    script = Script([[picture(8, 8), ZeroDivisionError()]])
    with pytest.raises(ZeroDivisionError):
        hall.run(script, LIVE)
    assert script.closed == 1


def test_what_is_told_first(hall: Hall) -> None:
    hall.run(Script([[picture(8, 8)]], fps=12.5), ONCE, resume_after=0)
    words = hall.said()
    assert words[0] == Opened(width=8, height=8, fps=12.5)
    assert isinstance(words[1], CaptureStats)


def test_a_timetable_is_kept_to_the_grid_until_it_is_half_a_second_late() -> None:
    timetable = Timetable(10.0)
    assert timetable.wait_s() == 0.0
    timetable.passed()
    timetable.passed()
    assert 0.1 < timetable.wait_s() <= 0.2
    late = Timetable(0.000_1)
    late._due_s -= 20_000.0
    late.passed()
    assert late.wait_s() == 0.0
    late.passed()
    assert 9_999.0 < late.wait_s() <= 10_000.0


# a share of the frames


def levels(hall: Hall) -> list[int]:
    return [int(hall.frame(number)[1].max()) for number in range(1, hall.reader.newest + 1)]


def numbered(count: int) -> list[Image | Exception | None]:
    return [picture(16, 16, level) for level in range(1, count + 1)]


@pytest.mark.parametrize(
    ("share", "seen"),
    [(0.5, [1, 3, 5, 7, 9, 11]), (0.25, [1, 5, 9]), (0.75, [1, 3, 4, 5, 7, 8, 9, 11, 12]), (0.01, [1])],
)
def test_a_share_of_a_live_source_is_read_evenly_and_the_rest_never_becomes_a_picture(
    hall: Hall, share: float, seen: list[int]
) -> None:
    script = Script([[*numbered(12), AgentGone()]])
    with pytest.raises(AgentGone):
        hall.run(script, LIVE, share=share)
    assert levels(hall) == seen
    assert script.passed_over == 12 - len(seen)


def test_a_share_may_change_while_it_runs(hall: Hall) -> None:
    class Told(Script):
        def read(self) -> Image | None:
            if len(self._rest) == 7:
                hall.agent.sendall(SetShare(share=0.5).line())
            return super().read()

    with pytest.raises(AgentGone):
        hall.run(Told([[*numbered(9), AgentGone()]]), LIVE)
    assert levels(hall) == [1, 2, 3, 4, 5, 7, 9]


def test_a_file_played_once_loses_nothing_whatever_the_share(hall: Hall) -> None:
    script = Script([numbered(12)])
    assert hall.run(script, ONCE, resume_after=0, share=0.1) == 0
    assert levels(hall) == [0, *range(1, 13)]
    assert script.passed_over == 0


def test_a_pass_begins_behind_a_frame_whenever_it_begins(hall: Hall) -> None:
    """Behind the rehearsal, or behind a black frame in its place."""
    assert hall.run(Script([numbered(3)]), ONCE, resume_after=0) == 0
    assert (hall.reader.consumed, hall.reader.newest, hall.writer.passed) == (1, 4, 3)
    assert not hall.frame(1)[1].any()


def test_frames_passed_over_in_vain_are_a_lost_source_too(hall: Hall) -> None:
    with pytest.raises(SourceError, match=r"no picture in 30 reads"):
        hall.run(Script([[picture(8, 8), *[None] * 100]]), LIVE, share=0.01)


def test_a_file_that_loops_starts_again_though_its_last_frames_were_passed_over(hall: Hall) -> None:
    script = Script([numbered(3), numbered(3), [AgentGone()]])
    with pytest.raises(AgentGone):
        hall.run(script, LOOP, share=0.25)
    assert levels(hall) == [1, 1], "the end of the file took a turn"
    assert script.opened == 3


# pictures that stand still


def restless(count: int) -> list[Image | Exception | None]:
    """What a sensor gives: a little noise everywhere."""
    rng = np.random.default_rng(5)
    return [(120 + rng.integers(0, 3, (64, 64, 3))).astype(np.uint8) for _ in range(count)]


def test_a_live_picture_that_freezes_is_given_up(hall: Hall) -> None:
    script = Script([[*restless(BLOCK + 1), *[picture(64, 64, 120)] * 200]])
    with pytest.raises(SourceError, match="the same to the bit") as caught:
        hall.run(script, LIVE, frozen_after_s=1e-9)
    assert (caught.value.error_code, caught.value.retry) == ("source_frozen", True)
    assert "cameras.cam.frozen_after_s = 0" in caught.value.mend
    assert BLOCK + LEAST_LOOKS <= hall.reader.newest <= BLOCK + LEAST_LOOKS + 2


@pytest.mark.parametrize("source", [LOOP, LIVE])
def test_a_file_or_a_camera_that_the_operator_exempts_may_stand_still(hall: Hall, source: SourceSpec) -> None:
    frames = [*restless(BLOCK + 1), *[picture(64, 64, 120)] * 20, AgentGone()]
    with pytest.raises(AgentGone):
        hall.run(Script([frames]), source, frozen_after_s=0.0 if source is LIVE else 1e-9)


def test_a_capture_that_takes_over_knows_that_there_ought_to_be_noise(hall: Hall) -> None:
    script = Script([[picture(64, 64, 120)] * 200])
    with pytest.raises(SourceError, match="the same to the bit"):
        hall.run(script, LIVE, frozen_after_s=1e-9, noisy=True)
    assert hall.reader.newest <= LEAST_LOOKS + 2


def test_the_first_frame_is_told_at_once(hall: Hall) -> None:
    """After a failure somebody waits for it."""
    with pytest.raises(AgentGone):
        hall.run(Script([[*numbered(3), AgentGone()]]), LIVE)
    assert [word.frames for word in hall.said() if isinstance(word, CaptureStats)] == [0, 1]


def test_a_picture_that_is_another_than_the_one_before_is_told_at_once(hall: Hall) -> None:
    """And that none has been, until then."""
    still = picture(64, 64, 120)
    frames = [still, still, *restless(2), AgentGone()]
    with pytest.raises(AgentGone):
        hall.run(Script([frames]), LIVE, frozen_after_s=60.0, noisy=True)
    told = [(word.frames, word.moved) for word in hall.said() if isinstance(word, CaptureStats)]
    assert told == [(0, False), (1, False), (3, True)]
