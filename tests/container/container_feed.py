"""What is heard and said over MQTT inside a machine: a subscriber, and whoever sets and commands the device.

No tests in here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from container_machine import Machine

from edgeagent.fleet.answers import LAST_WORDS

WAIT_S = 120.0
BRANCH = "edgeagent/v1/lab/dev-1"
RESULT, STATUS = rf"{BRANCH}/r/", rf"{BRANCH}/status$"
Said = dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """One MQTT message, and when it came (monotonic)."""

    at_s: float
    topic: str
    payload: dict[str, Any]


class Feed:
    """What a subscriber inside the machine hears from now on."""

    def __init__(self, machine: Machine) -> None:
        command = machine.command("mosquitto_sub", "-h", "127.0.0.1", "-t", "edgeagent/#", "-F", "%t %p")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._come = threading.Condition()
        self.heard: list[Heard] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            topic, _, text = line.strip().partition(" ")
            payload = json.loads(text) if text.startswith("{") else {}
            with self._come:
                self.heard.append(Heard(time.monotonic(), topic, payload))
                self._come.notify_all()

    def wait(
        self, topic: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True, *, since_s: float = 0.0
    ) -> Heard:
        """The first message on a topic with that pattern that fits, and came after `since_s`; come or to come."""
        deadline, seen = time.monotonic() + WAIT_S, 0
        with self._come:
            while True:
                for message in self.heard[seen:]:
                    if message.at_s >= since_s and re.search(topic, message.topic) and fits(message.payload):
                        return message
                seen = len(self.heard)
                left = deadline - time.monotonic()
                last = [(h.topic, str(h.payload)) for h in self.heard if re.search(topic, h.topic)][-3:]
                assert left > 0 and self._come.wait(left), f"nothing fits on {topic}; last: {last}"

    def flows(self) -> None:
        """Results come, from now on."""
        self.wait(RESULT, since_s=time.monotonic())

    def longest_gap(self, topic: str, since_s: float) -> float:
        """The longest time without a message on these topics, from `since_s` until now."""
        with self._come:
            times = [heard.at_s for heard in self.heard if heard.at_s >= since_s and re.search(topic, heard.topic)]
        return max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))

    def close(self) -> None:
        """nsenter has forked to get into the machine's numbers of processes: its child holds the pipe."""
        pid = self._process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        self._process.wait()
        self._thread.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Operator:
    """Someone with a client in the machine who sets and commands the device, and hears what it answers."""

    def __init__(self, machine: Machine, feed: Feed) -> None:
        self._machine = machine
        self._feed = feed

    def wish(self, version: int, config: Mapping[str, Any], **more: Any) -> None:
        self._say("config/desired", {"version": version, "config": config, **more}, "--retain")

    def reported(self, version: int, *states: str, since_s: float = 0.0) -> Said:
        """What the device says of that wish, once it is in one of these states."""
        return self._feed.wait(
            r"/config/reported$",
            lambda said: said["version"] == version and said["state"] in states,
            since_s=since_s,
        ).payload

    def command(self, name: str, job: str, **args: Any) -> None:
        self._say(f"cmd/{name}", {"id": job, "args": args})

    def answer(self, job: str, *states: str, since_s: float = 0.0) -> Said:
        """What the device says of that command, once it is in one of these states; with none named, its last word."""
        wanted = states or LAST_WORDS
        return self._feed.wait(rf"/job/{job}$", lambda said: said["state"] in wanted, since_s=since_s).payload

    def do(self, name: str, job: str, **args: Any) -> Said:
        """A command and its last word."""
        self.command(name, job, **args)
        return self.answer(job)

    def _say(self, topic: str, message: Mapping[str, Any], *options: str) -> None:
        words = ("-h", "127.0.0.1", "-q", "1", *options, "-t", f"{BRANCH}/{topic}", "-m", json.dumps(message))
        self._machine.run("mosquitto_pub", *words)
