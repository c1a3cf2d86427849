"""The queue in memory: order, newest state, bounds, expiry."""

from __future__ import annotations

from edgeagent.fleet.link_types import Outcome
from edgeagent.fleet.outqueue import Outgoing, OutQueue


def event(name: str, expires_ns: int | None = None) -> Outgoing:
    return Outgoing("e/x", name.encode(), 1, False, expires_ns)


def state(topic: str, name: str) -> Outgoing:
    return Outgoing(topic, name.encode(), 1, True)


def measurement(name: str) -> Outgoing:
    return Outgoing("m/x", name.encode(), 0, False)


def emptied(queue: OutQueue, room: int = 99, now_ns: int = 0) -> list[bytes]:
    out = []
    while (message := queue.take(now_ns, room=room)) is not None:
        out.append(message.payload)
    return out


def test_events_keep_their_order() -> None:
    queue = OutQueue(10)
    assert [queue.put(event(name), online=False) for name in "abc"] == [Outcome.QUEUED] * 3
    assert emptied(queue) == [b"a", b"b", b"c"]
    assert len(queue) == 0


def test_of_a_retained_topic_only_the_newest_waits() -> None:
    queue = OutQueue(10)
    for message in (state("status", "1"), event("a"), state("status", "2"), state("info", "3")):
        queue.put(message, online=False)
    assert sorted(emptied(queue)) == [b"2", b"3", b"a"]
    assert queue.counts.superseded == 1


def test_full_history_drops_the_oldest_event_and_keeps_the_state() -> None:
    queue = OutQueue(2)
    for message in (state("status", "s"), event("a"), event("b"), event("c"), state("info", "i")):
        assert queue.put(message, online=False) is Outcome.QUEUED
    assert emptied(queue) == [b"s", b"i", b"b", b"c"]
    assert queue.counts.dropped_full == 1


def test_state_is_bounded_too_but_known_topics_are_always_taken() -> None:
    queue = OutQueue(2)
    queue.put(state("a", "1"), online=False)
    queue.put(state("b", "2"), online=False)
    assert queue.put(state("c", "3"), online=False) is Outcome.DROPPED
    assert queue.put(state("a", "4"), online=False) is Outcome.QUEUED
    assert emptied(queue) == [b"4", b"2"]
    assert queue.counts.dropped_full == 1


def test_state_goes_before_history() -> None:
    queue = OutQueue(10)
    queue.put(event("a"), online=False)
    queue.put(state("status", "ready"), online=True)
    assert emptied(queue) == [b"ready", b"a"]


def test_qos_0_waits_for_a_socket_but_not_for_a_connection() -> None:
    queue = OutQueue(10, limit_qos0=2)
    assert queue.put(measurement("lost"), online=False) is Outcome.DROPPED
    assert [queue.put(measurement(name), online=True) for name in "abc"] == [Outcome.ACCEPTED] * 3
    assert (queue.counts.dropped_offline, queue.counts.dropped_full) == (1, 1)
    assert emptied(queue) == [b"b", b"c"]
    queue.put(measurement("d"), online=True)
    queue.drop_passing()
    assert emptied(queue) == []
    assert queue.counts.dropped_offline == 2


def test_without_room_in_the_window_only_qos_0_goes() -> None:
    queue = OutQueue(10)
    queue.put(event("a"), online=True)
    queue.put(measurement("m"), online=True)
    assert emptied(queue, room=0) == [b"m"]
    assert emptied(queue, room=1) == [b"a"]


def test_what_has_expired_is_not_sent() -> None:
    queue = OutQueue(10)
    queue.put(event("old", expires_ns=100), online=False)
    queue.put(event("new", expires_ns=101), online=False)
    assert emptied(queue, now_ns=100) == [b"new"]
    assert queue.counts.expired == 1


def test_the_remaining_life_is_rounded_up_to_seconds() -> None:
    assert event("a").remaining_s(5) is None
    assert event("a", expires_ns=2_000_000_001).remaining_s(0) == 3
    assert event("a", expires_ns=2_000_000_000).remaining_s(0) == 2
    assert event("a", expires_ns=2_000_000_000).remaining_s(2_000_000_000) == 0


def test_unacknowledged_messages_go_first_again_in_their_order() -> None:
    queue = OutQueue(10)
    queue.put(event("c"), online=False)
    queue.give_back([event("a"), event("b")])
    assert emptied(queue) == [b"a", b"b", b"c"]


def test_newer_state_wins_over_the_unacknowledged_one() -> None:
    queue = OutQueue(10)
    queue.put(state("status", "new"), online=False)
    queue.give_back([state("info", "1"), state("status", "old"), state("info", "2")])
    assert emptied(queue) == [b"2", b"new"]
    assert queue.counts.superseded == 2


def test_the_last_word_goes_first_even_when_full() -> None:
    queue = OutQueue(1)
    queue.put(event("a"), online=True)
    queue.put_first(state("status", "stopped"))
    assert emptied(queue) == [b"stopped", b"a"]
