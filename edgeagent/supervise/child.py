"""The agent's side of one child process: start it, read its lines, notice its end, end it.

A child is its own program (`python -m edgeagent...`), never a fork. It inherits one end of a socket pair and the
frame rings' descriptors; its end is noticed through a pidfd, its silence by the supervisor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from edgeagent.supervise.lifeline import environment_for_child
from edgeagent.supervise.messages import LineBuffer, Message
from edgeagent.supervise.program import CHANNEL_VARIABLE

KILL_WAIT_S = 3.0


@dataclass(frozen=True)
class ChildSpec:
    """What to start. `first` is sent as soon as the child runs; `pass_fds` keep their numbers in it."""

    name: str
    module: str
    first: Message
    pass_fds: Sequence[int] = ()
    own_group: bool = False
    nice: int = 0
    oom_score_adj: int | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Child:
    """A running child. One owner reads `lines()`; `close()` leaves no process and no descriptor behind."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self._process = subprocess.Popen(
                [sys.executable, "-m", spec.module],
                stdin=subprocess.DEVNULL,
                env={**environment_for_child(), **spec.environment, CHANNEL_VARIABLE: str(theirs.fileno())},
                pass_fds=[theirs.fileno(), *spec.pass_fds],
                start_new_session=spec.own_group,
            )
        self._sock = ours
        self._buffer = LineBuffer()
        self._pidfd = os.pidfd_open(self._process.pid)
        self._weigh()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def _weigh(self) -> None:
        """Make the child the kernel's first choice when memory or processors run short."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.spec.nice:
                os.setpriority(os.PRIO_PROCESS, self.pid, self.spec.nice)
        if self.spec.oom_score_adj is not None:
            with contextlib.suppress(OSError), open(f"/proc/{self.pid}/oom_score_adj", "w") as file:  # noqa: PTH123
                file.write(str(self.spec.oom_score_adj))

    async def send(self, message: Message) -> None:
        """Send a line; a child that has gone away is left to `lines()` to notice."""
        data = memoryview(message.line())
        try:
            while data:
                try:
                    data = data[self._sock.send(data) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._sock)
        except (BrokenPipeError, ConnectionResetError):
            return

    async def lines(self) -> list[bytes]:
        """The next lines the child said; an empty list when it closed its end."""
        while True:
            try:
                data = self._sock.recv(1 << 16)
            except BlockingIOError:
                await anyio.wait_readable(self._sock)
                continue
            except ConnectionResetError:
                return []
            if not data:
                return []
            lines = self._buffer.feed(data)
            if lines:
                return lines

    async def wait(self) -> int:
        """The exit code once the process has ended (negative: the signal that ended it)."""
        while (code := self._process.poll()) is None:
            await anyio.wait_readable(self._pidfd)
        return code

    def signal(self, sig: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.spec.own_group:
                os.killpg(self.pid, sig)
            elif self._process.poll() is None:
                self._process.send_signal(sig)

    async def end(self, message: Message, grace_s: float) -> int:
        """Ask, wait, then kill. SIGCONT first: a stopped child could not hear us."""
        self.signal(signal.SIGCONT)
        with anyio.move_on_after(grace_s, shield=True):
            await self.send(message)
            await self.wait()
        return await self.kill()

    async def kill(self) -> int:
        """End it now. A process stuck inside a driver cannot die yet: it is left to the kernel after a while."""
        if self._process.poll() is None or self.spec.own_group:
            self.signal(signal.SIGKILL)
        with anyio.move_on_after(KILL_WAIT_S, shield=True):
            return await self.wait()
        return -signal.SIGKILL

    def close(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=KILL_WAIT_S)
        self._sock.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
