"""A child that plays the part its first message names: the good, the mute, the deaf and the mad. No tests in here."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Literal

from edgeagent.errors import OperatorError, SourceError
from edgeagent.supervise.lifeline import environment_for_child, tie_to_parent
from edgeagent.supervise.messages import MAX_LINE_BYTES, Fault, Message
from edgeagent.supervise.program import ControlChannel, run_child

EVER = 3600.0


class Play(Message):
    """First message: which part to play. `padding` makes the message as long as a test wants it."""

    kind: Literal["play"] = "play"
    part: str
    number: float = 0.0
    padding: str = ""


class Hello(Message):
    """What a part says once it is on stage."""

    kind: Literal["hello"] = "hello"
    pid: int
    other: int = 0
    heard: int = 0


def hello(channel: ControlChannel, play: Play, other: int = 0) -> None:
    channel.send(Hello(pid=os.getpid(), other=other, heard=len(play.padding)))


def good(channel: ControlChannel, play: Play) -> int:
    """Says hello and works until it is told to stop."""
    channel.beat(EVER)
    hello(channel, play)
    while channel.receive(None) is None and not channel.stopping:
        pass
    return 0


def echo(channel: ControlChannel, play: Play) -> int:
    """Says how long each later message was."""
    channel.beat(EVER)
    hello(channel, play)
    while (line := channel.receive(None)) is not None:
        if line.startswith(b'{"kind":"stop"'):
            return 0
        hello(channel, Play.model_validate_json(line))
    return 0


def stay(channel: ControlChannel, play: Play) -> int:
    """Has a fault `number` times, and waits for another message each time; then it is good."""
    for _ in range(int(play.number)):
        hello(channel, play)
        channel.send(Fault(code="dark", who="hardware", text="the stage is dark", stays=True))
        line = channel.receive(None)
        if line is None:
            return 0
        play = Play.model_validate_json(line)
    return good(channel, play)


def code(channel: ControlChannel, play: Play) -> int:
    return int(play.number)


def die(channel: ControlChannel, play: Play) -> int:
    hello(channel, play)
    os.kill(os.getpid(), int(play.number))
    return _wait_for_ever()


def mute(channel: ControlChannel, play: Play) -> int:
    """Promises a word within `number` seconds and breaks the promise."""
    hello(channel, play)
    channel.beat(play.number)
    return _wait_for_ever()


def steady(channel: ControlChannel, play: Play) -> int:
    """Keeps its promise of a word within `number` seconds, with time to spare."""
    while channel.receive(play.number / 4) is None:
        channel.beat(play.number)
        hello(channel, play)
    return 0


def promise(channel: ControlChannel, play: Play) -> int:
    """Announces an allowance that no child can have."""
    raw(channel, b'{"kind":"heartbeat","allow_s":%b}\n' % play.padding.encode())
    return good(channel, play)


def refuse(channel: ControlChannel, play: Play) -> int:
    raise OperatorError("this cannot be\nplayed", mend="ask for another part", code="no_such_part")


def fail(channel: ControlChannel, play: Play) -> int:
    raise SourceError("the stage is dark", mend="switch the light on", retry=True, code="dark")


def crash(channel: ControlChannel, play: Play) -> int:
    raise ZeroDivisionError("two\nlines " + "x" * 10_000)


def flood(channel: ControlChannel, play: Play) -> int:
    """Never stops talking and never listens."""
    data = Hello(pid=os.getpid()).line() * 500
    while True:
        raw(channel, data)


def flood_of_nothing(channel: ControlChannel, play: Play) -> int:
    """Never stops sending empty lines."""
    hello(channel, play)
    while True:
        raw(channel, b"\n" * 65536)


def endless_line(channel: ControlChannel, play: Play) -> int:
    hello(channel, play)
    raw(channel, b'{"kind":"hello","pid":' + b"1" * (MAX_LINE_BYTES + 1))
    return _wait_for_ever()


def nonsense(channel: ControlChannel, play: Play) -> int:
    hello(channel, play)
    raw(channel, play.padding.encode() + b"\n")
    return _wait_for_ever()


def half_line(channel: ControlChannel, play: Play) -> int:
    """Dies in the middle of a word."""
    hello(channel, play)
    raw(channel, b'{"kind":"hel')
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def deaf(channel: ControlChannel, play: Play) -> int:
    """Hears neither stop nor SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.beat(EVER)
    hello(channel, play)
    return _wait_for_ever()


def parting(channel: ControlChannel, play: Play) -> int:
    """Falls silent, and leaves a last word in the file `padding` when it is asked to go."""

    def go(signum: int, frame: object) -> None:
        with open(play.padding, "w") as file:  # noqa: PTH123
            file.write("farewell")
        os._exit(3)

    signal.signal(signal.SIGTERM, go)
    channel.beat(play.number)
    return _wait_for_ever()


def parent(channel: ControlChannel, play: Play) -> int:
    """Has a child of its own that is tied to nobody; dies by signal `number`, or works on at 0."""
    channel.beat(EVER)
    grandchild = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
    hello(channel, play, grandchild.pid)
    if play.number:
        os.kill(os.getpid(), int(play.number))
    while channel.receive(None) is None:
        pass
    os._exit(0)  # the grandchild is left behind, and nobody here waits for it


def tied_parent(channel: ControlChannel, play: Play) -> int:
    """Has a child of its own that is tied to it, as a build has in its proof run."""
    channel.beat(EVER)
    tied = "from edgeagent.supervise.lifeline import tie_to_parent as tie; tie(); import signal; print(flush=True)"
    command = [sys.executable, "-c", tied + "; signal.pause()"]
    grandchild = subprocess.Popen(command, env=environment_for_child(), stdout=subprocess.PIPE)
    assert grandchild.stdout is not None
    grandchild.stdout.readline()
    hello(channel, play, grandchild.pid)
    return _wait_for_ever()


def slow_end(channel: ControlChannel, play: Play) -> int:
    """Closes the channel, and ends with code `number` a while later, as a process does that lets go of a driver."""
    hello(channel, play)
    os.close(channel.fileno())
    select.select([], [], [], 1.5)
    os._exit(int(play.number))


def raw(channel: ControlChannel, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(channel.fileno(), view) :]


def _wait_for_ever() -> int:
    while True:
        signal.pause()


PARTS: dict[str, Callable[[ControlChannel, Play], int]] = {
    part.__name__: part
    for part in (
        good, echo, stay, code, die, mute, steady, promise, refuse, fail, crash, flood, flood_of_nothing,
        endless_line, nonsense, half_line, deaf, parting, parent, tied_parent, slow_end,
    )
}  # fmt: skip


def main(channel: ControlChannel) -> int:
    line = channel.receive(None)
    if line is None:
        return 0
    play = Play.model_validate_json(line)
    return PARTS[play.part](channel, play)


def never_reads() -> None:
    """A child that is alive and does nothing at all with its channel."""
    tie_to_parent()
    _wait_for_ever()


if __name__ == "__main__":
    if os.environ.get("ACTOR_NEVER_READS"):
        never_reads()
    run_child(main)
