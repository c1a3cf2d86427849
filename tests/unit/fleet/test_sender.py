"""The sender between a link that only remembers and a real file: what is kept, handed over, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from outbox_kit import BRANCH, event, filled, rows, state

from edgeagent.clock import ManualClock
from edgeagent.fleet.link_types import Connected, LinkStats, Lost, Outcome, Published, Refused, ServerLimits
from edgeagent.fleet.outbox import Outbox
from edgeagent.fleet.sender import WINDOW, Sender

WAIT_S = 20.0
ZEROS: dict[str, Any] = {
    each.name: 0 for each in fields(LinkStats) if each.name not in ("connected", "protocol", "heard_age_s")
}


class Memory:
    """A link that takes everything and remembers it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int | None, float | None]] = []
        self.outcome = Outcome.ACCEPTED
        self.counts = dict(ZEROS)

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
        self.sent.append((topic.removeprefix(BRANCH), payload, tag, expiry_s))
        return self.outcome

    def stats(self) -> LinkStats:
        return LinkStats(connected=True, protocol="5", heard_age_s=None, **self.counts)

    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _, _ in self.sent]


class Bench:
    def __init__(self, path: Path, max_bytes: int = 1 << 20) -> None:
        self.clock = ManualClock()
        self.link = Memory()
        self.outbox = Outbox(path, "boot1", self.clock)
        self.sender = Sender(self.link, self.outbox, self.clock, max_bytes)

    def open(self) -> None:
        self.sender.opened(self.outbox.open())

    def event(self, payload: bytes = b"{}", **changes: Any) -> Outcome:
        wanted: dict[str, Any] = {"qos": 1, "retain": False, "expiry_s": 86_400.0, **changes}
        return self.sender.publish(f"{BRANCH}e/test", payload, **wanted)

    def connect(self, **limits: int) -> None:
        self.sender.take(Connected(False, "5", ServerLimits(**limits)))

    def answer(self, tag: int | None, *, ok: bool = True) -> None:
        assert tag is not None
        self.sender.take(Published(tag, f"{BRANCH}e/test", ok, "" if ok else "Not authorized"))

    def answer_all(self) -> None:
        for _, _, tag, _ in self.link.sent:
            if tag is not None:
                self.answer(tag)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def bench(path: Path) -> Iterator[Bench]:
    one = Bench(path)
    one.open()
    yield one
    one.outbox.close()


def test_passing_messages_pass(bench: Bench) -> None:
    bench.sender.publish(f"{BRANCH}m/agent", b"1", qos=0, retain=False, expiry_s=10.0)
    bench.sender.publish(f"{BRANCH}status", b"2", qos=1, retain=True)
    assert bench.link.sent == [("m/agent", b"1", None, 10.0), ("status", b"2", None, None)]
    assert bench.sender.waiting().waiting == 0


def test_without_a_connection_events_wait_and_nothing_is_handed_over(bench: Bench, path: Path) -> None:
    assert bench.event() is Outcome.QUEUED
    assert bench.link.sent == []
    assert (bench.sender.waiting().waiting, bench.sender.stats().waiting) == (1, 1)
    bench.sender.committed().result(WAIT_S)
    bench.outbox.close()
    assert rows(path) == [1]


def test_with_one_they_are_handed_over_at_once_and_forgotten_when_answered(bench: Bench, path: Path) -> None:
    bench.connect()
    assert bench.event(b"one") is Outcome.ACCEPTED
    ((topic, payload, tag, expiry_s),) = bench.link.sent
    assert (topic, payload, expiry_s) == ("e/test", b"one", 86_400.0)
    assert bench.sender.waiting().waiting == 1
    bench.answer(tag)
    assert bench.sender.waiting().waiting == 0
    bench.outbox.close()
    assert rows(path) == []


