"""Random sequences of everything that goes wrong between a device and its broker: nothing that was produced is lost.

Produced means: the device said `kept N` after the event was committed (`tests/children/producer.py`). After each
sequence everything is healed, and then: every event produced has arrived at a subscriber with a session; the first
arrivals of a topic are in the order in which they were produced; what arrives twice is the same to the byte; of each
alarm the newest state produced has arrived; and the device stops in order with nothing left to send.

pytest runs a few sequences. For more: `python tests/integration/test_outbox_cuts.py --sequences 500`, which also tells
how long the link took to come back.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from test_link_kit import free_port, needs_mosquitto
from test_outbox_kit import Broker, Device, Nursery, Proxy, Subscriber

EVENTS = ("door", "belt", "heat")
ALARMS = ("hot", "dark")
FAULTS = (
    "nothing", "cut", "reset", "hole_up", "hole_down", "half_open", "half_open_noticed", "truncate", "delay", "refuse",
    "broker_restart", "broker_kill", "agent_kill", "agent_kill", "clock", "heal",
)  # fmt: skip
IN_CI = 30
AT_ONCE = 5
BACKOFF_CAP_S = 0.5
STUCK_S = 20.0


@dataclass
class World:
    """Everything of one sequence, and what was told to the device."""

    rng: Random
    proxy: Proxy
    broker: Broker
    back_end: Subscriber
    device: Device
    number: int = 0
    told: dict[int, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    read: int = 0
    payloads: dict[str, bytes] = field(default_factory=dict)
    arrived: dict[int, int] = field(default_factory=dict)
    order: dict[str, list[int]] = field(default_factory=dict)
    alarms: dict[str, bytes] = field(default_factory=dict)

    def burst(self) -> None:
        count = self.rng.choice((1, 1, 2, 5, 20, 120))
        lines = []
        for _ in range(count):
            if self.rng.random() < 0.9:
                lines.append(self.event())
            else:
                self.number += 1
                self.told[self.number] = f"{self.rng.choice('aac')} {self.rng.choice(ALARMS)} {self.number}"
                lines.append(self.told[self.number])
        self.device.tell(*lines)

    def a_while(self) -> None:
        """Until the back end has heard so many more, or a random while has passed."""
        wanted = len(self.back_end.heard) + self.rng.choice((1, 3, 1000))
        self.back_end.wait(lambda: len(self.back_end.heard) >= wanted, self.rng.uniform(0.0, 0.25))

    def fault(self, name: str) -> None:
        self.faults.append(name)
        rng, proxy = self.rng, self.proxy
        if name in ("cut", "reset"):
            proxy.cut(abort=name == "reset")
        elif name == "hole_up":
            proxy.swallow(up=rng.randrange(400), down=None, cut=False)
        elif name == "hole_down":
            proxy.swallow(up=None, down=rng.randrange(30), cut=rng.random() < 0.5)
        elif name == "half_open":
            proxy.swallow(up=0, down=0, cut=False)
        elif name == "half_open_noticed":
            self.wait_noticed()
        elif name == "truncate":
            proxy.swallow(up=rng.randrange(1000), down=None, cut=True)
        elif name == "delay":
            proxy.delay(rng.uniform(0.01, 0.2))
        elif name == "refuse":
            proxy.refuse()
        elif name == "heal":
            proxy.heal()
        elif name == "clock":
            self.device.tell(f"w {rng.choice((-1, 1)) * rng.randrange(10**10)}")
        elif name == "agent_kill":
            self.device.kill()
            self.device.start()
        elif name in ("broker_restart", "broker_kill"):
            self.restart_broker(signal.SIGTERM if name == "broker_restart" else signal.SIGKILL)

    def wait_noticed(self) -> None:
        """A connection that has died without a word is found out by its silence."""
        before = len(self.device.links)
        connected = before and self.device.links[-1][0] == "up"
        self.proxy.swallow(up=0, down=0, cut=False)
        self.device.tell(self.event())
        if connected:
            self.device.said.wait(lambda line: line == "down" and len(self.device.links) > before)
        self.proxy.heal()

    def event(self) -> str:
        self.number += 1
        self.told[self.number] = f"e {self.rng.choice(EVENTS)} {self.number}"
        return self.told[self.number]

    def restart_broker(self, how: signal.Signals) -> None:
        """The back end is there before the device: what a killed broker has acknowledged is not ours to keep."""
        self.proxy.refuse()
        self.broker.stop(how)
        self.back_end.disconnect()
        self.a_while()
        self.broker.start()
        self.back_end.connect()
        if self.rng.random() < 0.7:
            self.proxy.heal()

    def look(self) -> None:
        """Reads what has arrived since the last look; what came twice has to be the same."""
        while self.read < len(self.back_end.heard):
            topic, payload = self.back_end.heard[self.read]
            self.read += 1
            branch, _, kind = topic.partition("/")
            if branch == "e" and kind in EVENTS:
                message = json.loads(payload)
                number = int(message["facts"]["n"])
                assert self.told[number] == f"e {kind} {number}"
                assert self.payloads.setdefault(message["id"], payload) == payload, "an id came with two payloads"
                if number not in self.arrived:
                    self.order.setdefault(kind, []).append(number)
                self.arrived[number] = self.arrived.get(number, 0) + 1
            elif branch == "a" and kind in ALARMS:
                self.alarms[kind] = payload

    def missing(self) -> list[int]:
        """Events produced that have not arrived, and the newest states of alarms."""
        self.look()
        kept = sorted(set(self.device.kept))
        events = [number for number in kept if self.told[number].startswith("e ") and number not in self.arrived]
        return events + [number for kind in ALARMS if (number := self._stale(kind, kept)) is not None]

    def _stale(self, kind: str, kept: list[int]) -> int | None:
        """The newest state produced of that alarm, if neither it nor a later one is the last that arrived."""
        told = [number for number, line in self.told.items() if line[0] in "ac" and line.split()[1] == kind]
        newest = max(set(told).intersection(kept), default=None)
        if newest is None or self._fits(newest, [number for number in told if number >= newest], self.alarms.get(kind)):
            return None
        return newest

    def _fits(self, newest: int, possible: list[int], last: bytes | None) -> bool:
        if last is None:
            return self.told[newest].startswith("c")  # clearing what is clear may say nothing
        if last == b"":
            return any(self.told[number].startswith("c") for number in possible)
        return int(json.loads(last)["text"]) in possible

    def check(self) -> None:
        assert len(self.payloads) == len(self.arrived), "a number came under two ids"
        for kind, numbers in self.order.items():
            assert numbers == sorted(numbers), f"e/{kind} came out of order: {numbers}"


@dataclass(frozen=True)
class Report:
    """How one sequence went."""

    faults: tuple[str, ...]
    produced: int
    arrivals: int
    recovery_s: float
    drained_s: float


@contextmanager
def world(seed: int, folder: Path, nursery: Nursery) -> Iterator[World]:
    port = free_port()
    broker, proxy = Broker(folder, port), Proxy(port)
    back_end, device = Subscriber(port), Device(nursery, proxy.port, folder)
    try:
        broker.start()
        back_end.connect()
        device.start()
        yield World(Random(seed), proxy, broker, back_end, device)
    finally:
        device.close()
        back_end.disconnect()
        proxy.close()
        broker.stop(signal.SIGKILL)


def sequence(seed: int, folder: Path, nursery: Nursery) -> Report:
    with world(seed, folder, nursery) as one:
        for _ in range(one.rng.randrange(4, 9)):
            one.burst()
            one.a_while()
            one.fault(one.rng.choice(FAULTS))
            one.a_while()
        one.burst()
        one.proxy.heal()
        return healed(one)


def healed(one: World) -> Report:
    """Everything works again: everything has to arrive now."""
    began = time.monotonic()
    last = one.event()
    one.device.tell(last)
    one.device.said.wait(lambda line: line == f"kept {last.split()[2]}")
    one.back_end.wait(lambda: not one.missing(), STUCK_S)
    drained_s = time.monotonic() - began
    assert not (missing := one.missing()), f"lost or stuck: {[one.told[number] for number in missing]}"
    one.check()
    words = one.device.stop()
    assert words == {"faults": 0, "waiting": 0, "lost": 0}
    back = [at for what, at in one.device.links if what == "up" and at > began]
    return Report(
        tuple(one.faults),
        sum(one.told[number].startswith("e ") for number in one.device.kept),
        sum(one.arrived.values()),
        back[-1] - began if back else 0.0,
        drained_s,
    )


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    one = Nursery(tmp_path_factory.mktemp("nursery") / "log")
    yield one
    one.close()


@needs_mosquitto
@pytest.mark.parametrize("first", range(0, IN_CI, AT_ONCE))
def test_nothing_that_was_produced_is_lost(first: int, tmp_path: Path, nursery: Nursery) -> None:
    for seed in range(first, first + AT_ONCE):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            sequence(seed, folder, nursery)
        except AssertionError as error:
            raise AssertionError(f"sequence {seed}: {error}") from error


def attempt(seed: int, nursery: Nursery, reports: list[Report], failed: list[int]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="outbox-cuts-"))
    try:
        reports.append(sequence(seed, folder, nursery))
        shutil.rmtree(folder)
    except AssertionError:
        failed.append(seed)
        print(f"sequence {seed} failed, its files are in {folder}")
        traceback.print_exc()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=IN_CI)
    parser.add_argument("--first", type=int, default=0)
    wanted = parser.parse_args()
    reports: list[Report] = []
    failed: list[int] = []
    nursery = Nursery(Path(tempfile.gettempdir()) / "outbox-cuts.log")
    for seed in range(wanted.first, wanted.first + wanted.sequences):
        attempt(seed, nursery, reports, failed)
        if len(reports) % 50 == 0:
            print(f"{len(reports)} done, failed: {failed}", flush=True)
    nursery.close()
    print(summary(reports, failed))
    return 1 if failed else 0


def summary(reports: list[Report], failed: list[int]) -> str:
    faults = Counter(fault for report in reports for fault in report.faults)
    produced = sum(report.produced for report in reports)
    arrivals = sum(report.arrivals for report in reports)
    recoveries = sorted(report.recovery_s for report in reports if report.recovery_s)
    slow = sum(each > 3.0 + BACKOFF_CAP_S for each in recoveries)
    return "\n".join(
        (
            f"{len(reports)} sequences passed, failed: {failed or 'none'}",
            f"events produced {produced}, arrivals {arrivals} "
            f"({arrivals - produced} repeated, or never said to be kept)",
            "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())),
            f"link back after healing, {len(recoveries)} times: median {_share(recoveries, 0.5):.2f} s, "
            f"95 % {_share(recoveries, 0.95):.2f} s, longest {_share(recoveries, 1.0):.2f} s, "
            f"above 3 s and the backoff of {BACKOFF_CAP_S} s: {slow}",
            f"everything delivered after healing: longest {max(report.drained_s for report in reports):.2f} s",
        )
    )


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


if __name__ == "__main__":
    sys.exit(main())
