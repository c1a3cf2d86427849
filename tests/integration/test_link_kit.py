"""What the link's tests share: real brokers as subprocesses, a listening ear, a scripted broker. No tests in here."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest

from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkEvent, LinkSettings, Will

WAIT_S = 20.0
SOON = Schedule(base_s=0.02, cap_s=0.1)
BRANCH = "edgeagent/v1/lab/bench/"
STATUS = BRANCH + "status"
EVENT = BRANCH + "e/test"
RESULT = BRANCH + "r/cam/pipe"

needs_mosquitto = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")

Event = TypeVar("Event", bound=LinkEvent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Ear:
    """Collects what it is told; `wait` returns the first item after the last one waited for that fits."""

    patience_s = WAIT_S

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.items: list[Any] = []
        self._next = 0

    def __call__(self, item: object) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait(self, fits: Callable[[Any], bool]) -> Any:
        def found() -> int:
            return next((i for i in range(self._next, len(self.items)) if fits(self.items[i])), -1) + 1

        with self._changed:
            position = self._changed.wait_for(found, self.patience_s)
            last = [str(item)[:160] for item in self.items[-25:]]
            assert position, f"not heard within {self.patience_s} s; heard: {last}"
            self._next = position
            return self.items[position - 1]

    def event(self, kind: type[Event]) -> Event:
        found: Event = self.wait(lambda item: isinstance(item, kind))
        return found


@contextmanager
def program(command: Sequence[str], heard: Ear, **kwargs: Any) -> Iterator[subprocess.Popen[str]]:
    """A subprocess whose output lines go to `heard`; ended and waited for at the end."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **kwargs
    ) as process:
        output = process.stdout
        assert output is not None
        reader = threading.Thread(target=lambda: [heard(line.rstrip("\n")) for line in output])
        reader.start()
        try:
            yield process
        finally:
            process.terminate()
            process.wait(WAIT_S)
            reader.join(WAIT_S)


@contextmanager
def mosquitto(folder: Path, port: int, *options: str) -> Iterator[Ear]:
    """A real broker, ready when this returns; its log lines are in the Ear."""
    anonymous = () if any("allow_anonymous" in option for option in options) else ("allow_anonymous true",)
    config = folder / "mosquitto.conf"
    config.write_text("\n".join((f"listener {port} 127.0.0.1", "log_dest stderr", *anonymous, *options, "")))
    heard = Ear()
    with program([shutil.which("mosquitto") or "mosquitto", "-c", str(config)], heard):
        heard.wait(lambda line: "running" in line)
        yield heard


AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
async def main():
    listener = {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    print("running", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@contextmanager
def amqtt(port: int) -> Iterator[Ear]:
    """A broker that speaks MQTT 3.1.1 only and hangs up on anything else."""
    heard = Ear()
    with program([sys.executable, "-c", AMQTT, str(port)], heard):
        heard.wait(lambda line: line == "running")
        yield heard


@contextmanager
def subscriber(port: int, topic: str = BRANCH + "#") -> Iterator[Ear]:
    """mosquitto_sub, subscribed when this returns; each line is "<topic> <qos> <retain> <payload>"."""
    heard = Ear()
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-q", "1", "-d"]
    with program(["stdbuf", "-oL", *command, "-F", "%t %q %r %p"], heard):
        heard.wait(lambda line: line.startswith("Subscribed"))
        yield heard


def settings(port: int, **changes: Any) -> LinkSettings:
    standard: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "client_id": "bench",
        "will": Will(STATUS, b"lost", delay_s=0),
        "lost": SOON,
        "connect_timeout_s": 2.0,
    }
    return LinkSettings(**{**standard, **changes})


@contextmanager
def running(wanted: LinkSettings, heard: Ear | None = None) -> Iterator[tuple[MqttLink, Ear]]:
    """A started link; at the end it is stopped, and must not have had a fault."""
    heard = heard or Ear()
    link = MqttLink(wanted, heard, rng=Random(1))
    link.start()
    try:
        yield link, heard
    finally:
        link.stop()
    assert link.stats().faults == 0