def test_the_link_never_has_more_than_the_window(bench: Bench) -> None:
    for number in range(WINDOW * 3):
        bench.event(str(number).encode())
    bench.connect()
    assert len(bench.link.sent) == WINDOW
    for _ in range(4):
        bench.answer_all()
    assert bench.link.payloads() == [str(number).encode() for number in range(WINDOW * 3)]


def test_a_link_that_takes_nothing_is_tried_again_in_a_second(bench: Bench) -> None:
    bench.link.outcome = Outcome.DROPPED
    bench.connect()
    bench.event(b"one")
    bench.link.outcome = Outcome.ACCEPTED
    bench.sender.second()
    assert bench.link.payloads() == [b"one", b"one"]
    bench.sender.second()
    assert len(bench.link.sent) == 2


def test_the_link_keeps_what_it_was_handed_over_a_lost_connection(bench: Bench) -> None:
    bench.connect()
    bench.event(b"one")
    bench.sender.take(Lost("gone", 1.0, True))
    bench.event(b"two")
    assert bench.link.payloads() == [b"one"]
    bench.connect()
    assert bench.link.payloads() == [b"one", b"two"]


def test_a_refused_connection_is_none(bench: Bench) -> None:
    bench.connect()
    bench.sender.take(Refused("no", 0x87, 5.0))
    assert not bench.sender.online


def test_what_an_earlier_run_left_goes_before_what_is_new(path: Path) -> None:
    filled(path, event(7, b"old"), state(8, "a/hot", b"old alarm"), state(9, "a/cold", b"older"))
    bench = Bench(path)
    bench.event(b"before it was open")
    bench.sender.publish(f"{BRANCH}a/hot", b"new alarm", qos=1, retain=True)
    bench.open()
    bench.event(b"after")
    bench.connect()
    assert bench.link.payloads() == [b"older", b"new alarm", b"old", b"before it was open", b"after"]
    bench.outbox.close()


def test_of_an_alarm_only_the_newest_is_kept(bench: Bench, path: Path) -> None:
    for payload in (b"raised", b"worse", b""):
        bench.sender.publish(f"{BRANCH}a/hot", payload, qos=1, retain=True)
    bench.connect()
    assert bench.link.sent == [("a/hot", b"", 3, None)]
    bench.outbox.close()
    assert rows(path) == [3]


def test_what_the_broker_will_not_have_is_told_and_not_sent_again(bench: Bench, path: Path) -> None:
    bench.connect()
    bench.event()
    bench.answer(bench.link.sent[0][2], ok=False)
    (refusal,) = bench.sender.take_refusals()
    assert (refusal.topic, refusal.reason) == (f"{BRANCH}e/test", "Not authorized")
    assert bench.sender.take_refusals() == []
    assert bench.sender.waiting().losses.rejected == 1
    bench.outbox.close()
    assert rows(path) == []


def test_an_answer_for_nothing_is_ignored(bench: Bench) -> None:
    bench.answer(99)
    bench.answer(99, ok=False)
    assert bench.sender.waiting().losses.total == 0


def test_what_is_larger_than_this_broker_takes_is_given_up_when_it_says_so(bench: Bench) -> None:
    bench.event(b"e" * 5000)
    bench.event(b"small")
    bench.connect(max_packet_bytes=4096)
    assert bench.link.payloads() == [b"small"]
    assert bench.event(b"e" * 5000) is Outcome.TOO_LARGE
    assert bench.sender.waiting().losses.too_large == 2
    assert len(bench.sender.take_refusals()) == 2


def test_events_expire_wherever_they_are(bench: Bench, path: Path) -> None:
    bench.connect()
    bench.event(b"with the link", expiry_s=5.0)
    bench.sender.take(Lost("gone", 1.0, True))
    bench.event(b"here", expiry_s=5.0)
    bench.clock.advance(4.9)
    bench.sender.second()
    assert bench.sender.waiting().waiting == 2
    bench.clock.advance(0.1)
    bench.sender.second()
    assert (bench.sender.waiting().waiting, bench.sender.waiting().losses.expired) == (0, 2)
    bench.outbox.close()
    assert rows(path) == []


