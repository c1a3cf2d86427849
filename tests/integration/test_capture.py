"""The real capture child: what comes into the ring, and what it says when nothing can."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_capture_kit import (
    SIZE,
    WAIT_S,
    Child,
    Rings,
    capture,
    ended,
    fault_of,
    frames_of,
    letterboxed,
    once,
    rings,
    write_video,
)

from edgeagent.camera.messages import Begin, CaptureStats, Ended, Opened
from edgeagent.camera.ring import RingWriter
from edgeagent.camera.sources import opencv_has_gstreamer
from edgeagent.camera.spec import CsiSpec, FileSpec, GStreamerSpec, RtspSpec, SyntheticSpec, V4l2Spec
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.supervise.messages import Fault, Heartbeat, Stop
from edgeagent.vision.letterbox import Letterbox, fit_letterbox

SYNTHETIC = SyntheticSpec(width=160, height=120, fps=50.0, seed=7)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "sixty.avi", 60)


@pytest.fixture
def made() -> Iterator[Rings]:
    with rings() as them:
        yield them


def test_synthetic_frames_come_at_their_rate_and_letterboxed(made: Rings) -> None:
    stream = ConveyorStream(160, 120, 50.0, 7)
    seen: list[tuple[int, int]] = []
    with capture(SYNTHETIC, made) as child:
        assert child.until(Opened) == Opened(width=160, height=120, fps=50.0)
        last = 0
        while len(seen) < 60:
            meta, image = made.newest(after=last)
            last = meta.sequence
            seen.append((last, meta.capture_ns))
            assert np.array_equal(image, letterboxed(stream.frame(last - 1)[0]))
            assert (meta.box.source_width, meta.box.source_height, meta.box.pad_y) == (160, 120, 12.0)
        assert abs(time.time() * 1000 - meta.capture_ms) < WAIT_S * 1000
        assert abs(time.monotonic_ns() - meta.capture_ns) < WAIT_S * 1e9
        child.send(Stop())
        assert child.exit_code() == 0
        stats = [word for word in child.to_the_end() if isinstance(word, CaptureStats)]
    assert 30 <= rate_of(seen) <= 60  # 50, but for what a busy machine is late at either end
    assert stats[0].frames >= 0
    assert stats[-1].unusable == 0


def test_it_is_never_silent_for_longer_than_it_announced(made: Rings) -> None:
    """Not even between the frames of a source that is slower than its stall timeout."""
    source = SyntheticSpec(width=64, height=64, fps=0.3, stall_timeout_s=0.1)
    with capture(source, made) as child:
        for _ in range(5):  # the second one tells of the first frame, at once
            child.until(CaptureStats)
        assert made.reader.newest in (1, 2)
    allow_s, last_s = 0.0, child.heard[0][0]
    for heard_s, word in child.heard:
        assert heard_s - last_s <= max(allow_s, 0.0) or allow_s == 0.0
        last_s = heard_s
        if isinstance(word, Heartbeat):
            allow_s = word.allow_s
    assert allow_s < 3.0
    assert child.heard[-1][0] - child.heard[0][0] > 2.5


def test_a_file_plays_round_and_round_in_its_own_rhythm(made: Rings, tmp_path: Path) -> None:
    path = write_video(tmp_path / "ten.avi", 10, fps=40.0)
    expected = frames_of(path)
    seen: list[tuple[int, int]] = []
    with capture(FileSpec(path=str(path), mode="loop"), made) as child:
        last = 0
        while last < 35:
            meta, image = made.newest(after=last)
            last = meta.sequence
            assert np.array_equal(image, expected[(last - 1) % 10])
            seen.append((last, meta.capture_ns))
        child.send(Stop())
        words = child.to_the_end()
        assert child.exit_code() == 0
    assert not any(isinstance(word, Ended) for word in words)
    assert 20 <= rate_of(seen) <= 48  # 40: the jump back to the first frame takes its place in the rhythm


def rate_of(seen: list[tuple[int, int]]) -> float:
    """Frames a second between the first and the last of (sequence, capture_ns)."""
    return (seen[-1][0] - seen[0][0]) / (seen[-1][1] - seen[0][1]) * 1e9


def read_pass(child: Child, made: Rings, count: int) -> list[np.ndarray]:
    """The next `count` frames of the pass, consumed."""
    found = []
    for _ in range(count):
        meta, image = made.next_of_pass()
        found.append(image)
        made.reader.set_consumed(meta.sequence)
    return found


def wait_for_pass(made: Rings) -> None:
    deadline = time.monotonic() + WAIT_S
    while not made.reader.lossless:
        assert time.monotonic() < deadline
        os.sched_yield()


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("pace", ["native", "fastest"])
def test_a_file_played_once_shows_every_frame_exactly_once(made: Rings, tmp_path: Path, pace: str) -> None:
    """The rehearsal before `begin` does not count, however far it has come; the slow reader is waited for."""
    path = write_video(tmp_path / "short.avi", 25, fps=50.0)
    with capture(once(path, pace), made) as child:
        made.newest(after=30)  # it has started over at least once
        assert not made.reader.lossless
        child.send(Begin())
        wait_for_pass(made)
        found = read_pass(child, made, 25)
        assert ended(child) == Ended(frames=25, expected=25)
        assert made.reader.read_exactly(made.reader.consumed + 1, found[0]) is None
    assert same(found, frames_of(path))


def test_a_second_begin_does_not_start_over(made: Rings, video: Path) -> None:
    with capture(once(video), made) as child:
        child.send(Begin())
        wait_for_pass(made)
        found = read_pass(child, made, 10)
        child.send(Begin())
        found += read_pass(child, made, 50)
        assert ended(child).frames == 60
    assert same(found, frames_of(video))


def test_a_pass_goes_on_after_the_child_was_killed(made: Rings, video: Path) -> None:
    found: list[np.ndarray] = []
    resume_after: int | None = None
    for count in (7, 1, 20):
        with capture(once(video), made, resume_after) as child:
            if resume_after is None:
                child.send(Begin())
            wait_for_pass(made)
            found += read_pass(child, made, count)
            child.kill()
        resume_after = len(found)  # what the agent reads in the ring may be more
    with capture(once(video), made, resume_after) as child:
        found += read_pass(child, made, 60 - len(found))
        assert ended(child) == Ended(frames=60, expected=60)
    assert same(found, frames_of(video))


def test_a_child_killed_before_the_pass_began_leaves_the_pass_whole(made: Rings, video: Path) -> None:
    """The frames of the rehearsal, which the agent takes for frames of the pass, are not left out of it."""
    with capture(once(video), made) as child:
        last = made.newest(after=9)[0].sequence
        child.kill()
    with capture(once(video), made, resume_after=last) as child:
        wait_for_pass(made)
        found = read_pass(child, made, 60)
        assert ended(child) == Ended(frames=60, expected=60)
    assert same(found, frames_of(video))


def test_a_child_killed_between_two_rings_gives_each_what_it_lacks(video: Path) -> None:
    expected = {size: frames_of(video, size) for size in (SIZE, (64, 48))}
    with rings((SIZE, (64, 48)), slots=64) as made:
        for fd, count in zip(made.fds, (3, 2), strict=True):
            with RingWriter(fd, []) as writer:
                writer.begin_pass()
                for index in range(count):
                    picture = expected[writer.layout.width, writer.layout.height][index]
                    writer.start()[:] = picture
                    writer.publish(0, 0, made_box(writer))
        with capture(once(video), made, resume_after=2) as child:
            assert ended(child) == Ended(frames=60, expected=60)
        for reader in made.readers:
            assert reader.newest == 60
            out = np.empty((reader.layout.height, reader.layout.width, 3), np.uint8)
            for sequence in range(1, 61):
                assert reader.read_exactly(sequence, out) is not None
                assert np.array_equal(out, expected[reader.layout.width, reader.layout.height][sequence - 1])


def made_box(writer: RingWriter) -> Letterbox:
    return fit_letterbox(160, 120, writer.layout.width, writer.layout.height)


def test_a_child_killed_before_the_last_wake_up_leaves_nobody_asleep(video: Path) -> None:
    with rings(slots=64) as made:
        with RingWriter(made.fds[0], []) as writer:
            writer.begin_pass()
            for picture in frames_of(video):
                writer.start()[:] = picture
                writer.publish(0, 0, made_box(writer))
        assert not readable(made.wakes[0])
        with capture(once(video), made, resume_after=60) as child:
            assert ended(child) == Ended(frames=60, expected=60)
        assert made.reader.newest == 60
        assert readable(made.wakes[0])


def readable(fd: int) -> bool:
    try:
        return os.eventfd_read(fd) > 0
    except BlockingIOError:
        return False


def test_a_file_that_got_shorter_ends_with_what_there_is(made: Rings, tmp_path: Path) -> None:
    path = write_video(tmp_path / "shorter.avi", 5)
    with RingWriter(made.fds[0], []) as writer:
        writer.begin_pass()
        for _ in range(8):
            writer.start()
            writer.publish(0, 0, made_box(writer))
            made.reader.set_consumed(writer.newest)
    with capture(once(path), made, resume_after=8) as child:
        assert ended(child) == Ended(frames=8, expected=5)


def cut(path: Path, share: float) -> Path:
    os.truncate(path, int(path.stat().st_size * share))
    return path


@pytest.mark.parametrize(("suffix", "share"), [(".avi", 0.9), (".avi", 0.02), (".mp4", 0.9), (".mp4", 0.0001)])
def test_a_truncated_video_is_told_clearly(made: Rings, tmp_path: Path, suffix: str, share: float) -> None:
    """Either it cannot be opened, with a plain fault, or it ends early, with what its header promised."""
    path = cut(write_video(tmp_path / f"cut{suffix}", 60), share)
    with capture(once(path), made, resume_after=0) as child:
        drain = threading.Thread(target=consume_all, args=(made, child), daemon=True)
        drain.start()
        words = child.to_the_end()
        code = child.exit_code()
        drain.join(WAIT_S)
    last = words[-1]
    if isinstance(last, Fault):
        assert (last.code, last.retry, code) == ("source_unreadable", False, 2)
        assert str(path) in last.text
        assert last.mend
    else:
        assert isinstance(last, Ended)
        assert last.frames < last.expected == 60
        assert (made.reader.newest, code) == (1 + last.frames, 0)


def consume_all(made: Rings, child: Child) -> None:
    while child.process.poll() is None:
        made.reader.set_consumed(made.reader.newest)
        os.sched_yield()


def test_a_truncated_video_that_opens_ends_early(made: Rings, tmp_path: Path) -> None:
    """The case above in which there is something to see: half an AVI."""
    path = cut(write_video(tmp_path / "half.avi", 60), 0.5)
    expected = frames_of(path)
    assert 10 < len(expected) < 60
    with capture(once(path), made, resume_after=0) as child:
        wait_for_pass(made)
        found = read_pass(child, made, len(expected))
        assert ended(child) == Ended(frames=len(expected), expected=60)
    assert same(found, expected)


FILES = {
    "missing.mp4": (None, "source_missing", "there is no file"),
    "empty.mp4": (b"", "source_unreadable", "is empty"),
    "text.mp4": (b"this is a letter and no film\n" * 200, "source_unreadable", "is no video that OpenCV can read"),
    "noise.avi": (bytes(range(256)) * 64, "source_unreadable", "is no video that OpenCV can read"),
    "a:b.mp4": (b"RIFF", "source_unreadable", "is no video that OpenCV can read"),
    "x" * 300 + ".mp4": (None, "source_unreadable", "cannot be read: File name too long"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, name: str) -> None:
    content, code, text = FILES[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    fault, exit_code = fault_of(FileSpec(path=str(path)))
    assert (fault.code, fault.retry, exit_code) == (code, False, 2)
    assert text in fault.text
    assert fault.text.startswith("camera cam: ")
    assert fault.mend


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert fault_of(FileSpec(path=str(tmp_path)))[0].code == "source_wrong"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Opening a named pipe would wait for a writer that never comes."""
    os.mkfifo(tmp_path / "pipe.mp4")
    assert fault_of(FileSpec(path=str(tmp_path / "pipe.mp4")))[0].code == "source_wrong"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_of_somebody_else_is_told_from_a_broken_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "theirs.avi", 2)
    path.chmod(0)
    fault, _ = fault_of(FileSpec(path=str(path)))
    assert fault.text.endswith("cannot be read: Permission denied")


