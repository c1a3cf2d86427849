"""Sources that need GStreamer: a real RTSP server that goes away and comes back, and OpenCV's own pipelines.

They run on the distribution's interpreter (python3-gi, gir1.2-gst-rtsp-server-1.0, python3-opencv) and are skipped
where it lacks them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import anyio
import pytest
from test_capture_kit import WAIT_S, Rings, capture, rings

from edgeagent.camera.messages import CAPTURE_WORDS, CaptureStart, Opened, RingOutput, SetShare
from edgeagent.camera.spec import CsiSpec, GStreamerSpec, RtspSpec
from edgeagent.clock import SystemClock
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.messages import Fault, Stop
from edgeagent.supervise.policy import RestartRules
from edgeagent.supervise.supervisor import ChildState, Supervisor

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).parents[1] / "children" / "rtsp_server.py"
NEEDED_BY_PYDANTIC = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection")


@functools.cache
def system_python_says(code: str) -> str:
    """What the distribution's interpreter prints; empty when it cannot."""
    if not Path(SYSTEM_PYTHON).exists():
        return ""
    done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, text=True, timeout=WAIT_S, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


RTSP_SERVER = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer; print(1)"
OPENCV = "import cv2; print([l for l in cv2.getBuildInformation().splitlines() if 'GStreamer:' in l])"
ARGUS = (
    "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None); "
    "print(Gst.ElementFactory.find('nvarguscamerasrc') is not None)"
)
VERSION = "import sys; print(*sys.version_info[:2])"

needs_rtsp_server = pytest.mark.skipif(
    system_python_says(RTSP_SERVER) != "1", reason="GStreamer's RTSP server and python3-gi are not installed"
)
needs_opencv_with_gstreamer = pytest.mark.skipif(
    "YES" not in system_python_says(OPENCV), reason="the distribution's python3-opencv with GStreamer is not installed"
)
needs_same_version = pytest.mark.skipif(
    system_python_says(VERSION) != "{} {}".format(*sys.version_info[:2]),
    reason="pydantic's binary of this interpreter does not fit the distribution's",
)


