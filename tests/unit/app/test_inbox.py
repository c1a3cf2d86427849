"""The inbox: who gets what, when it is acknowledged, and what happens when too much comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgeagent.app.inbox import MOST, MOST_BYTES, Inbox, Kind, Received
from edgeagent.fleet.inbound import Inbound
from edgeagent.fleet.link_types import AckHandle, Message
from edgeagent.fleet.topics import Topics

BRANCH = "edgeagent/v1/lab/one/"
COMMAND = Message(BRANCH + "cmd/doctor", b"{}", 1, False, AckHandle(1, 7), "answers/here", b"\x01", 60)


class Link:
    def __init__(self) -> None:
        self.acks: list[AckHandle] = []

    def ack(self, handle: AckHandle) -> None:
        self.acks.append(handle)


class Loop(asyncio.SelectorEventLoop):
    """Runs at once what is handed over, so that a test needs no waiting; `held` keeps it back."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Callable[[], object]] | None = None

    def call_soon_threadsafe(self, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        if self.held is None:
            return callback(*args)
        return self.held.append(lambda: callback(*args))


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def link() -> Link:
    return Link()


def listening(*kinds: Kind) -> tuple[Inbox, list[Received]]:
    inbox, got = Inbox(Topics("lab", "one"), ("doors",)), []
    for kind in kinds:
        inbox.on(kind, got.append)
    return inbox, got


@pytest.mark.parametrize(
    ("topic", "kind", "inbound"),
    [
        (BRANCH + "config/desired", "config_desired", Inbound("config_desired")),
        (BRANCH + "cmd/doctor", "command", Inbound("command", "device", "doctor")),
        ("edgeagent/v1/lab/_all/cmd/doctor", "command", Inbound("command", "all", "doctor")),
        ("edgeagent/v1/lab/_group/doors/cmd/doctor", "command", Inbound("command", "group", "doctor", "doors")),
        (BRANCH + "status", "status", None),
    ],
)
def test_each_topic_goes_to_its_callback(loop: Loop, link: Link, topic: str, kind: Kind, inbound: Inbound) -> None:
    inbox, got = listening("config_desired", "command", "status")
    inbox.deliver(replace(COMMAND, topic=topic), link, loop)
    assert (got[0].kind, got[0].inbound, got[0].topic) == (kind, inbound, topic)
    assert (got[0].response_topic, got[0].correlation, got[0].expiry_s) == ("answers/here", b"\x01", 60)
    assert topic in inbox.filters or kind == "command"


def test_it_is_acknowledged_when_the_callback_says_so_and_once(loop: Loop, link: Link) -> None:
    inbox, got = listening("command")
    inbox.deliver(COMMAND, link, loop)
    assert link.acks == []
    got[0].acknowledge()
    got[0].acknowledge()
    assert link.acks == [AckHandle(1, 7)]


def test_an_acknowledgement_goes_to_the_link_that_brought_the_message(loop: Loop, link: Link) -> None:
    inbox, got = listening("command")
    inbox.deliver(COMMAND, link, loop)
    other = Link()
    inbox.deliver(replace(COMMAND, ack=AckHandle(1, 8)), other, loop)
    got[0].acknowledge()
    got[1].acknowledge()
    assert (link.acks, other.acks) == ([AckHandle(1, 7)], [AckHandle(1, 8)])


@pytest.mark.parametrize(
    "topic",
    [
        "edgeagent/v1/lab/two/cmd/doctor",
        "edgeagent/v1/lab/_group/others/cmd/doctor",
        BRANCH + "cmd/",
        BRANCH + "cmd/UPPER",
        BRANCH + "config/reported",
        "$SYS/broker",
        "",
    ],
)
def test_what_is_not_for_this_device_reaches_nobody_and_does_not_come_again(loop: Loop, link: Link, topic: str) -> None:
    inbox, got = listening("config_desired", "command", "status")
    inbox.deliver(replace(COMMAND, topic=topic), link, loop)
    assert (got, link.acks) == ([], [AckHandle(1, 7)])


def test_what_nobody_listens_to_does_not_come_again(loop: Loop, link: Link) -> None:
    inbox, _ = listening()
    inbox.deliver(COMMAND, link, loop)
    assert link.acks == [AckHandle(1, 7)]


def test_beyond_what_may_wait_messages_are_left_to_the_broker(loop: Loop, link: Link) -> None:
    inbox, got = listening("command")
    for mid in range(MOST + 5):
        inbox.deliver(replace(COMMAND, ack=AckHandle(1, mid)), link, loop)
    assert (len(got), inbox.left_out, link.acks) == (MOST, 5, [])
    got[0].acknowledge()
    inbox.deliver(COMMAND, link, loop)
    assert len(got) == MOST + 1


def test_the_bytes_that_wait_are_bounded_too(loop: Loop, link: Link) -> None:
    inbox, got = listening("command")
    large = replace(COMMAND, payload=b"x" * (128 * 1024))
    for _ in range(MOST):
        inbox.deliver(large, link, loop)
    assert sum(len(each.payload) for each in got) <= MOST_BYTES
    assert inbox.left_out == MOST - len(got) > 0


def test_a_flood_without_qos_does_not_grow_while_the_loop_is_busy(loop: Loop, link: Link) -> None:
    inbox, got = listening("command")
    flood = replace(COMMAND, qos=0, ack=None)
    loop.held = []
    for _ in range(1000):
        inbox.deliver(flood, link, loop)
    assert len(loop.held) == MOST
    held, loop.held = loop.held, None
    for call in held:
        call()
    inbox.deliver(flood, link, loop)
    assert len(got) == MOST + 1, "what needs no acknowledgement waits only for the loop"


def test_other_groups_from_now_on(loop: Loop, link: Link) -> None:
    inbox, got = listening("command")
    inbox.listen_to(("gates",))
    assert "edgeagent/v1/lab/_group/gates/cmd/+" in inbox.filters
    inbox.deliver(replace(COMMAND, topic="edgeagent/v1/lab/_group/doors/cmd/x"), link, loop)
    inbox.deliver(replace(COMMAND, topic="edgeagent/v1/lab/_group/gates/cmd/x"), link, loop)
    assert [each.inbound.group for each in got if each.inbound] == ["gates"]