def test_a_picture_that_cannot_be_drawn_is_refused() -> None:
    fault, code = fault_of(SyntheticSpec(width=16, height=16))
    assert (fault.code, fault.who, code) == ("source_wrong", "hardware", 2)


@pytest.mark.skipif(opencv_has_gstreamer(), reason="this OpenCV has GStreamer")
@pytest.mark.parametrize("source", [GStreamerSpec(pipeline="videotestsrc ! appsink"), CsiSpec(sensor_id=0)])
def test_gstreamer_on_an_opencv_without_it_is_refused_with_the_reason(source: GStreamerSpec | CsiSpec) -> None:
    fault, code = fault_of(source)
    assert (fault.code, fault.retry, code) == ("opencv_without_gstreamer", False, 2)
    assert "was built without GStreamer" in fault.text
    assert "python3-opencv" in fault.mend


@pytest.mark.parametrize(
    ("device", "code", "retry", "exit_code"),
    [
        ("/dev/video99", "source_missing", True, 1),  # it may be plugged in later
        ("/dev/null", "source_unreadable", True, 1),
        ("/dev/shm", "source_wrong", False, 2),
    ],
)
def test_a_device_that_is_no_camera(device: str, code: str, retry: bool, exit_code: int) -> None:
    fault, exited = fault_of(V4l2Spec(device=device))
    assert (fault.code, fault.retry, exited) == (code, retry, exit_code)
    assert device in fault.text


