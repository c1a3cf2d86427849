"""What the tests of whole cameras share: the agent's side of a camera over its real capture, and real things to look
at that can be made to fail. No tests in here."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio

from edgeagent.app.cameras import Camera
from edgeagent.camera.rules import CameraRules
from edgeagent.camera.spec import SourceSpec
from edgeagent.clock import SystemClock
from edgeagent.fleet.results import FactValue
from edgeagent.fleet.states import Severity
from edgeagent.health.book import Word

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).parents[1] / "children" / "rtsp_server.py"
SIZE = (96, 96)
WAIT_S = 60.0


@dataclass
class Told:
    """A teller that remembers."""

    notes: list[tuple[str, Word, str]] = field(default_factory=list)
    events: list[tuple[str, dict[str, FactValue | None]]] = field(default_factory=list)
    changed: anyio.Event = field(default_factory=anyio.Event)

    def engine(self, pipeline: str, **values: object) -> None:
        raise AssertionError(pipeline)

    def note(self, name: str, health: Word, reason: str = "") -> None:
        self.notes.append((name, health, reason))
        self._tick()

    def event(self, kind: str, severity: Severity, text: str, **facts: FactValue | None) -> None:
        self.events.append((kind, facts))
        self._tick()

    def _tick(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    def codes(self, camera: str) -> list[FactValue | None]:
        return [
            facts.get("code") for kind, facts in self.events if kind == "camera-failed" and facts["camera"] == camera
        ]


class Watched:
    """A camera as the agent has it, and what it told. For one event loop."""

    def __init__(self, name: str, source: SourceSpec, rules: CameraRules, told: Told, seed: int = 1) -> None:
        self.told = told
        self.camera = Camera(name, source, [SIZE], told, SystemClock(), Random(seed), rules)
        self.ring = self.camera.rings[SIZE]

    @property
    def health(self) -> tuple[str, str]:
        verdict = self.camera.watch.verdict
        return verdict.health, verdict.code

    async def until(self, fits: Callable[[], bool], wait_s: float = WAIT_S) -> None:
        """Until what was told makes it so."""
        with anyio.fail_after(wait_s):
            while not fits():
                await self.told.changed.wait()

    async def is_in(self, health: str, *codes: str) -> None:
        await self.until(lambda: self.health[0] == health and (not codes or self.health[1] in codes))

    async def frames(self, count: int, wait_s: float = WAIT_S) -> None:
        """Until so many more frames have come into its ring."""
        wanted = self.ring.newest + count
        with anyio.fail_after(wait_s):
            while self.ring.newest < wanted:
                await anyio.wait_readable(self.ring.wake_fds[0])
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self.ring.wake_fds[0])


@contextlib.asynccontextmanager
async def running(*cameras: Watched) -> AsyncIterator[None]:
    """They run in here, each in a task of its own, as in the agent."""
    try:
        async with anyio.create_task_group() as tasks:
            for watched in cameras:
                tasks.start_soon(watched.camera.run)
            yield
            tasks.cancel_scope.cancel()
    finally:
        for watched in cameras:
            watched.camera.close()


class RtspServer:
    """A real RTSP server (tests/children/rtsp_server.py) that can be told to fail, and killed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def url(self, path: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{path}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SERVER), str(self.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._hears("ready\n")

    def tell(self, words: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        print(words, file=self._process.stdin, flush=True)
        self._hears("done\n")

    def _hears(self, wanted: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == wanted

    def hang(self) -> None:
        """Its kernel goes on taking connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextlib.contextmanager
def rtsp_server(port: int | None = None) -> Iterator[RtspServer]:
    server = RtspServer(port or free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def garbage(answer: bytes, port: int) -> Iterator[None]:
    """A server that answers whatever it is asked with this, for as long as anybody listens."""
    with socket.create_server(("127.0.0.1", port)) as server:
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    peer, _ = server.accept()
                    threading.Thread(target=rave, args=(peer,), daemon=True).start()

        def rave(peer: socket.socket) -> None:
            with peer, contextlib.suppress(OSError):
                peer.recv(4096)
                while not over.is_set():
                    peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