@contextlib.contextmanager
def rtsp_server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([SYSTEM_PYTHON, str(SERVER), str(port)], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield server
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@needs_rtsp_server
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_frames_arrive(transport: str) -> None:
    port = free_port()
    source = RtspSpec(url=f"rtsp://127.0.0.1:{port}/belt", transport=transport)  # type: ignore[arg-type]
    with rtsp_server(port), rings() as made, capture(source, made) as child:
        opened = child.until(Opened)
        assert (opened.width, opened.height) == (160, 120)
        first, image = made.newest(after=0)
        last, later = made.newest(after=first.sequence + 20)
        assert (first.box.source_width, first.box.source_height) == (160, 120)
        assert (image != later).any()  # the ball moves
        assert last.capture_ns > first.capture_ns
        child.send(Stop())
        assert child.exit_code() == 0


@needs_rtsp_server
@pytest.mark.parametrize(
    ("path", "before", "fps"),
    [("untold", None, 25.0), ("untold", 12.5, 12.5), ("belt", None, 25.0), ("belt", 12.5, 25.0)],
)
def test_a_rate_of_before_is_not_measured_again_unless_the_stream_says_another(
    path: str, before: float | None, fps: float
) -> None:
    port = free_port()
    source = RtspSpec(url=f"rtsp://127.0.0.1:{port}/{path}")
    with rtsp_server(port), rings() as made, capture(source, made, fps=before) as child:
        opened = child.until(Opened)
        assert (opened.fps, opened.fps_known) == (fps, True)
        made.newest(after=0)
        child.send(Stop())
        assert child.exit_code() == 0


@needs_rtsp_server
def test_a_stream_that_was_not_there_is_opened_by_the_same_process() -> None:
    """What was meant for the capture before, and came too late, does it no harm."""
    port = free_port()
    with rings() as made, capture(RtspSpec(url=f"rtsp://127.0.0.1:{port}/belt", open_timeout_s=2.0), made) as child:
        for _ in range(2):
            fault = child.until(Fault)
            assert (fault.code, fault.stays) == ("source_unreachable", True)
            child.send(SetShare(share=0.5))
            child.send(child.first)
        child.until(Fault)
        with rtsp_server(port):
            child.send(child.first)
            child.until(Opened)
            first, _ = made.newest(after=0)
            made.newest(after=first.sequence + 10)
        assert child.until(Fault).code == "source_lost"
        child.send(Stop())
        assert child.exit_code() == 0


@needs_rtsp_server
def test_a_path_that_the_server_does_not_know_is_told() -> None:
    port = free_port()
    with rtsp_server(port), rings() as made:
        with capture(RtspSpec(url=f"rtsp://127.0.0.1:{port}/nothing"), made) as child:
            fault, _ = child.fault()
    assert (fault.code, fault.retry) == ("source_unreachable", True)


@needs_rtsp_server
def test_a_camera_that_goes_away_and_comes_back_is_used_again() -> None:
    """The whole of it under the real supervisor: the stream ends, is tried again and again, and plays on."""
    port = free_port()
    told: list[ChildState] = []

    def make_spec(made: Rings) -> ChildSpec:
        source = RtspSpec(url=f"rtsp://127.0.0.1:{port}/belt", open_timeout_s=2.0, stall_timeout_s=2.0)
        outputs = [RingOutput(fd=made.fds[0], wake_fds=[made.wakes[0]])]
        return ChildSpec(
            name="capture-cam",
            module="edgeagent.camera.capture_child",
            first=CaptureStart(camera="cam", source=source, rings=outputs),
            pass_fds=[*made.fds, *made.wakes],
        )

    async def whole(made: Rings) -> None:
        lost = anyio.Event()

        def tell(state: ChildState) -> None:
            told.append(state)
            if sum(state.state in ("waiting", "failing") for state in told) == 2:
                lost.set()

        rules = RestartRules(base_s=0.1, cap_s=0.2, slow_s=0.3)
        supervisor = Supervisor(
            "capture-cam",
            lambda: make_spec(made),
            lambda line: CAPTURE_WORDS.validate_json(line) and None,
            tell,
            SystemClock(),
            Random(1),
            rules,
        )
        with anyio.fail_after(4 * WAIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(supervisor.run)
                with rtsp_server(port):
                    last = (await anyio.to_thread.run_sync(made.newest, 10))[0].sequence
                with anyio.fail_after(WAIT_S):
                    await lost.wait()
                with rtsp_server(port):
                    await anyio.to_thread.run_sync(made.newest, last + 30)
                tasks.cancel_scope.cancel()

    with rings() as made:
        anyio.run(whole, made)
    codes = {state.code for state in told if state.state in ("waiting", "failing")}
    assert codes <= {"source_lost", "source_unreachable", "hung"}
    assert "source_unreachable" in codes
    assert told[-1].state == "stopped"


@contextlib.contextmanager
def path_with_packages(folder: Path, more: tuple[str, ...] = ()) -> Iterator[str]:
    """A PYTHONPATH with this repository, pydantic and `more`: numpy and OpenCV are the distribution's."""
    for name in (*NEEDED_BY_PYDANTIC, *more):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        place = origin.parent if origin.name == "__init__.py" else origin
        (folder / place.name).symlink_to(place)
    yield os.pathsep.join([str(Path(__file__).parents[2]), str(folder)])


@needs_opencv_with_gstreamer
@needs_same_version
def test_a_gstreamer_pipeline_plays_on_an_opencv_that_has_it(tmp_path: Path) -> None:
    pipeline = (
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1"
    )
    command = [SYSTEM_PYTHON, "-m", "edgeagent.camera.capture_child"]
    with path_with_packages(tmp_path) as path, rings() as made:
        with capture(GStreamerSpec(pipeline=pipeline), made, None, command, PYTHONPATH=path) as child:
            opened = child.until(Opened)
            assert (opened.width, opened.height, opened.fps) == (160, 120, 30.0)
            first, image = made.newest(after=0)
            _, later = made.newest(after=first.sequence + 20)
            assert (image != later).any()
            child.send(Stop())
            assert child.exit_code() == 0


@needs_opencv_with_gstreamer
@needs_same_version
@pytest.mark.skipif(system_python_says(ARGUS) == "True", reason="this machine has NVIDIA's camera plugin")
def test_a_csi_camera_on_a_machine_that_has_no_plugin_for_it_is_refused(tmp_path: Path) -> None:
    """OpenCV would wait for it for ever."""
    fault, code = gstreamer_fault(CsiSpec(sensor_id=0), tmp_path)
    assert (fault.code, fault.retry, code) == ("source_wrong", False, 2)
    assert fault.text == 'camera cam: GStreamer refuses the pipeline: no element "nvarguscamerasrc"'


@needs_opencv_with_gstreamer
@needs_same_version
@pytest.mark.parametrize(
    ("pipeline", "text"),
    [
        ("nosuchsrc token=abcdef ! appsink", 'no element "nosuchsrc"'),
        ("videotestsrc token=abcdef ! appsink", 'no property "token" in element "videotestsrc"'),
        ("videotestsrc ! ! appsink", "syntax error"),
    ],
)
def test_a_pipeline_that_gstreamer_refuses_is_refused_in_its_words(tmp_path: Path, pipeline: str, text: str) -> None:
    fault, code = gstreamer_fault(GStreamerSpec(pipeline=pipeline), tmp_path)
    assert (fault.code, fault.retry, code) == ("source_wrong", False, 2)
    assert text in fault.text
    assert "abcdef" not in fault.text


@needs_opencv_with_gstreamer
@needs_same_version
def test_a_pipeline_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    source = GStreamerSpec(pipeline="v4l2src device=/dev/video99 ! videoconvert ! appsink")
    fault, code = gstreamer_fault(source, tmp_path)
    assert (fault.code, fault.retry, code) == ("source_unreadable", True, 1)


def gstreamer_fault(source: GStreamerSpec | CsiSpec, tmp_path: Path) -> tuple[Fault, int]:
    command = [SYSTEM_PYTHON, "-m", "edgeagent.camera.capture_child"]
    with path_with_packages(tmp_path) as path, rings() as made:
        with capture(source, made, None, command, PYTHONPATH=path) as child:
            return child.fault()


@needs_opencv_with_gstreamer
@needs_same_version
def test_a_pipeline_that_ends_is_a_lost_source(tmp_path: Path) -> None:
    pipeline = "videotestsrc num-buffers=5 ! videoconvert ! video/x-raw,format=BGR ! appsink"
    command = [SYSTEM_PYTHON, "-m", "edgeagent.camera.capture_child"]
    with path_with_packages(tmp_path) as path, rings() as made:
        with capture(GStreamerSpec(pipeline=pipeline), made, None, command, PYTHONPATH=path) as child:
            fault, _ = child.fault()
        assert made.reader.newest == 5
    assert (fault.code, fault.retry) == ("source_lost", True)


ODD = {
    "grey": "video/x-raw,format=GRAY8,width=161,height=121",
    "16 bits": "video/x-raw,format=GRAY16_LE,width=161,height=121",
    "odd strides": "video/x-raw,format=BGR,width=161,height=121",
    "four channels": "video/x-raw,format=BGRx,width=161,height=121",
    "4K": "video/x-raw,format=BGR,width=3840,height=2160",
    "a band": "video/x-raw,format=BGR,width=4096,height=256",
}


@needs_opencv_with_gstreamer
@needs_same_version
@pytest.mark.parametrize("form", ODD)
def test_pictures_of_any_form_become_frames(tmp_path: Path, form: str) -> None:
    """White above, black below, whatever the form in which it comes."""
    caps = ODD[form]
    width, height = (int(part.split("=")[1]) for part in caps.split(",")[2:4])
    pipeline = (
        f"videotestsrc is-live=true pattern=gradient ! video/x-raw,framerate=5/1,width={width},height={height} ! "
        f"videoconvert ! {caps} ! appsink drop=true max-buffers=1"
    )
    command = [SYSTEM_PYTHON, "-m", "edgeagent.camera.capture_child"]
    with path_with_packages(tmp_path) as path, rings(((320, 320),)) as made:
        with capture(GStreamerSpec(pipeline=pipeline), made, None, command, PYTHONPATH=path) as child:
            meta, image = made.newest(after=2)
            child.send(Stop())
            assert child.exit_code() == 0
    assert (meta.box.source_width, meta.box.source_height) == (width, height)
    inside = image[int(meta.box.pad_y) + 1 : 320 - int(meta.box.pad_y) - 1, 160].astype(int)
    assert abs(inside[-1].mean() - inside[0].mean()) > 150, "the gradient runs down the picture"
    assert (inside.max(axis=1) - inside.min(axis=1)).max() <= 3, "it is grey"
