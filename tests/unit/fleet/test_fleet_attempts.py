"""What the link tries next: protocol and delay after every kind of ending."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest

from edgeagent.fleet.attempts import Attempts, Ending, EndKind, after, first_attempt, kind_of_refusal
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.link_types import LinkSettings, ProtocolWish

LOST = Schedule(base_s=1.0, cap_s=60.0)
REFUSED = Schedule(base_s=1000.0, cap_s=2000.0, floor_s=100.0)


def settings(protocol: ProtocolWish = "auto") -> LinkSettings:
    return LinkSettings("broker", 1883, "device", protocol=protocol, lost=LOST, refused=REFUSED)


def step(state: Attempts, kind: EndKind, held_s: float = 0.0, wish: ProtocolWish = "auto") -> tuple[Attempts, float]:
    return after(state, Ending(kind, "why", held_s=held_s), settings(wish), Random(7))


def test_auto_begins_with_5_and_a_wish_is_a_wish() -> None:
    assert first_attempt(settings()).protocol == "5"
    assert first_attempt(settings("3.1.1")).protocol == "3.1.1"


@pytest.mark.parametrize("kind", ["hung_up", "silent", "unsupported"])
def test_a_broker_without_version_5_is_tried_with_3_1_1_at_once(kind: EndKind) -> None:
    state, delay_s = step(Attempts("5"), kind)
    assert (state.protocol, delay_s) == ("3.1.1", 0.0)


def test_what_was_answered_to_is_remembered() -> None:
    state, _ = step(Attempts("3.1.1"), "lost", held_s=100)
    assert state.spoken == "3.1.1"
    for kind in ("unreachable", "lost", "hung_up"):
        state, _ = step(state, kind)
        assert state.protocol == "3.1.1"


def test_a_hang_up_alone_proves_nothing() -> None:
    state, delay_s = step(Attempts("3.1.1"), "hung_up")
    assert state.protocol == "5"
    assert state.spoken is None
    assert delay_s > 0


def test_a_broker_that_spoke_5_is_not_downgraded_by_a_hang_up() -> None:
    state, _ = step(Attempts("5"), "lost", held_s=100)
    state, delay_s = step(state, "hung_up")
    assert state.protocol == "5"
    assert delay_s > 0


def test_after_some_hang_ups_in_a_row_another_broker_may_stand_there() -> None:
    state = Attempts("5", spoken="5")
    tried = []
    for _ in range(6):
        state, _ = step(state, "hung_up")
        tried.append(state.protocol)
    assert "3.1.1" in tried


@pytest.mark.parametrize("wish", ["5", "3.1.1"])
def test_a_wish_never_changes_the_protocol(wish: ProtocolWish) -> None:
    state = first_attempt(settings(wish))
    for kind in get_args(EndKind):
        state, _ = step(state, kind, wish=wish)
        assert state.protocol == wish


@pytest.mark.parametrize(
    ("kind", "slow"),
    [
        ("unreachable", False),
        ("unavailable", False),
        ("lost", False),
        ("hung_up", False),
        ("silent", False),
        ("refused", True),
        ("displaced", True),
        ("unsupported", True),
    ],
)
def test_who_has_to_act_decides_the_schedule(kind: EndKind, slow: bool) -> None:
    _, delay_s = step(Attempts("5", spoken="5"), kind, wish="5")
    assert (delay_s >= REFUSED.floor_s) is slow


def test_failures_in_a_row_count_and_a_steady_connection_forgets_them() -> None:
    state = Attempts("5", spoken="5")
    for expected in (1, 2, 3):
        state, _ = step(state, "unreachable")
        assert state.failures == expected
    state, _ = step(state, "lost", held_s=0.5)
    assert state.failures == 4
    state, delay_s = step(state, "lost", held_s=100)
    assert state.failures == 1
    assert delay_s <= 1.0


def test_a_change_of_schedule_starts_counting_anew() -> None:
    state, _ = step(Attempts("5", spoken="5", failures=9), "refused")
    assert (state.failures, state.pace) == (1, "refused")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0x84, "unsupported"),
        (0x88, "unavailable"),
        (0x89, "unavailable"),
        (0x9F, "unavailable"),
        (0x86, "refused"),
        (0x87, "refused"),
        (0x8A, "refused"),
        (0x85, "refused"),
    ],
)
def test_refusal_codes(code: int, kind: EndKind) -> None:
    assert kind_of_refusal(code) == kind
