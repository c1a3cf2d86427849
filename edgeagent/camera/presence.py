"""Is a source there? Asked from outside, cheaply, without opening it: so that nobody waits on for one that is back.

A device is there when its path is (udev makes and removes the paths by which a USB camera keeps its name). A network
camera is there when it answers the first question that a player asks; one whose link is down, whose power is off, or
that has hung itself does not. Of other sources nothing can be told.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from edgeagent.camera.spec import GStreamerSpec, RtspSpec, SourceSpec, V4l2Spec

LOOK_EVERY_S = 0.25
ANSWER_WITHIN_S = 2.0
ANSWER_BYTES = 512
_PORTS = {"rtsp": 554, "rtsps": 322}
_THERE = re.compile(rb"RTSP/1\.[01] (?!404|5)\d\d\d\b")  # whatever else it refuses, it is awake
_IN_PIPELINE = re.compile(r"""\b(?:location|device)\s*=\s*"?((?:rtsps?://|/dev/)[^\s"!]+)""")

Probe = Callable[[], Awaitable[bool | None]]


def probe_of(source: SourceSpec) -> Probe:
    """What tells whether this source is there: True, False, or None where nothing can tell."""
    if isinstance(source, RtspSpec):
        return lambda: _answers(source.url)
    if isinstance(source, V4l2Spec):
        return lambda: _exists(source.device)
    if isinstance(source, GStreamerSpec) and (found := _IN_PIPELINE.search(source.pipeline)):
        named = found[1]
        return (lambda: _exists(named)) if named.startswith("/dev/") else (lambda: _answers(named))
    return _nobody_knows


async def _nobody_knows() -> bool | None:
    return None


async def _exists(path: str) -> bool | None:
    try:
        return Path(path).exists()
    except OSError:  # a directory on the way that may not be looked into
        return None


async def _answers(url: str) -> bool | None:
    """A connection refused, a wrong answer and no answer in time are all the same: not there."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    if host is None:
        return None
    try:
        with anyio.fail_after(ANSWER_WITHIN_S):
            async with await anyio.connect_tcp(host, port) as stream:
                if parts.scheme == "rtsps":
                    return True  # a handshake is left to the player
                await stream.send(_question(url, host, port))
                return _THERE.match(await stream.receive(ANSWER_BYTES)) is not None
    except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
    except UnicodeError:  # a host that cannot be a name: the capture says so
        return None


def _question(url: str, host: str, port: int) -> bytes:
    """DESCRIBE (RFC 2326, 10.2), without the user's name and password: a refusal is an answer, too."""
    parts = urlsplit(url)
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    plain = parts._replace(netloc=netloc).geturl()
    return f"DESCRIBE {plain} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: edgeagent\r\nAccept: application/sdp\r\n\r\n".encode()


async def wait_for_source(
    probe: Probe,
    delay_s: float,
    longest_s: float,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    now_s: Callable[[], float] = anyio.current_time,
) -> None:
    """Wait `delay_s`; less when the source has gone and comes back; up to `longest_s` as long as it is gone.

    After `longest_s` it is worth a try in any case: the probe may be wrong.
    """
    started_s, gone = now_s(), False
    while True:
        there = await probe()
        if there and gone:
            return
        gone = there is False
        left_s = started_s + (longest_s if gone else delay_s) - now_s()
        if left_s <= 0:
            return
        await sleep(left_s if there is None else min(LOOK_EVERY_S, left_s))
