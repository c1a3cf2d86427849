"""The child's end of the control channel, over a real socket pair."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from edgeagent.errors import SourceError
from edgeagent.supervise.messages import LineBuffer, Stop
from edgeagent.supervise.program import AgentGone, ControlChannel, fault_of

WAIT_S = 20.0


@pytest.fixture
def pair() -> Iterator[tuple[ControlChannel, socket.socket]]:
    ours, agent = socket.socketpair()
    with ours, agent:
        yield ControlChannel(ours), agent


def in_thread(work: object) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_nothing_said_is_none_at_once(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, _ = pair
    assert channel.receive(0.0) is None


def test_waiting_lasts_as_long_as_asked(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, _ = pair
    begun = time.monotonic()
    assert channel.receive(0.2) is None
    assert time.monotonic() - begun >= 0.2


def test_several_lines_in_one_piece_come_one_by_one(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, agent = pair
    agent.sendall(b"one\ntwo\nthree")
    assert [channel.receive(0.0) for _ in range(3)] == [b"one", b"two", None]
    agent.sendall(b"\n")
    assert channel.receive(0.0) == b"three"


def test_a_line_in_pieces_is_waited_for(pair: tuple[ControlChannel, socket.socket]) -> None:
    """Half a line is not "nothing": the first message of a child may well come in two pieces."""
    channel, agent = pair
    long = b"x" * 700_000
    sender = in_thread(lambda: agent.sendall(long + b"\n"))
    assert channel.receive(None) == long
    sender.join(WAIT_S)


def test_half_a_line_does_not_stretch_the_wait(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, agent = pair
    agent.sendall(b"half")
    begun = time.monotonic()
    assert channel.receive(0.1) is None
    assert time.monotonic() - begun >= 0.1


def test_the_end_of_the_agent_is_told(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, agent = pair
    agent.sendall(b"last\nhalf")
    agent.close()
    assert channel.receive(None) == b"last"
    with pytest.raises(AgentGone):
        channel.receive(None)


def test_an_agent_that_died_with_our_words_unread_is_gone_too(pair: tuple[ControlChannel, socket.socket]) -> None:
    """The kernel says "connection reset" then, not "end of file"."""
    channel, agent = pair
    channel.send(Stop())
    agent.close()
    with pytest.raises(AgentGone):
        channel.receive(None)
    with pytest.raises(AgentGone):
        channel.send(Stop())


def test_a_line_without_end_is_no_message(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, agent = pair
    sender = in_thread(lambda: agent.sendall(b"x" * (1 << 20) + b"x"))
    with pytest.raises(ValueError, match="longer"):
        channel.receive(None)
    agent.close()
    sender.join(WAIT_S)


def test_a_slow_agent_gets_every_line(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, agent = pair
    sender = in_thread(lambda: [channel.beat(1 + number % 7) for number in range(20_000)])
    buffer, lines = LineBuffer(), 0
    while lines < 20_000:
        lines += len(buffer.feed(agent.recv(100)))
    sender.join(WAIT_S)
    assert lines == 20_000


def test_a_child_asked_to_stop_waits_for_nothing(pair: tuple[ControlChannel, socket.socket]) -> None:
    channel, agent = pair
    channel.stopping = True
    assert channel.receive(None) is None
    agent.sendall(b"word\n")
    assert channel.receive(math.inf) == b"word"


def test_a_signal_ends_a_wait_without_end() -> None:
    """poll(2) is taken up again after a signal: the wait must look up by itself."""
    code = (
        "import socket\n"
        "from edgeagent.supervise.program import run_child\n"
        "def main(channel):\n"
        "    print('waiting', flush=True)\n"
        "    return 0 if channel.receive(None) is None else 1\n"
        "run_child(main)\n"
    )
    ours, theirs = socket.socketpair()
    environ = {**os.environ, "EDGEAGENT_CHANNEL_FD": str(theirs.fileno())}
    with (
        ours,
        theirs,
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environ, pass_fds=[theirs.fileno()]
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(WAIT_S) == -signal.SIGTERM


def test_the_channel_is_not_handed_on_to_grandchildren() -> None:
    code = (
        "import os\n"
        "from edgeagent.supervise.program import run_child\n"
        "run_child(lambda channel: 3 if os.get_inheritable(channel.fileno()) else 4)\n"
    )
    ours, theirs = socket.socketpair()
    environ = {**os.environ, "EDGEAGENT_CHANNEL_FD": str(theirs.fileno())}
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ, pass_fds=[theirs.fileno()], timeout=WAIT_S, check=False
        )
    assert done.returncode == 4


def test_an_error_s_fault_is_one_line_with_its_mend() -> None:
    fault = fault_of(SourceError("a\n b", mend="c\td", retry=True, code="x"))
    assert (fault.code, fault.who, fault.text, fault.mend, fault.retry) == ("x", "hardware", "a b", "c d", True)
