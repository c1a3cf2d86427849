"""What the tests of commands share: someone who commands a real agent over a real broker, and hears its answers."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from agent_kit import DEVICE, EVERYTHING, FLEET, Family, Watcher, agent, plant, virtual_board, watching, write_config
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from test_link_kit import free_port, mosquitto

from edgeagent.fleet.answers import LAST_WORDS, Job
from edgeagent.fleet.inbound import command_topic
from edgeagent.fleet.link_types import LinkEvent, Message

ANSWERS_S = 60.0


class Onlooker(Watcher):
    """A watcher that passes over what is said to the device, and waits for a build on a busy machine."""

    patience_s = 180.0

    def take(self, event: LinkEvent) -> None:
        if not isinstance(event, Message) or not ("/cmd/" in event.topic or event.topic.endswith("/desired")):
            super().take(event)


class Commander:
    """A client of its own, MQTT 5: publishes commands, keeps every answer, by job and by other topic."""

    def __init__(self, port: int, watcher: Watcher) -> None:
        self._watcher = watcher
        self.heard: list[tuple[str, bytes, bytes | None]] = []
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, f"commander-{uuid.uuid4().hex[:8]}", protocol=paho.MQTTv5
        )
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, client: object, data: object, message: paho.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self.heard.append((message.topic, bytes(message.payload), correlation))

    def listen(self, topic: str) -> None:
        done: list[int] = []
        self._client.on_subscribe = lambda *_: done.append(1)
        self._client.subscribe(topic, 1)
        wait_for(lambda: bool(done))

    def send(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        job: str = "",
        device: str = DEVICE,
        group: str = "",
        retain: bool = False,
        raw: bytes | None = None,
        properties: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Publish a command with QoS 1, acknowledged by the broker; its id."""
        job = job or f"job-{uuid.uuid4().hex[:12]}"
        payload = raw if raw is not None else json.dumps({"id": job, "args": dict(args or {}), **fields}).encode()
        given = None
        if properties:
            given = Properties(PacketTypes.PUBLISH)
            for key, value in properties.items():
                setattr(given, key, value)
        topic = command_topic(FLEET, name, device="" if group or not device else device, group=group)
        self._client.publish(topic, payload, qos=1, retain=retain, properties=given).wait_for_publish(20)
        return job

    def wish(self, desired: Mapping[str, Any]) -> None:
        """Publish a desired config, retained."""
        topic = f"edgeagent/v1/{FLEET}/{DEVICE}/config/desired"
        self._client.publish(topic, json.dumps(desired).encode(), qos=1, retain=True).wait_for_publish(20)

    def clear(self, name: str, device: str = DEVICE) -> None:
        """Take a retained command off the broker."""
        self._client.publish(command_topic(FLEET, name, device=device), b"", qos=1, retain=True).wait_for_publish(20)

    def answer(self, job: str, *states: str) -> Job:
        """The first answer for that job in one of these states (any final one where none is named)."""
        wanted = states or LAST_WORDS
        found: Job = self._watcher.ever(Job, lambda message: message.id == job and message.state in wanted)
        return found

    def do(self, name: str, args: Mapping[str, Any] | None = None, **more: Any) -> Job:
        """Send it, and wait for its end."""
        return self.answer(self.send(name, args, **more))

    def states(self, job: str) -> list[str]:
        return [item[1].state for item in self._watcher.items if isinstance(item[1], Job) and item[1].id == job]


def wait_for(is_so: Callable[[], bool], most_s: float = ANSWERS_S) -> None:
    """Until it is so. Looks now and then: what is waited for lies in another process."""
    deadline = time.monotonic() + most_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.02)


@dataclass
class Scene:
    """A broker with a memory, a device, one who watches and one who commands. The agent is started by the test."""

    folder: Path
    port: int
    state: Path
    config: Path
    board: Path
    family: Family
    watcher: Watcher
    commander: Commander

    @contextmanager
    def agent(self) -> Iterator[Any]:
        with agent(self.config, self.family) as process:
            yield process

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()


@contextmanager
def scene(folder: Path, state: Path, **tables: Mapping[str, Any]) -> Iterator[Scene]:
    folder.mkdir(exist_ok=True)
    port, family, board = free_port(), Family(), virtual_board(folder)
    tables = {"cameras__belt": {"source": {"type": "synthetic", "fps": 8.0}}, **tables}  # builds are not slowed for it
    config = write_config(folder / "config.toml", port, state, board, **tables)
    with ExitStack() as stack:
        stack.enter_context(plant(board))
        stack.enter_context(mosquitto(folder, port))
        watcher = stack.enter_context(watching(port, EVERYTHING, Onlooker))
        commander = Commander(port, watcher)
        stack.callback(commander.close)
        yield Scene(folder, port, state, config, board, family, watcher, commander)
