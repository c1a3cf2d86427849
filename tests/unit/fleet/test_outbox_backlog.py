"""What waits, in which order it goes, and what has to go when there is no room."""

from __future__ import annotations

import pytest

from edgeagent.fleet.outbox_backlog import Backlog
from edgeagent.fleet.outbox_policy import OVERHEAD_BYTES, Budget, Entry, Kind, kind_of, on_disk, outdated

BRANCH = "edgeagent/v1/lab/one/"
NS = 1_000_000_000


def entry(
    number: int, kind: Kind = Kind.EVENT, topic: str = "e/x", size: int = 0, life_s: float | None = None
) -> Entry:
    return Entry(number, kind, BRANCH + topic, b"x" * size, kind is Kind.STATE, 0, 0, life_s)


def numbers(backlog: Backlog) -> list[int]:
    """In the order in which they are handed out, all of them."""
    found = []
    while (item := backlog.next()) is not None:
        backlog.hand_out(item)
        found.append(item.number)
    return found


@pytest.mark.parametrize(
    ("topic", "qos", "retain", "kind"),
    [
        ("e/camera-failed", 1, False, Kind.EVENT),
        ("a/hot", 1, True, Kind.STATE),
        ("job/4711", 1, True, Kind.STATE),
        ("config/reported", 1, True, Kind.STATE),
        ("r/door/people", 1, False, Kind.RESULT),
        ("r/door/people", 0, False, None),
        ("m/agent", 0, False, None),
        ("e/camera-failed", 0, False, None),
        ("status", 1, True, None),
        ("config", 1, True, None),
        ("engine/people", 1, True, None),
        ("snap/door/people", 1, False, None),
    ],
)
def test_a_topic_tells_what_must_arrive(topic: str, qos: int, retain: bool, kind: Kind | None) -> None:
    assert kind_of(BRANCH + topic, qos, retain=retain) is kind


def test_a_topic_of_nobody_passes() -> None:
    assert kind_of("e", 1, retain=False) is None


def test_only_results_of_use_for_long_are_worth_the_flash() -> None:
    assert on_disk(entry(1, Kind.EVENT, life_s=1.0))
    assert on_disk(entry(1, Kind.STATE))
    assert on_disk(entry(1, Kind.RESULT, life_s=60.1))
    assert not on_disk(entry(1, Kind.RESULT, life_s=60.0))
    assert not on_disk(entry(1, Kind.RESULT))


def test_only_results_are_over_by_the_wall_clock() -> None:
    assert outdated(entry(1, Kind.RESULT, life_s=100.0), 100_001)
    assert not outdated(entry(1, Kind.RESULT, life_s=100.0), 99_000)
    assert not outdated(entry(1, Kind.RESULT, life_s=100.0), -1)
    assert not outdated(entry(1, Kind.EVENT, life_s=100.0), 10**12)


def test_states_go_first_and_each_kind_by_age() -> None:
    backlog = Backlog(Budget(10_000))
    for item in (entry(1, Kind.RESULT), entry(2), entry(3), entry(4, Kind.STATE, "a/hot"), entry(5)):
        assert backlog.put(item).taken
    assert numbers(backlog) == [4, 2, 3, 5, 1]
    assert backlog.out == len(backlog) == 5


def test_of_a_state_only_the_newest_waits_even_if_the_older_is_with_the_link() -> None:
    backlog = Backlog(Budget(10_000))
    backlog.put(entry(1, Kind.STATE, "a/hot"))
    assert numbers(backlog) == [1]
    admission = backlog.put(entry(2, Kind.STATE, "a/hot", size=3))
    assert [item.number for item in admission.gone] == [1]
    assert backlog.out == 0
    assert backlog.remove(1) is None
    assert numbers(backlog) == [2]
    assert backlog.losses.total == 0


def test_a_removed_state_leaves_its_topic_free() -> None:
    backlog = Backlog(Budget(10_000))
    backlog.put(entry(1, Kind.STATE, "a/hot"))
    assert backlog.remove(1) == entry(1, Kind.STATE, "a/hot")
    assert backlog.put(entry(2, Kind.STATE, "a/hot")).gone == ()
    assert backlog.bytes == entry(2, Kind.STATE, "a/hot").size


def size_for(total: int, topic: str = "e/x") -> int:
    return total - OVERHEAD_BYTES - len(BRANCH + topic)


def test_results_go_before_events_and_the_oldest_before_newer_ones() -> None:
    backlog = Backlog(Budget(4000))
    for number in range(1, 3):
        backlog.put(entry(number, Kind.RESULT, size=size_for(1000)))
    for number in range(3, 5):
        backlog.put(entry(number, size=size_for(1000)))
    assert [item.number for item in backlog.put(entry(5, size=size_for(1000))).gone] == [1]
    assert [item.number for item in backlog.put(entry(6, size=size_for(1000))).gone] == [2]
    assert backlog.losses.full_events == 0
    assert [item.number for item in backlog.put(entry(7, size=size_for(1000))).gone] == [3]
    assert (backlog.losses.full, backlog.losses.full_events) == (3, 1)


