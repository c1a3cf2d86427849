"""Whether a source is there, of real sockets and paths; how long one waits for it, on a clock of the test."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from edgeagent.camera.presence import Probe, probe_of, wait_for_source
from edgeagent.camera.spec import CsiSpec, GStreamerSpec, RtspSpec, SourceSpec, SyntheticSpec, V4l2Spec


def asked(source: SourceSpec) -> bool | None:
    async def whole() -> bool | None:
        return await probe_of(source)()

    return anyio.run(whole)


def answered_with(answer: bytes, url: str = "rtsp://me:secret@127.0.0.1:{port}/one?two=3") -> tuple[bool | None, bytes]:
    """What the probe makes of a server that answers so, and what the server was asked."""

    async def whole() -> tuple[bool | None, bytes]:
        heard = [b""]

        async def serve(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                heard[0] = await stream.receive(4096)
                if answer:
                    await stream.send(answer)

        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, serve)
                found = await probe_of(RtspSpec(url=url.format(port=port)))()
                tasks.cancel_scope.cancel()
        return found, heard[0]

    return anyio.run(whole)


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", True),
        (b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n", True),
        (b"RTSP/1.0 400 Bad Request\r\n\r\n", True),
        (b"RTSP/1.0 404 Not Found\r\n\r\n", False),
        (b"RTSP/1.0 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"\x00\xff" * 400, False),
        (b"", False),
    ],
)
def test_a_network_camera_is_there_when_it_answers_as_one(answer: bytes, there: bool) -> None:
    assert answered_with(answer)[0] is there


def test_the_question_holds_no_password() -> None:
    _, question = answered_with(b"RTSP/1.0 200 OK\r\n\r\n")
    assert question.startswith(b"DESCRIBE rtsp://127.0.0.1:")
    assert b"/one?two=3 RTSP/1.0\r\n" in question
    assert b"secret" not in question
    assert b"me" not in question.split(b"\r\n")[0].replace(b"DESCRIBE", b"")


def test_a_closed_port_is_no_camera() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert asked(RtspSpec(url=f"rtsp://127.0.0.1:{closed.getsockname()[1]}/x")) is False


def test_one_that_takes_the_connection_and_says_nothing_is_not_there() -> None:
    """A camera that hangs: its kernel goes on taking connections."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert asked(RtspSpec(url=f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x")) is False


def test_a_port_with_tls_is_left_to_the_player() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert asked(RtspSpec(url=f"rtsps://127.0.0.1:{listening.getsockname()[1]}/x")) is True


def test_a_host_that_can_be_no_name_is_left_to_the_capture() -> None:
    assert asked(RtspSpec(url=f"rtsp://{'a' * 70}.local/x")) in (None, False)


def test_a_device_is_there_when_its_path_is() -> None:
    assert asked(V4l2Spec(device="/dev/null")) is True
    assert asked(V4l2Spec(device="/dev/v4l/by-id/usb-nobody-has-this")) is False


@pytest.mark.parametrize(
    ("pipeline", "there"),
    [
        ("v4l2src device=/dev/video98 ! appsink", False),
        ("v4l2src device=/dev/null ! appsink", True),
        ('rtspsrc location="rtsp://127.0.0.1:1/x" ! appsink', False),
        ("videotestsrc ! appsink", None),
    ],
)
def test_a_pipeline_may_name_what_it_needs(pipeline: str, there: bool | None) -> None:
    assert asked(GStreamerSpec(pipeline=pipeline)) is there


@pytest.mark.parametrize("source", [SyntheticSpec(), CsiSpec(sensor_id=0)])
def test_of_the_others_nothing_can_be_told(source: SourceSpec) -> None:
    assert asked(source) is None


class Hours:
    """A clock that sleeping moves on, and a source that is there or not by its hour."""

    def __init__(self, there: Callable[[float], bool | None]) -> None:
        self.now_s = 0.0
        self._there = there
        self.asked = 0

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    async def probe(self) -> bool | None:
        self.asked += 1
        return self._there(self.now_s)

    def waited(self, delay_s: float, longest_s: float) -> float:
        probe: Probe = self.probe
        sleep: Callable[[float], Awaitable[None]] = self.sleep

        async def whole() -> None:
            await wait_for_source(probe, delay_s, longest_s, sleep, lambda: self.now_s)

        anyio.run(whole)
        return self.now_s


def test_a_source_that_was_there_all_the_time_is_waited_for_as_long_as_was_said() -> None:
    assert Hours(lambda now_s: True).waited(1.5, 15.0) == 1.5
    assert Hours(lambda now_s: True).waited(120.0, 120.0) == 120.0


def test_one_that_has_gone_is_waited_for_longer_and_not_for_ever() -> None:
    assert Hours(lambda now_s: False).waited(0.3, 15.0) == 15.0


def test_one_that_comes_back_is_not_slept_past() -> None:
    assert Hours(lambda now_s: now_s >= 40.2).waited(120.0, 120.0) <= 40.2 + 0.5


def test_one_that_goes_while_it_is_waited_for_and_comes_back_is_taken_too() -> None:
    assert Hours(lambda now_s: not 10 < now_s < 20).waited(60.0, 60.0) <= 20.5


def test_where_nothing_can_be_told_the_time_is_slept_in_one_piece() -> None:
    hours = Hours(lambda now_s: None)
    assert (hours.waited(7.0, 15.0), hours.asked) == (7.0, 2)


def test_a_device_that_is_plugged_in_again(tmp_path: Path) -> None:
    """The real path, the real look at it."""
    device = Path("/dev/shm") / f"edgeagent-test-{tmp_path.name}-{id(tmp_path)}"
    probe = probe_of(V4l2Spec(device=str(device)))
    hours = Hours(lambda now_s: None)

    async def sleep(seconds: float) -> None:
        await hours.sleep(seconds)
        if hours.now_s >= 3.0 and not device.is_symlink():
            device.symlink_to("/dev/null")

    async def whole() -> None:
        await wait_for_source(probe, 60.0, 60.0, sleep, lambda: hours.now_s)

    try:
        anyio.run(whole)
    finally:
        device.unlink(missing_ok=True)
    assert hours.now_s <= 3.5
