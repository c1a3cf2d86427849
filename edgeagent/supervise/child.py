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

from edgeagent.errors import ChildError
from edgeagent.supervise.guardian import Guardian
from edgeagent.supervise.lifeline import environment_for_child
from edgeagent.supervise.messages import LineBuffer, Message
from edgeagent.supervise.program import CHANNEL_VARIABLE

KILL_WAIT_S = 3.0


@dataclass(frozen=True)
class ChildSpec:
    """What to start. `first` is sent as soon as the child runs; `pass_fds` keep their numbers in it.

    `term_s`: how long it may take after SIGTERM before it is killed, for one that holds what a kill would leave behind.
    """

    name: str
    module: str
    first: Message
    pass_fds: Sequence[int] = ()
    own_group: bool = False
    nice: int = 0
    oom_score_adj: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    term_s: float = 0.0


class Child:
    """A running child. One owner hears it (`hearing.py`); `close()` leaves no process and no descriptor behind.

    One with a group of its own may be stopped: a guardian ends the group with us, whoever in it has not tied itself.

    Raises OSError when it cannot be started: out of memory, processes or descriptors.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self._sock, theirs = socket.socketpair()
        with theirs:
            self._sock.setblocking(False)
            try:
                self._process = _start(spec, theirs.fileno())
            except BaseException:
                self._sock.close()
                raise
        self._pidfd = -1
        self._buffer = LineBuffer()
        self._outgoing = bytearray()
        self._flushing = False
        self._closed = False
        self._given_up = False
        self._guardian: Guardian | None = None
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
            if spec.own_group:
                self._guardian = Guardian(self.pid)
        except OSError:
            self.close()
            raise
        self._weigh()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._reaped() is not None

    def _weigh(self) -> None:
        """Make the child the kernel's first choice when memory or processors run short."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.spec.nice:
                os.setpriority(os.PRIO_PROCESS, self.pid, self.spec.nice)
        if self.spec.oom_score_adj is not None:
            with contextlib.suppress(OSError), open(f"/proc/{self.pid}/oom_score_adj", "w") as file:  # noqa: PTH123
                file.write(str(self.spec.oom_score_adj))

    async def send(self, message: Message) -> None:
        """Send a line; a child that has gone away is left to the listener to notice.

        Two senders never mix their lines, and a cancelled one never leaves half a line: what was not sent is sent
        before the next message. While one task sends, another only adds to what it sends.
        """
        self._outgoing += message.line()
        if self._flushing or self._closed:
            return
        self._flushing = True
        try:
            await self._flush()
        finally:
            self._flushing = False
            self._let_go_of_socket()

    def _let_go_of_socket(self) -> None:
        """Close it once nobody sends: a descriptor closed under a waiting sender would leave it waiting for ever."""
        if self._closed and self._flushing:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # wakes the sender, which comes back here
        elif self._closed:
            self._sock.close()

    async def _flush(self) -> None:
        while self._outgoing and not self._closed:
            try:
                sent = self._sock.send(self._outgoing)
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
            except (BrokenPipeError, ConnectionResetError):
                self._outgoing.clear()
            else:
                del self._outgoing[:sent]

    def fileno(self) -> int:
        """The channel, to wait on until `read_lines` has something to read."""
        return self._sock.fileno()

    def read_lines(self) -> list[bytes] | None:
        """The whole lines of what has come, maybe none; None when the child closed its end.

        Never blocks. Raises ChildError when a line has no end.
        """
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        return self._feed(data) if data else None

    def _feed(self, data: bytes) -> list[bytes]:
        try:
            return self._buffer.feed(data)
        except ValueError as error:
            raise ChildError(f"{self.spec.name}: {error}", retry=True) from error

    async def wait(self) -> int:
        """The exit code once the process has ended (negative: the signal that ended it)."""
        while (code := self._reaped()) is None:
            await anyio.wait_readable(self._pidfd)
        return code

    def _reaped(self) -> int | None:
        """The exit code, None while it runs. What is left of its own group ends with it: before the process is
        reaped, because afterwards its number may belong to somebody else."""
        if self.spec.own_group and self._process.returncode is None and _has_ended(self.pid):
            self.signal(signal.SIGKILL)
            self._dismiss_guardian()
        return self._process.poll()

    def _dismiss_guardian(self) -> None:
        """Before the child is reaped, for the same reason."""
        if self._guardian is not None:
            self._guardian.close()
            self._guardian = None

    def signal(self, sig: signal.Signals) -> None:
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self.spec.own_group:
                os.killpg(self.pid, sig)
            else:
                os.kill(self.pid, sig)  # not yet reaped, so the number is still its own

    async def end(self, message: Message, grace_s: float) -> int:
        """Ask, wait, then kill. SIGCONT first: a stopped child could not hear us."""
        self.signal(signal.SIGCONT)
        with anyio.move_on_after(grace_s, shield=True):
            await self.send(message)
            await self.wait()
        return await self.kill()

    async def kill(self) -> int:
        """End it now. A process stuck inside a driver cannot die yet: it is left to the kernel after a while."""
        if self.spec.term_s:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
            with anyio.move_on_after(self.spec.term_s, shield=True):
                return await self.wait()
        self.signal(signal.SIGKILL)
        with anyio.move_on_after(KILL_WAIT_S, shield=True):
            return await self.wait()
        self._given_up = True
        return -signal.SIGKILL

    def close(self) -> None:
        """Let go of it, killing it first if it still runs. May block for a moment then; `kill()` does not."""
        self._closed = True
        if self._reaped() is None and not self._given_up:
            self.signal(signal.SIGKILL)
            self._dismiss_guardian()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=KILL_WAIT_S)
        self._let_go_of_socket()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _start(spec: ChildSpec, channel_fd: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", spec.module],
        stdin=subprocess.DEVNULL,
        env={**environment_for_child(), **spec.environment, CHANNEL_VARIABLE: str(channel_fd)},
        pass_fds=[channel_fd, *spec.pass_fds],
        start_new_session=spec.own_group,
    )


def _has_ended(pid: int) -> bool:
    """Whether our child has ended, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