def test_a_result_never_displaces_an_event() -> None:
    backlog = Backlog(Budget(4000))
    for number in range(1, 5):
        backlog.put(entry(number, size=size_for(1000)))
    refused = backlog.put(entry(5, Kind.RESULT, size=size_for(1000)))
    assert (refused.taken, refused.gone) == (False, ())
    assert (backlog.losses.full, backlog.losses.full_events) == (1, 0)


def test_results_and_states_have_their_shares() -> None:
    backlog = Backlog(Budget(4000))
    for number in range(1, 4):
        backlog.put(entry(number, Kind.RESULT, size=size_for(1000)))
    backlog.put(entry(4, Kind.STATE, "a/a", size=size_for(1000, "a/a")))
    backlog.put(entry(5, Kind.STATE, "a/b", size=size_for(1000, "a/b")))
    assert numbers(backlog) == [5, 2, 3]


def test_a_state_displaces_events_up_to_its_share() -> None:
    backlog = Backlog(Budget(4000))
    for number in range(1, 5):
        backlog.put(entry(number, size=size_for(1000)))
    assert [item.number for item in backlog.put(entry(5, Kind.STATE, "a/a", size=size_for(1000, "a/a"))).gone] == [1]
    assert not backlog.put(entry(6, Kind.STATE, "a/b", size=size_for(1001, "a/b"))).taken


def test_what_is_over_goes_wherever_it_is() -> None:
    backlog = Backlog(Budget(100_000))
    backlog.put(entry(1, life_s=5.0))
    backlog.put(entry(2, life_s=9.0))
    backlog.put(entry(3, life_s=1.0))  # behind one that is good
    backlog.put(entry(4, Kind.STATE, "a/long"))
    backlog.put(entry(5, Kind.STATE, "job/short", life_s=2.0))
    backlog.put(entry(6, Kind.RESULT, life_s=5.0))
    assert sorted(item.number for item in backlog.expire(5 * NS)) == [1, 5, 6]
    assert numbers(backlog) == [4, 2, 3]
    assert [item.number for item in backlog.expire(6 * NS)] == [3]  # handed out: the link has dropped it
    assert backlog.losses.expired == 4


def test_what_an_earlier_run_left_goes_first_and_newer_states_stay() -> None:
    backlog = Backlog(Budget(100_000))
    backlog.put(entry(11))
    backlog.put(entry(12, Kind.STATE, "a/hot"))
    out = backlog.next()
    assert out is not None
    backlog.hand_out(out)
    gone = backlog.restore([entry(1, Kind.STATE, "a/hot"), entry(2), entry(3, Kind.STATE, "a/cold")])
    assert [item.number for item in gone] == [1]
    assert backlog.out == 1
    assert numbers(backlog) == [3, 2, 11]


def test_what_an_earlier_run_left_and_has_no_room_is_named() -> None:
    backlog = Backlog(Budget(2000))
    gone = backlog.restore(
        [entry(1, size=size_for(1000)), entry(2, size=size_for(3000)), entry(3, size=size_for(1500))]
    )
    assert [item.number for item in gone] == [2, 1]
    assert numbers(backlog) == [3]


def test_a_new_link_gets_everything_again_in_order() -> None:
    backlog = Backlog(Budget(100_000))
    for number in range(1, 6):
        backlog.put(entry(number))
    for _ in range(3):
        item = backlog.next()
        assert item is not None
        backlog.hand_out(item)
    backlog.remove(2)
    backlog.take_back()
    assert backlog.out == 0
    assert numbers(backlog) == [1, 3, 4, 5]


def test_what_a_broker_will_not_have_is_counted_and_not_kept() -> None:
    backlog = Backlog(Budget(100_000))
    backlog.put(entry(1, size=10))
    backlog.put(entry(2, size=5000))
    assert [item.number for item in backlog.too_large(1000, lambda item: len(item.payload))] == [2]
    assert backlog.reject(1) is not None
    assert backlog.reject(1) is None
    assert (backlog.losses.too_large, backlog.losses.rejected, backlog.losses.total) == (1, 1, 2)
    assert (len(backlog), backlog.bytes) == (0, 0)


def test_time_left_is_never_nothing() -> None:
    assert entry(1, life_s=2.0).remaining_s(NS) == 1.0
    assert entry(1, life_s=2.0).remaining_s(5 * NS) == 0.001
    assert entry(1).remaining_s(5 * NS) is None
