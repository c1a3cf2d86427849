"""Rest between a builder's steps."""

from __future__ import annotations

import threading

import pytest

from edgeagent.engine.build.rest import LONGEST_REST_S, StepRest


class Hand:
    """A clock that a waiting thread moves: every wait ends when it would, without waiting."""

    def __init__(self, rest: StepRest) -> None:
        self.now_s = 100.0
        rest._clock = lambda: self.now_s
        rest._changed.wait = self._wait

    def _wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "it would wait for ever"
        self.now_s += timeout
        return False


@pytest.fixture
def rest() -> StepRest:
    return StepRest()


@pytest.fixture
def hand(rest: StepRest) -> Hand:
    return Hand(rest)


def test_at_full_pace_nothing_rests(rest: StepRest, hand: Hand) -> None:
    for _ in range(5):
        hand.now_s += 3.0
        rest.step()
    assert rest.rested_s == 0.0 and hand.now_s == 115.0


@pytest.mark.parametrize("duty", [0.9, 0.5, 0.25])
def test_the_share_of_work_is_the_duty(rest: StepRest, hand: Hand, duty: float) -> None:
    rest.set_duty(duty)
    rest.step()
    began_s = hand.now_s
    for work_s in (0.2, 2.0, 0.0, 1.1, 0.05):
        hand.now_s += work_s
        rest.step()
    assert 3.35 / (hand.now_s - began_s) == pytest.approx(duty)


def test_work_from_before_it_was_slowed_is_not_paid_for(rest: StepRest, hand: Hand) -> None:
    rest.step()
    hand.now_s += 60.0
    rest.set_duty(0.5)
    hand.now_s += 1.0
    rest.step()
    assert rest.rested_s == pytest.approx(1.0)


def test_one_long_step_is_not_followed_by_an_endless_rest(rest: StepRest, hand: Hand) -> None:
    rest.set_duty(0.1)
    rest.step()
    hand.now_s += 600.0
    rest.step()
    assert rest.rested_s == pytest.approx(LONGEST_REST_S)


@pytest.mark.parametrize("awake", ["faster", "over"])
def test_a_standstill_ends_with_a_new_pace_or_with_the_build(rest: StepRest, awake: str) -> None:
    rest.set_duty(0.0)
    resting = threading.Event()
    enter = rest._enter
    rest._enter = lambda: (enter(), resting.set())
    thread = threading.Thread(target=rest.step)
    thread.start()
    assert resting.wait(10) and rest.resting
    if awake == "faster":
        rest.set_duty(1.0)
    else:
        rest.end()
    thread.join(10)
    assert not thread.is_alive() and not rest.resting
