"""What the link tells becomes health, told once; and a status that is not ours is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgeagent.app.inbox import Received
from edgeagent.app.link_news import LinkNews
from edgeagent.app.presence import Presence
from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import (
    Connected,
    LinkStats,
    Lost,
    Outcome,
    Oversized,
    Refused,
    Rejected,
    ServerLimits,
    Subscribed,
)
from edgeagent.fleet.topics import Topics

BRANCH = "edgeagent/v1/lab/one/"
UP = Connected(False, "5", ServerLimits(), "mqtt://a:1883", preferred=True)


class Memory:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        self.sent.append((topic.removeprefix(BRANCH), json.loads(payload)))
        return Outcome.ACCEPTED

    def stats(self) -> LinkStats:
        raise AssertionError("nobody asked for counters")

    def component(self, name: str) -> tuple[str, str]:
        newest = [said for topic, said in self.sent if topic == "health"][-1]
        return next((c["health"], c["reason"]) for c in newest["components"] if c["name"] == name)

    def states(self) -> list[str]:
        return [said["state"] for topic, said in self.sent if topic == "status"]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def publisher(memory: Memory) -> Publisher:
    clock = ManualClock()
    return Publisher(memory, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, results_qos=0)


@pytest.fixture
def news(publisher: Publisher) -> LinkNews:
    return LinkNews(publisher)


def test_a_fallback_is_named_in_the_health(news: LinkNews, memory: Memory) -> None:
    news.take(Connected(False, "5", ServerLimits(), "mqtts://b:8883", preferred=False))
    assert memory.component("link") == ("ok", "on the fallback broker mqtts://b:8883")
    news.take(UP)
    assert memory.component("link") == ("ok", "")


def test_a_wrong_clock_is_told_in_plain_words(news: LinkNews, memory: Memory) -> None:
    reason = "this device's clock shows 1970-01-01 01:00 UTC"
    news.take(Lost(reason, 5.0, was_connected=False, kind="clock", broker="mqtts://a:8883"))
    assert memory.component("link") == ("failed", f"mqtts://a:8883: {reason}")


def test_a_refusal_is_told_with_its_broker(news: LinkNews, memory: Memory) -> None:
    news.take(Refused("Not authorized", 0x87, 60.0, "mqtt://a:1883"))
    assert memory.component("link") == ("failed", "mqtt://a:1883: the broker refused: Not authorized")


def test_a_lost_link_is_no_state_of_the_device(news: LinkNews, memory: Memory, publisher: Publisher) -> None:
    publisher.started()
    news.take(Lost("connection closed", 1.0, was_connected=True))
    publisher.note("camera/yard", "ok")
    news.take(UP)
    assert set(memory.states()) == {"ready"}


def test_the_way_back_to_the_preferred_broker_is_no_trouble(news: LinkNews, memory: Memory) -> None:
    news.take(UP)
    before = len(memory.sent)
    news.take(Lost("goes back", 0.0, was_connected=True, kind="moved"))
    assert len(memory.sent) == before


def test_what_the_broker_does_not_allow_is_told_once_each(news: LinkNews, memory: Memory) -> None:
    news.take(UP)
    for _ in range(2):
        news.take(Rejected(BRANCH + "e/x", "Not authorized"))
        news.take(Subscribed((), ((BRANCH + "cmd/+", "Not authorized"),)))
    health, reason = memory.component("broker-rights")
    assert health == "degraded"
    assert reason.count("e/x") == reason.count("cmd/+") == 1
    assert len([topic for topic, _ in memory.sent if topic == "health"]) == 4  # connected, everything again, once each


def test_what_was_not_allowed_is_seen_again_with_the_next_connection_or_is_allowed(
    news: LinkNews, memory: Memory
) -> None:
    news.take(Rejected(BRANCH + "e/x", "Not authorized"))
    news.take(UP)
    assert memory.component("broker-rights") == ("ok", "")


def test_a_subscription_that_is_granted_later_is_no_trouble_any_more(news: LinkNews, memory: Memory) -> None:
    news.take(Subscribed((), (("a", "Not authorized"),)))
    news.take(Subscribed(("a",)))
    assert memory.component("broker-rights") == ("ok", "")


def test_a_message_that_was_too_large_is_an_event(news: LinkNews, memory: Memory) -> None:
    news.take(Oversized(BRANCH + "cmd/x", 200_000))
    assert memory.sent[0][0] == "e/message-dropped"
    assert memory.sent[0][1]["facts"] == {"topic": BRANCH + "cmd/x", "bytes": 200_000}


def status(**changes: Any) -> bytes:
    said = {"schema": "edgeagent.status/1", "session": "boot-1", "seq": 1, "ts": 1, "state": "lost", "reason": ""}
    return json.dumps({**said, **changes}).encode()


@pytest.mark.parametrize(
    ("payload", "answered"),
    [
        (status(), True),
        (status(session="boot-0"), True),
        (b"", True),
        (status(state="ready"), False),
        (status(state="stopped", session="boot-0"), False),
        (b"rubbish", False),
        (b"[" * 10_000, False),
        (status(state=3), False),
    ],
)
def test_a_status_that_is_not_true_is_answered(payload: bytes, answered: bool) -> None:
    said, acked = [], []
    presence = Presence(lambda: said.append(1))
    presence.take(Received("status", BRANCH + "status", payload, True, None, lambda: acked.append(1)))
    assert (len(said), len(acked)) == (int(answered), 1)


def test_the_answer_is_the_newest_status(publisher: Publisher, memory: Memory) -> None:
    publisher.status_again()
    assert memory.sent == []
    publisher.started()
    publisher.status_again()
    assert memory.states() == ["ready", "ready"]
    assert [said["seq"] for _, said in memory.sent] == [1, 2]
