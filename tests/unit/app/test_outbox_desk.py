"""What a person gets to know of the outbox: damage, a missing disk, a full budget, a broker that refuses."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeagent.app.outbox_desk import REFUSED_FOR_S, OutboxDesk
from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import Connected, LinkStats, Outcome, Published, ServerLimits
from edgeagent.fleet.messages import parse_message
from edgeagent.fleet.outbox import Outbox
from edgeagent.fleet.sender import Sender
from edgeagent.fleet.topics import Topics

sys.path.append(str(Path(__file__).parents[1] / "fleet"))
from outbox_kit import BRANCH, event, filled

TOPICS = Topics("lab", "one")


class Memory:
    """A broker that answers everything at once: with yes, or for the topics in `refusing` with no."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.refusing: set[str] = set()
        self.answer: Callable[[Published], None] = lambda published: None
        self.pending: list[Published] = []

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: float | None = None,
        tag: int | None = None,
    ) -> Outcome:
        if topic not in self.refusing:
            self.sent.append((topic.removeprefix(BRANCH), payload))
        if tag is not None:
            ok = topic not in self.refusing
            self.pending.append(Published(tag, topic, ok, "" if ok else "Not authorized"))
        return Outcome.ACCEPTED

    def stats(self) -> LinkStats:
        raise AssertionError("nobody asked for counters")

    def last(self, topic: str) -> dict[str, Any] | None:
        payloads = [payload for name, payload in self.sent if name == topic]
        if not payloads or not payloads[-1]:
            return None
        parse_message(BRANCH + topic, payloads[-1])
        said: dict[str, Any] = json.loads(payloads[-1])
        return said


class Device:
    def __init__(self, path: Path, max_bytes: int = 1 << 20) -> None:
        self.clock = ManualClock()
        self.broker = Memory()
        self.outbox = Outbox(path, "boot1", self.clock)
        self.sender = Sender(self.broker, self.outbox, self.clock, max_bytes)
        self.publisher = Publisher(self.sender, TOPICS, Stamp("boot1-1", self.clock.wall_ms), self.clock, results_qos=0)
        self.desk = OutboxDesk(self.outbox, self.sender, self.publisher, self.clock)

    def connect(self) -> None:
        self.sender.take(Connected(False, "5", ServerLimits()))
        self.answered()

    def answered(self) -> None:
        while self.broker.pending:
            self.sender.take(self.broker.pending.pop(0))

    def second(self) -> None:
        self.clock.advance(1.0)
        self.desk.second()
        self.answered()

    def health(self) -> str | None:
        return self.publisher.component("outbox")


Life = Callable[[Device], Awaitable[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def live() -> Iterator[Callable[[Device, Life], None]]:
    """Opens the device, does what is wanted of it, and closes it."""

    async def whole(device: Device, life: Life) -> None:
        await device.desk.open()
        await life(device)
        await device.desk.close()

    yield lambda device, life: asyncio.run(whole(device, life))


def test_a_sound_outbox_says_nothing_but_that_old_alarms_are_over(
    path: Path, live: Callable[[Device, Life], None]
) -> None:
    async def life(device: Device) -> None:
        device.connect()
        device.second()
        device.second()
        assert device.health() == "ok"
        alarms = [(topic, payload) for topic, payload in device.broker.sent if topic.startswith("a/")]
        assert sorted(alarms) == [("a/outbox-full", b""), ("a/outbox-memory-only", b""), ("a/outbox-refused", b"")]
        assert [topic for topic, _ in device.broker.sent if topic.startswith("e/")] == []
        assert device.desk.measure() == {"outbox_waiting": 0, "outbox_bytes": 0, "outbox_dropped": 0}

    live(Device(path), life)


def test_a_damaged_file_is_an_event(path: Path, live: Callable[[Device, Life], None]) -> None:
    filled(path, event(1, b"the payload of 1"))
    path.write_bytes(b"garbage" * 1000)

    async def life(device: Device) -> None:
        device.connect()
        said = device.broker.last("e/outbox-damaged")
        assert said is not None
        assert said["facts"]["file"].startswith("outbox.db.damaged-")
        assert "not a database" in said["text"]
        device.second()
        assert len([topic for topic, _ in device.broker.sent if topic == "e/outbox-damaged"]) == 1
        assert device.health() == "ok"

    live(Device(path), life)


def test_without_a_disk_there_is_an_alarm_as_long_as_it_lasts(
    tmp_path: Path, live: Callable[[Device, Life], None]
) -> None:
    folder = tmp_path / "state"

    async def life(device: Device) -> None:
        device.connect()
        said = device.broker.last("a/outbox-memory-only")
        assert said is not None
        assert "unable to open" in said["text"]
        assert device.health() == "degraded"
        assert await device.desk.flush() is False
        folder.mkdir()
        device.clock.advance(31.0)
        assert await device.desk.flush() is True
        device.second()
        assert device.broker.last("a/outbox-memory-only") is None
        assert device.health() == "ok"

    live(Device(folder / "outbox.db"), life)


def test_a_full_outbox_is_an_alarm_and_in_the_end_a_number(path: Path, live: Callable[[Device, Life], None]) -> None:
    async def life(device: Device) -> None:
        for _ in range(100):
            device.publisher.event("noise", "info", "x" * 300)
        device.second()
        assert device.health() == "degraded"
        dropped = device.desk.measure()["outbox_dropped"]
        assert dropped > 50
        device.connect()
        said = device.broker.last("a/outbox-full")
        assert said is not None
        assert said["severity"] == "error"
        device.second()
        assert device.broker.last("a/outbox-full") is None
        event = device.broker.last("e/outbox-full")
        assert event is not None
        assert 0 < event["facts"]["dropped"] <= device.desk.measure()["outbox_dropped"]
        assert device.health() == "ok"

    live(Device(path, max_bytes=20_000), life)


def test_what_the_broker_will_not_have_is_an_alarm_for_an_hour(
    path: Path, live: Callable[[Device, Life], None]
) -> None:
    async def life(device: Device) -> None:
        device.broker.refusing = {f"{BRANCH}e/secret", f"{BRANCH}e/other"}
        device.connect()
        device.publisher.event("secret", "info", "x")
        device.publisher.event("other", "info", "x")
        device.answered()
        device.second()
        said = device.broker.last("a/outbox-refused")
        assert said is not None
        assert "e/secret, and 1 other topics: Not authorized" in said["text"]
        assert device.health() == "degraded"
        assert device.desk.measure()["outbox_dropped"] == 2
        device.clock.advance(REFUSED_FOR_S)
        device.second()
        assert device.broker.last("a/outbox-refused") is None
        assert device.health() == "ok"

    live(Device(path), life)


def test_what_an_earlier_run_left_is_sent_with_the_first_connection(
    path: Path, live: Callable[[Device, Life], None]
) -> None:
    filled(path, event(1, b"left"))

    async def life(device: Device) -> None:
        assert device.desk.measure()["outbox_waiting"] == 4  # with three alarms that are cleared
        device.connect()
        assert ("e/test", b"left") in device.broker.sent
        assert device.desk.measure()["outbox_waiting"] == 0

    live(Device(path), life)