def test_a_step_of_the_wall_clock_expires_nothing(bench: Bench) -> None:
    bench.event()
    bench.clock.set_wall(0)
    bench.sender.second()
    bench.clock.set_wall(10**15)
    bench.sender.second()
    assert bench.sender.waiting().waiting == 1


def test_the_time_left_goes_along(bench: Bench) -> None:
    bench.event(expiry_s=100.0)
    bench.clock.advance(40.0)
    bench.connect()
    assert bench.link.sent[0][3] == pytest.approx(60.0)


def test_results_wait_in_memory_and_only_those_of_use_for_long_on_the_disk(bench: Bench, path: Path) -> None:
    topic = f"{BRANCH}r/door/people"
    bench.sender.publish(topic, b"short", qos=1, retain=False, expiry_s=10.0)
    bench.sender.publish(topic, b"long", qos=1, retain=False, expiry_s=600.0)
    bench.connect()
    assert bench.link.payloads() == [b"short", b"long"]
    bench.outbox.close()
    assert rows(path) == [2]


def test_a_new_link_gets_what_the_old_one_had_not_delivered(bench: Bench) -> None:
    old, new = bench.link, Memory()
    bench.connect()
    for payload in (b"one", b"two", b"three"):
        bench.event(payload)
    bench.answer(old.sent[1][2])
    old.counts |= {"published": 5, "rejected": 1}
    new.counts |= {"published": 2, "connects": 1}
    bench.sender.attach(new)
    assert not bench.sender.online
    bench.sender.take(Published(1, "", ok=True), old)
    bench.sender.take(Connected(False, "5", ServerLimits()), old)
    assert new.sent == []
    bench.sender.take(Connected(False, "5", ServerLimits()), new)
    assert new.payloads() == [b"one", b"three"]
    stats = bench.sender.stats()
    assert (stats.published, stats.rejected, stats.connects) == (7, 1, 1)
    bench.event(b"four")
    assert new.payloads()[-1] == b"four"


def test_a_full_outbox_drops_the_oldest_events_and_counts_them(path: Path) -> None:
    bench = Bench(path, max_bytes=10_000)
    bench.open()
    outcomes = [bench.event(b"x" * 800) for _ in range(20)]
    stats = bench.sender.waiting()
    assert stats.bytes <= 10_000
    assert (stats.waiting + stats.losses.full, stats.losses.full_events) == (20, stats.losses.full)
    assert set(outcomes) == {Outcome.QUEUED}
    assert bench.event(b"x" * 20_000) is Outcome.DROPPED
    bench.outbox.close()
    assert len(rows(path)) == stats.waiting


def test_what_can_be_read_late_goes_first(tmp_path: Path) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    filled(folder / "outbox.db", event(5, b"old"))
    folder.rename(away)
    bench = Bench(folder / "outbox.db")
    bench.open()
    bench.event(b"new")
    assert bench.sender.flush().result(WAIT_S) is False
    away.rename(folder)
    bench.clock.advance(31.0)
    assert bench.sender.flush().result(WAIT_S) is True
    bench.sender.second()
    bench.connect()
    assert bench.link.payloads() == [b"old", b"new"]
    bench.outbox.close()


def test_a_smaller_budget_drops_the_oldest_and_a_larger_one_holds_more(bench: Bench, path: Path) -> None:
    for number in range(10):
        bench.event(b"%d" % number * 800)
    bench.sender.resize(5000)
    assert bench.sender.waiting().bytes <= 5000
    assert bench.sender.waiting().losses.full_events == 10 - bench.sender.waiting().waiting
    bench.sender.resize(1 << 20)
    for number in range(10):
        bench.event(b"%d" % number * 800)
    kept = bench.sender.waiting().waiting
    assert kept > 10
    bench.outbox.close()
    assert len(rows(path)) == kept
