"""A device that says what it is told to: the real publisher, sender, outbox and link, commanded over stdin.

Commands, one a line: `e TYPE N` publishes an event with the fact n = N, `a KIND N` raises an alarm with the text N,
`c KIND N` clears it, `w MS` steps the wall clock, `q` stops in order. When what a batch of lines published is
committed, `kept N` is said for each: that is what "produced" means in the tests. `up` and `down` tell of the link.

It is a nursery: on the socket that is its standard input it gets a JSON list [port, state directory, number of the
start] with the two ends of pipes, forks a device that has them as its standard input and output, and answers with its
process id. A device is born in milliseconds that way, and dies as any process does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

from edgeagent.app.outbox_desk import OutboxDesk
from edgeagent.app.publisher import Publisher
from edgeagent.clock import SystemClock
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, LinkSettings, Lost, Will
from edgeagent.fleet.outbox import Outbox
from edgeagent.fleet.sender import Sender
from edgeagent.fleet.topics import Topics

BACKOFF_CAP_S = 0.5
KEEPALIVE_S = 1


class SteppedClock(SystemClock):
    """A wall clock that somebody sets; nothing else of it moves."""

    def __init__(self) -> None:
        self.step_ms = 0

    def wall_ms(self) -> int:
        return max(0, super().wall_ms() + self.step_ms)


class Producer:
    def __init__(self, port: int, folder: Path, start: int) -> None:
        self.clock = SteppedClock()
        self.topics = Topics("lab", "bench")
        settings = LinkSettings(
            "127.0.0.1",
            port,
            "producer",
            protocol="5",
            keepalive_s=KEEPALIVE_S,
            connect_timeout_s=1.0,
            connack_timeout_s=1.0,
            will=Will(self.topics.status, b"lost", delay_s=0),
            lost=Schedule(0.05, BACKOFF_CAP_S),
            refused=Schedule(0.05, BACKOFF_CAP_S),
        )
        self.link = MqttLink(settings, self.deliver, self.clock)
        outbox = Outbox(folder / "outbox.db", "boot1", self.clock)
        self.sender = Sender(self.link, outbox, self.clock, 32 << 20)
        self.publisher = Publisher(
            self.sender, self.topics, Stamp(f"boot1-{start}", self.clock.wall_ms), self.clock, results_qos=0
        )
        self.desk = OutboxDesk(outbox, self.sender, self.publisher, self.clock)
        self.loop = asyncio.get_running_loop()
        self.lines: asyncio.Queue[list[str]] = asyncio.Queue()
        self.rest = b""

    def deliver(self, event: LinkEvent) -> None:
        self.loop.call_soon_threadsafe(self.hear, event)

    def hear(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            say("up")
            self.publisher.again()
        elif isinstance(event, Lost) and event.was_connected:
            say("down")
        self.sender.take(event)

    def read(self) -> None:
        data = os.read(0, 65536)
        whole, _, self.rest = (self.rest + data).rpartition(b"\n")
        lines = whole.decode().split("\n") if whole else []
        self.lines.put_nowait([*lines, *([] if data else ["q"])])

    async def run(self) -> None:
        await self.desk.open()
        self.link.start()
        self.loop.add_reader(0, self.read)
        seconds = asyncio.create_task(self.seconds())
        say("started")
        going = True
        while going:
            going = await self.obey(await self.lines.get())
        seconds.cancel()
        await asyncio.to_thread(self.link.stop, self.publisher.last_words("stopped"))
        waiting = self.sender.waiting()
        await self.desk.close()
        stats = self.sender.stats()
        say("end " + json.dumps({"faults": stats.faults, "waiting": waiting.waiting, "lost": waiting.losses.total}))

    async def seconds(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.desk.second()

    async def obey(self, lines: list[str]) -> bool:
        """A batch is published at once, as a burst is, and then waited for."""
        numbers = [line.split()[2] for line in lines if self.do(line)]
        if numbers and await asyncio.wrap_future(self.sender.committed()):
            say("\n".join(f"kept {number}" for number in numbers))
        return "q" not in lines

    def do(self, line: str) -> bool:
        verb, *words = line.split()
        if verb == "e":
            self.publisher.event(words[0], "info", "something happened", n=int(words[1]))
        elif verb == "a":
            self.publisher.alarm(words[0], "warning", words[1])
        elif verb == "c":
            self.publisher.clear_alarm(words[0])
        elif verb == "w":
            self.clock.step_ms += int(words[0])
        return verb in ("e", "a", "c")


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def live(port: int, folder: str, start: int) -> None:
    await Producer(port, Path(folder), start).run()


def bear(arguments: list[int | str], pipes: list[int]) -> None:
    """The device's life, in the forked process."""
    for target, pipe in enumerate(pipes):
        os.dup2(pipe, target)
    os.closerange(3, 64)
    asyncio.run(live(int(arguments[0]), str(arguments[1]), int(arguments[2])))


def nursery(orders: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, pipes, _, _ = socket.recv_fds(orders, 4096, 2)
        if not order:
            return
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                bear(json.loads(order), pipes)
            finally:
                os._exit(0)
        for pipe in pipes:
            os.close(pipe)
        orders.sendall(f"{pid}\n".encode())


if __name__ == "__main__":
    nursery(socket.socket(fileno=os.dup(0)))
