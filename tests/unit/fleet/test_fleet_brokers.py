"""Which broker is next: order of preference, each with its own patience, and the way back."""

from __future__ import annotations

from random import Random

import pytest

from edgeagent.fleet.attempts import Ending
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.brokers import Brokers, first_broker, next_broker, probe_delay_s
from edgeagent.fleet.link_types import Address, EndKind, LinkSettings

LOST = Schedule(base_s=1.0, cap_s=60.0)
REFUSED = Schedule(base_s=1000.0, cap_s=2000.0, floor_s=100.0)
WANTED = LinkSettings(
    "a", 1883, "device", fallbacks=(Address("b", 1883), Address("c", 1883)), protocol="5", lost=LOST, refused=REFUSED
)


def step(state: Brokers, kind: EndKind, now_s: float = 0.0, held_s: float = 0.0) -> tuple[Brokers, float]:
    return next_broker(state, Ending(kind, "why", held_s=held_s), WANTED, Random(7), now_s)


def test_the_preferred_one_is_first_and_the_others_follow_in_their_order() -> None:
    state = first_broker(WANTED)
    tried = [state.now]
    for _ in range(2):
        state, delay_s = step(state, "unreachable")
        assert delay_s <= LOST.base_s
        tried.append(state.now)
    assert tried == [0, 1, 2]


def test_after_all_have_failed_the_one_whose_time_comes_first_is_next() -> None:
    state = first_broker(WANTED)
    for _ in range(3):
        state, delay_s = step(state, "unreachable", now_s=100.0)
    assert state.due_s[state.now] == min(state.due_s)
    assert delay_s > 0


def test_of_those_whose_time_has_come_the_most_preferred_is_next() -> None:
    state, _ = step(first_broker(WANTED), "unreachable", now_s=0.0)
    state, _ = step(state, "unreachable", now_s=1000.0)
    assert state.now == 0


def test_one_that_refuses_is_left_alone_for_long_while_the_others_are_tried() -> None:
    state, delay_s = step(first_broker(WANTED), "refused", now_s=0.0)
    assert (state.now, delay_s <= LOST.base_s) == (1, True)
    assert state.due_s[0] >= REFUSED.floor_s
    for now_s in range(1, 60):
        state, _ = step(state, "unreachable", now_s=float(now_s))
        assert state.now != 0


def test_a_connection_that_stood_is_tried_again_where_it_was() -> None:
    state, _ = step(first_broker(WANTED), "lost", held_s=3600.0)
    assert state.now == 0
    state, _ = step(state, "unreachable")
    assert state.now == 1


def test_one_that_drops_us_at_once_makes_room() -> None:
    state, _ = step(first_broker(WANTED), "lost", held_s=0.2)
    assert state.now == 1


def test_who_took_our_name_is_not_fought_elsewhere() -> None:
    state, delay_s = step(first_broker(WANTED), "displaced", held_s=5.0)
    assert (state.now, delay_s >= REFUSED.floor_s) == (0, True)


def test_another_protocol_is_tried_with_the_same_broker_at_once() -> None:
    wanted = LinkSettings("a", 1883, "device", fallbacks=(Address("b", 1883),))
    state, delay_s = next_broker(first_broker(wanted), Ending("hung_up", "why"), wanted, Random(7), 0.0)
    assert (state.now, state.current.protocol, delay_s) == (0, "3.1.1", 0.0)


def test_the_way_back_leads_to_the_preferred_one_whatever_its_time() -> None:
    state, _ = step(first_broker(WANTED), "refused", now_s=0.0)
    state, delay_s = step(state, "moved", now_s=10.0, held_s=8.0)
    assert (state.now, delay_s, state.returning) == (0, 0.0, True)


def test_a_return_that_fails_makes_the_next_probe_wait_longer_and_one_that_holds_forgets_it() -> None:
    state = first_broker(WANTED)
    state, _ = step(state, "unreachable", now_s=0.0)
    early = probe_delay_s(state, WANTED, Random(1))
    for _ in range(2):
        state, _ = step(state, "moved", now_s=10.0, held_s=60.0)
        state, _ = step(state, "unreachable", now_s=10.0)
    assert (state.now, state.failed_returns) == (1, 2)
    assert probe_delay_s(state, WANTED, Random(1)) == pytest.approx(4 * early)
    state, _ = step(state, "moved", now_s=10.0, held_s=60.0)
    state, _ = step(state, "lost", now_s=20.0, held_s=60.0)
    assert (state.now, state.failed_returns) == (0, 0)


def test_with_one_broker_it_stays_the_next_one() -> None:
    wanted = LinkSettings("a", 1883, "device", protocol="5", lost=LOST)
    state = first_broker(wanted)
    for _ in range(5):
        state, delay_s = next_broker(state, Ending("unreachable", "why"), wanted, Random(3), 5.0)
        assert state.now == 0
        assert delay_s == pytest.approx(state.due_s[0] - 5.0)