def test_rtsp_to_a_closed_port_is_told_soon_and_without_the_password() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fault, code = fault_of(RtspSpec(url=f"rtsp://me:secret@127.0.0.1:{port}/x", open_timeout_s=10.0))
    assert (fault.code, fault.retry, code) == ("source_unreachable", True, 1)
    assert "secret" not in fault.text
    assert f"rtsp://***@127.0.0.1:{port}/x" in fault.text


def test_rtsp_to_a_port_that_never_answers_is_given_up_in_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = RtspSpec(url=f"rtsp://127.0.0.1:{server.getsockname()[1]}/x", open_timeout_s=1.0)
        begun = time.monotonic()
        fault, code = fault_of(source)
    assert time.monotonic() - begun >= 0.9
    assert (fault.code, code) == ("source_unreachable", 1)


def test_what_is_no_ring_is_no_place_for_frames(made: Rings) -> None:
    made.fds.append(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
    made.wakes.append(os.eventfd(0, os.EFD_CLOEXEC))
    with capture(SYNTHETIC, made) as child:
        fault = child.until(Fault)
        assert child.exit_code() == 1
    assert "ring" in fault.text


@pytest.mark.parametrize("word", [b"no json\n", b'{"kind":"begin","extra":1}\n'])
def test_a_word_that_it_does_not_know_ends_it_with_a_fault(
    made: Rings, word: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture(SYNTHETIC, made) as child:
        child.until(Opened)
        child.send_raw(word)
        assert child.until(Fault).code == "crash"
        assert child.exit_code() == 1
    assert "ValidationError" in capfd.readouterr().err


def test_begin_means_nothing_to_a_source_without_an_end(made: Rings) -> None:
    with capture(SYNTHETIC, made) as child:
        made.newest(after=3)
        child.send(Begin())
        made.newest(after=10)
        assert not made.reader.lossless
        child.send(Stop())
        assert sum(isinstance(word, Opened) for word in child.to_the_end()) == 1


def test_it_goes_when_the_agent_hangs_up(made: Rings) -> None:
    with capture(SYNTHETIC, made) as child:
        made.newest(after=3)
        child.hang_up()
        assert child.exit_code() == 1


def test_sigterm_ends_it_as_what_it_is(made: Rings) -> None:
    with capture(SYNTHETIC, made) as child:
        made.newest(after=3)
        child.process.send_signal(signal.SIGTERM)
        assert child.exit_code() == -signal.SIGTERM


def test_sigint_of_the_terminal_is_for_the_agent(made: Rings) -> None:
    with capture(SYNTHETIC, made) as child:
        last = made.newest(after=3)[0].sequence
        child.process.send_signal(signal.SIGINT)
        made.newest(after=last + 10)
        child.send(Stop())
        assert child.exit_code() == 0


def test_it_stops_while_it_waits_for_a_reader(made: Rings, video: Path) -> None:
    with capture(once(video), made, resume_after=0) as child:
        wait_for_pass(made)
        deadline = time.monotonic() + WAIT_S
        while made.reader.newest < 1 + 4:
            assert time.monotonic() < deadline
            os.sched_yield()
        child.send(Stop())
        assert child.exit_code() == 0
        assert made.reader.newest == 1 + 4  # behind the black one; nothing that was not read is written over


def test_it_needs_nothing_of_the_rest_of_the_house() -> None:
    """A camera's process is small: no MQTT, no model, no engine."""
    code = "import sys, edgeagent.camera.capture_child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT_S, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"paho", "onnx", "onnxruntime", "edgeagent.app", "edgeagent.fleet", "edgeagent.engine", "anyio"}
