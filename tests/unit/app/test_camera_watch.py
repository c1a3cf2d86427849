"""What is told of a camera, word by word of its capture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import anyio
import pytest

from edgeagent.app.camera_row import CameraRow
from edgeagent.app.camera_upkeep import own_memory_mb
from edgeagent.app.camera_watch import promise_of
from edgeagent.app.cameras import Camera, Count
from edgeagent.camera.health import GOOD_S, Promise
from edgeagent.camera.messages import CaptureStart, CaptureStats, Opened
from edgeagent.camera.rules import CameraRules
from edgeagent.camera.spec import CsiSpec, FileSpec, GStreamerSpec, RtspSpec, SourceSpec, SyntheticSpec, V4l2Spec
from edgeagent.config.schema import CameraSettings
from edgeagent.fleet.results import FactValue
from edgeagent.fleet.states import Severity
from edgeagent.health.book import Word
from edgeagent.supervise.messages import Message, Stop
from edgeagent.supervise.supervisor import ChildState

RTSP = RtspSpec(url="rtsp://camera/1")
OPENED = Opened(width=640, height=480, fps=25.0)
ASKED = {"width": 1280, "height": 720, "fps": 30.0}


class Hours:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)

    def wall_ms(self) -> int:
        return 0


class Told:
    def __init__(self) -> None:
        self.notes: list[tuple[Word, str]] = []
        self.events: list[str] = []

    def engine(self, pipeline: str, **values: object) -> None:
        raise AssertionError(pipeline)

    def note(self, name: str, health: Word, reason: str = "") -> None:
        assert name == "camera/door"
        self.notes.append((health, reason))

    def event(self, kind: str, severity: Severity, text: str, **facts: FactValue | None) -> None:
        self.events.append(kind)


class Scene:
    """A camera whose capture says what the test makes it say."""

    def __init__(self, source: SourceSpec) -> None:
        self.told, self.hours = Told(), Hours()
        self.camera = Camera("door", source, [], self.told, self.hours, Random(1))
        self.frames = 0

    def opened(self, word: Opened = OPENED) -> None:
        self.frames = 0
        self.camera._take(word.line())

    def seconds(self, count: int, fps: int = 25, **more: object) -> None:
        for _ in range(count):
            self.hours.now_s += 1.0
            self.frames += fps
            values = {"frames": self.frames, "unusable": 0, "read_ms": 1.0, "width": 640, "height": 480, **more}
            self.camera._take(CaptureStats.model_validate(values).line())

    def died(self, state: str = "waiting", code: str = "source_lost") -> None:
        self.camera._child_changed(ChildState("capture-door", state, "no picture", None, 1, code=code))  # type: ignore[arg-type]


class Running:
    """A child that hears everything."""

    pid = os.getpid()

    async def send(self, message: Message) -> None:
        assert message == Stop()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene(RTSP)
    yield made
    made.camera.close()


def test_a_good_life_is_told_once(scene: Scene) -> None:
    scene.opened()
    scene.seconds(60)
    assert (scene.told.notes, scene.told.events) == ([("ok", "")], [])


def test_a_failure_and_its_end_are_told_once_each(scene: Scene) -> None:
    scene.opened()
    scene.seconds(20)
    scene.died()
    scene.opened()
    scene.seconds(5)
    assert [word for word, _ in scene.told.notes] == ["ok", "failed", "ok"]
    assert scene.told.events == ["camera-failed", "camera-recovered"]


def test_a_file_that_ends_every_second_recovers_like_others() -> None:
    """It is opened anew between any two words of its capture, which counts on."""
    scene = Scene(FileSpec(path="short.mp4"))
    for life in range(2):
        scene.frames = 0
        for _ in range(20):
            scene.camera._take(OPENED.line())
            scene.seconds(1)
        if not life:
            scene.died()
    assert [word for word, _ in scene.told.notes] == ["ok", "failed", "ok"]
    assert scene.told.events == ["camera-failed", "camera-recovered"]
    assert scene.camera.measure()["health"] == "ok"
    scene.camera.close()


def test_a_slow_camera_that_says_nothing_of_its_rate_is_well_again_like_others() -> None:
    """A picture every four seconds, where ten may pass: what it gives is all that it ever gives."""
    scene = Scene(RtspSpec(url=RTSP.url, stall_timeout_s=10.0))
    for _ in range(2):
        scene.died()
        scene.opened(Opened(width=640, height=480, fps=30.0, fps_known=False))
        scene.seconds(1, fps=1)
    for _ in range(10):
        scene.seconds(3, fps=0)
        scene.seconds(1, fps=1)
    assert [word for word, _ in scene.told.notes] == ["failed", "degraded", "ok"]
    scene.camera.close()


def test_opening_alone_is_no_recovery(scene: Scene) -> None:
    scene.died()
    scene.opened()
    assert scene.camera.measure()["health"] == "failed"
    assert scene.camera.measure()["code"] == "source_lost"


def test_the_open_breaker_is_told(scene: Scene) -> None:
    scene.died("failing")
    assert "tried every 2 minutes now" in scene.told.notes[-1][1]


def test_a_rate_that_sinks_is_told_with_an_event(scene: Scene) -> None:
    scene.opened()
    scene.seconds(30, fps=10)
    assert [word for word, _ in scene.told.notes] == ["ok", "degraded"]
    assert scene.told.events == ["camera-degraded"]


@pytest.mark.parametrize(
    ("min_fps", "health", "reason"),
    [(24.0, "ok", ""), (28.0, "degraded", "it gives 25.0 frames a second, not at least 28")],
)
def test_another_rate_that_is_wanted_is_judged_by_itself(
    scene: Scene, min_fps: float, health: str, reason: str
) -> None:
    """It is a setting that can change while the capture runs."""
    scene.camera.change(CameraRules(min_fps=30.0))
    scene.opened()
    scene.seconds(12)
    assert scene.told.notes[-1] == ("degraded", "it gives 25.0 frames a second, not at least 30")
    scene.camera.change(CameraRules(min_fps=min_fps))
    scene.seconds(12)
    assert scene.told.notes[-1] == (health, reason)


def test_frames_that_were_shed_count_as_frames(scene: Scene) -> None:
    scene.opened()
    for second in range(30):
        scene.seconds(1, fps=1, shed=24 * (second + 1))
    assert scene.told.notes == [("ok", "")]


def test_the_rate_of_before_is_for_the_captures_after_a_failure(scene: Scene) -> None:
    scene.opened()
    assert scene.camera.watch.known_fps is None
    scene.died()
    assert scene.camera.watch.known_fps == 25.0
    scene.opened(Opened(width=640, height=480, fps=30.0, fps_known=False))
    assert scene.camera.watch.known_fps is None, "that was a guess"
    scene.opened()
    scene.seconds(20)
    assert scene.camera.watch.known_fps is None, "it has worked for a while"


def test_after_a_capture_that_hung_the_rate_is_measured_anew(scene: Scene) -> None:
    """It may have hung because the rate of before made it open the stream twice."""
    scene.opened()
    scene.died()
    scene.died(code="hung")
    assert scene.camera.watch.known_fps is None
    scene.died()
    assert scene.camera.watch.known_fps == 25.0


def test_noise_once_seen_is_remembered_for_the_captures_to_come(scene: Scene) -> None:
    scene.opened()
    scene.seconds(1, noisy=True)
    scene.died()
    scene.opened()
    scene.seconds(1)
    assert scene.camera.watch.noisy


def test_good_pictures_for_a_while_close_the_breaker(scene: Scene) -> None:
    """`take` is true once for each time."""
    scene.opened()
    now = CaptureStats(frames=0, unusable=0, read_ms=1.0)
    proven = []
    for second in range(1, 30):
        scene.hours.now_s += 1.0
        proven.append(scene.camera.watch.take(now.model_copy(update={"frames": 25 * second})))
    assert proven.count(True) == 1
    assert proven.index(True) == GOOD_S + 1


@pytest.mark.parametrize(
    ("source", "asked"),
    [(CsiSpec(sensor_id=0), 2), (GStreamerSpec(pipeline="nvarguscamerasrc ! appsink"), 2), (RTSP, 0)],
)
def test_the_daemon_of_csi_cameras_is_blamed_from_the_third_failure_on(source: SourceSpec, asked: int) -> None:
    scene, blamed = Scene(source), []
    scene.camera.on_argus_trouble = blamed.append
    for _ in range(4):
        scene.died()
    assert blamed == ["door"] * asked
    scene.died("refused")
    assert len(blamed) == asked
    scene.camera.close()


@pytest.mark.parametrize(
    ("source", "opened", "promise"),
    [
        (RTSP, OPENED, Promise(25.0, None, (640, 480), 0.08)),
        (RTSP, Opened(width=640, height=480, fps=30.0, fps_known=False), Promise(None, None, (640, 480), 5.0)),
        (V4l2Spec(device="/dev/video0", **ASKED), OPENED, Promise(30.0, None, (1280, 720), 0.08)),
        (V4l2Spec(device="/dev/video0"), OPENED, Promise(25.0, None, (640, 480), 0.08)),
        (CsiSpec(sensor_id=0), OPENED, Promise(30.0, None, (1920, 1080), 0.08)),
        (SyntheticSpec(), OPENED, Promise(None, None, (640, 480), 0.08)),
        (FileSpec(path="belt.mp4"), Opened(width=0, height=0, fps=0.5), Promise(gap_s=4.0)),
    ],
)
def test_what_is_held_against_a_camera(source: SourceSpec, opened: Opened, promise: Promise) -> None:
    assert promise_of(source, CameraRules(), opened) == promise


def test_a_process_s_own_memory() -> None:
    assert 1.0 < own_memory_mb(os.getpid()) < 100_000.0
    assert own_memory_mb(2**22 + 1) == 0.0


@pytest.mark.parametrize(("other", "events"), [(0, ["camera-recycled"]), (1, [])])
def test_a_capture_is_recycled_by_the_age_of_its_process_however_often_it_was_opened(
    scene: Scene, other: int, events: list[str]
) -> None:
    scene.camera.change(CameraRules(recycle_after_s=1000.0))
    scene.camera.supervisor._child = Running()  # type: ignore[assignment]
    for pid in (Running.pid, Running.pid + other):
        scene.camera._child_changed(ChildState("capture-door", "starting", pid=pid))
        scene.hours.now_s += 700.0
    anyio.run(scene.camera.upkeep.look)
    assert scene.told.events == events


class Ground:
    """What of it cameras stand on."""

    def __init__(self) -> None:
        self.publisher, self.clock, self.rng = Told(), Hours(), Random(1)


@pytest.mark.parametrize("url", [RTSP.url, "rtsp://camera/2"])
def test_a_capture_for_other_settings_goes_on_where_the_one_before_was(url: str) -> None:
    """Its counts are of the session, half of its frames are shed still, and noise is known of the same source."""
    row = CameraRow(Ground(), {"door": (CameraSettings(source=RTSP), [])})  # type: ignore[arg-type]
    old = row.by_name["door"]
    seen = CaptureStats(frames=9, unusable=3, read_ms=1.0, shed=4, width=640, height=480, noisy=True)
    anyio.run(old.read_share, 0.5)
    for _ in range(2):
        first_word(old)
        old._take(seen.line())
        old._take(seen.line())
    assert (old.measure()["unusable"], old.measure()["shed"]) == (6, 8)
    old.supervisor._restart = replace(old.supervisor._restart, restarts=2)
    wanted = CameraSettings(source=RtspSpec(url=url), frozen_after_s=5.0)
    assert anyio.run(row.change, {"door": (wanted, [])}, {"door"}) == ["door"]
    new = row.by_name["door"]
    assert new is not old and {key: new.measure()[key] for key in ("unusable", "shed", "restarts")} == {
        "unusable": 6, "shed": 8, "restarts": 2,
    }  # fmt: skip
    start = first_word(new)
    assert (start.share, start.noisy, start.frozen_after_s) == (0.5, url == RTSP.url, 5.0)
    new._take(seen.line())
    assert (new.measure()["unusable"], new.measure()["shed"]) == (9, 12)
    row.close()


def first_word(camera: Camera) -> CaptureStart:
    """What its next capture is told."""
    first = camera._spec().first
    assert isinstance(first, CaptureStart)
    return first


def test_a_pass_counts_what_cannot_be_read_from_nought_and_the_session_does_not() -> None:
    count = Count()
    assert [count.heard(so_far) for so_far in (2, 2, 3, 0, 1)] == [2, 2, 3, 3, 4]
    count.capture_started()
    assert count.heard(4) == 8
