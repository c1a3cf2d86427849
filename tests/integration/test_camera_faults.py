"""Cameras that fail, hang and freeze: the agent's side over the real capture, with a real RTSP server that misbehaves.

How fast each is noticed and over is measured by tests/bench/bench_camera_faults.py; here it is that it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from camera_kit import WAIT_S, RtspServer, Told, Watched, free_port, garbage, rtsp_server, running
from test_capture_kit import write_video
from test_capture_streams import needs_rtsp_server

from edgeagent.camera.rules import CameraRules
from edgeagent.camera.spec import FileSpec, RtspSpec, SyntheticSpec, V4l2Spec

QUICK = CameraRules(frozen_after_s=2.0)
OTHER = SyntheticSpec(width=160, height=120, fps=10.0)


def stream(url: str) -> RtspSpec:
    return RtspSpec(url=url, open_timeout_s=3.0, stall_timeout_s=1.5)


@contextlib.asynccontextmanager
async def two(source: RtspSpec | V4l2Spec | FileSpec) -> AsyncIterator[Watched]:
    """The camera, beside another one that must notice nothing."""
    told = Told()
    watched, other = Watched("door", source, QUICK, told), Watched("belt", OTHER, CameraRules(), told)
    with anyio.fail_after(2 * WAIT_S):
        async with running(watched, other):
            await other.frames(1)
            pid = other.camera.supervisor.pid
            yield watched
            await other.frames(2)
    assert (other.health, other.camera.supervisor.restarts) == (("ok", ""), 0)
    assert pid is not None
    assert [word for name, word, _ in told.notes if name == "camera/belt"] == ["ok"]


def with_server(path: str, scene: Callable[[Watched, RtspServer], Awaitable[None]]) -> Watched:
    async def whole(server: RtspServer) -> Watched:
        async with two(stream(server.url(path))) as watched:
            await watched.frames(10)
            assert watched.health == ("ok", "")
            await scene(watched, server)
        return watched

    with rtsp_server() as server:
        return anyio.run(partial(whole, server))


@needs_rtsp_server
def test_a_frozen_picture_is_found_and_stays_a_failure_until_it_moves() -> None:
    async def scene(watched: Watched, server: RtspServer) -> None:
        await watched.frames(80)  # it learns that there is noise
        server.tell("freeze")
        await watched.is_in("failed", "source_frozen")
        await watched.until(lambda: watched.told.codes("door").count("source_frozen") == 2)
        assert watched.health == ("failed", "source_frozen"), "opened anew it shows the same picture"
        server.tell("thaw")
        await watched.is_in("degraded", "source_recovering")
        await watched.is_in("ok")

    watched = with_server("noise", scene)
    assert watched.told.events[-1][0] == "camera-recovered"


@needs_rtsp_server
def test_a_camera_without_noise_may_show_the_same_picture_for_ever() -> None:
    async def scene(watched: Watched, server: RtspServer) -> None:
        await watched.frames(70)
        server.tell("freeze")
        await watched.frames(90)  # much longer than it takes to call a picture frozen

    assert with_server("belt", scene).health == ("ok", "")


@needs_rtsp_server
@pytest.mark.parametrize(
    ("breaks", "mends"),
    [
        (RtspServer.kill, RtspServer.start),
        (RtspServer.hang, RtspServer.wake),
        (lambda server: server.tell("mute"), lambda server: server.tell("speak")),
    ],
    ids=["dies", "hangs", "falls silent"],
)
def test_a_network_camera_that_goes_away_is_used_again_when_it_is_back(
    breaks: Callable[[RtspServer], None], mends: Callable[[RtspServer], None]
) -> None:
    async def scene(watched: Watched, server: RtspServer) -> None:
        breaks(server)
        await watched.is_in("failed", "source_lost", "source_unreachable", "hung")
        mends(server)
        await watched.frames(20)
        await watched.is_in("ok")

    with_server("belt", scene)


@needs_rtsp_server
def test_a_wrong_rate_and_a_wrong_size_are_told_while_the_frames_are_used() -> None:
    async def scene(watched: Watched, server: RtspServer) -> None:
        server.tell("rate 5")
        await watched.is_in("degraded", "source_rate")
        server.tell("rate 25")
        await watched.is_in("ok")
        server.tell("size 320 240")
        await watched.is_in("degraded", "source_size")
        await watched.frames(5)
        server.tell("size 160 120")
        await watched.is_in("ok")

    watched = with_server("belt", scene)
    assert watched.camera.supervisor.restarts == 0


@needs_rtsp_server
@pytest.mark.parametrize(
    "answer",
    [
        bytes(range(256)) * 64,
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
    ],
    ids=["noise", "the same answer to all", "an answer without an end"],
)
def test_garbage_in_place_of_a_camera_is_survived_until_the_camera_is_there(answer: bytes) -> None:
    async def whole() -> None:
        port = free_port()
        async with two(stream(f"rtsp://127.0.0.1:{port}/belt")) as watched:
            with garbage(answer, port):
                await watched.is_in("failed")
            with rtsp_server(port):
                await watched.frames(20)
                await watched.is_in("ok")

    anyio.run(whole)


def test_a_device_is_waited_for_by_its_path() -> None:
    """Without a camera at hand: a path that appears is opened at once, whatever it then turns out to be."""

    async def whole(device: Path) -> None:
        async with two(V4l2Spec(device=str(device))) as watched:
            await watched.is_in("failed", "source_missing")
            device.symlink_to("/dev/null")
            await watched.is_in("failed", "source_unreadable")
            device.unlink()
            await watched.is_in("failed", "source_missing")

    with TemporaryDirectory(dir="/dev/shm", prefix="edgeagent-test-") as folder:  # this run alone has it
        anyio.run(whole, Path(folder) / "video0")


def test_a_capture_is_recycled_between_two_frames(tmp_path: Path) -> None:
    async def whole() -> None:
        told = Told()
        source = FileSpec(path=str(write_video(tmp_path / "loop.avi", 30)))
        watched = Watched("door", source, CameraRules(recycle_after_s=0.001), told)
        async with running(watched):
            await watched.frames(5)
            pid = watched.camera.supervisor.pid
            await watched.camera.upkeep.look()
            with anyio.fail_after(WAIT_S):
                while watched.camera.supervisor.pid in (pid, None):
                    await watched.frames(1)
            await watched.frames(5)
            assert watched.camera.supervisor.restarts == 0
        assert [kind for kind, _ in told.events] == ["camera-recycled"]
        assert [word for _, word, _ in told.notes] == ["ok"]

    anyio.run(whole)
