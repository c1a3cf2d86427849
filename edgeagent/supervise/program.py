"""The child's side: a plain synchronous program that speaks with the agent over the socket it was given.

`run_child(main)` is the outermost function of every child: it ties the process to the agent, hands `main` the
channel, and turns whatever ends it into a fault message and an exit code.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType

from edgeagent.errors import EdgeAgentError
from edgeagent.supervise.lifeline import tie_to_parent
from edgeagent.supervise.messages import Fault, Heartbeat, LineBuffer, Message

CHANNEL_VARIABLE = "EDGEAGENT_CHANNEL_FD"
EXIT_WRONG_REQUEST = 2
LOOK_UP_S = 1.0  # a wait is cut into pieces this long: poll(2) goes on by itself after a signal
MAX_REASON = 500


class AgentGone(Exception):
    """The agent closed the channel: nothing is left to work for."""


class ControlChannel:
    """One end of the socket pair. `send` blocks when the agent is slow; `receive` waits at most `timeout_s`.

    `stopping` is set when somebody else than the agent wants the process to end (SIGTERM).
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = LineBuffer()
        self._lines: list[bytes] = []
        self.stopping = False

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message) -> None:
        self.send_line(message.line())

    def send_line(self, line: bytes) -> None:
        """Send a message that is a line already, its newline included."""
        try:
            self._sock.sendall(line)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise AgentGone from error

    def beat(self, allow_s: float) -> None:
        self.send(Heartbeat(allow_s=allow_s))

    def receive(self, timeout_s: float | None = 0.0) -> bytes | None:
        """The next line, or None when none came in time (None waits for ever) or the process is to stop.

        Raises AgentGone at the end of the stream. A line that arrives in pieces is waited for as a whole.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._lines:
            left_s = max(0.0, deadline - time.monotonic())
            if self._readable(0.0 if self.stopping else min(left_s, LOOK_UP_S)):
                self._lines.extend(self._buffer.feed(self._bytes()))
            elif self.stopping or left_s == 0.0:
                return None
        return self._lines.pop(0)

    def _bytes(self) -> bytes:
        try:
            data = self._sock.recv(65536)
        except ConnectionResetError as error:
            raise AgentGone from error
        if not data:
            raise AgentGone
        return data

    def _readable(self, timeout_s: float) -> bool:
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))


def run_child(main: Callable[[ControlChannel], int]) -> None:
    """Run `main` as a child of the agent and exit with its code.

    Exit code 0 is kept for what the agent asked for. After a SIGTERM from anybody else the process ends by that
    signal, so that the agent sees a death and starts it again.
    """
    tie_to_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the agent decides
    fd = os.environ.pop(CHANNEL_VARIABLE, None)
    if fd is None:
        sys.exit("this program is started by the agent (edgeagent run)")
    os.set_inheritable(int(fd), False)  # a grandchild that held it would hide our end from the agent
    channel = ControlChannel(socket.socket(fileno=int(fd)))
    signal.signal(signal.SIGTERM, _stop_on_signal(channel))
    code = _run_guarded(main, channel)
    if channel.stopping:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    sys.exit(code)


def _stop_on_signal(channel: ControlChannel) -> Callable[[int, FrameType | None], None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        channel.stopping = True

    return stop


def _run_guarded(main: Callable[[ControlChannel], int], channel: ControlChannel) -> int:
    try:
        return main(channel)
    except AgentGone:
        return 1
    except EdgeAgentError as error:
        _report(channel, fault_of(error))
        return 1 if error.retry else EXIT_WRONG_REQUEST
    except Exception as error:  # noqa: BLE001  the outermost function of a child
        _report(channel, Fault(code="crash", who="us", text=one_line(f"{type(error).__name__}: {error}")))
        traceback.print_exc()
        return 1


def one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_REASON]


def fault_of(error: EdgeAgentError, *, stays: bool = False) -> Fault:
    text, mend = one_line(error.message), one_line(error.mend)
    return Fault(code=error.error_code, who=error.who, text=text, mend=mend, retry=error.retry, stays=stays)


def _report(channel: ControlChannel, fault: Fault) -> None:
    try:
        channel.send(fault)
    except AgentGone:
        return
