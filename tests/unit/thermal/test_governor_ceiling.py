"""Ceilings that yield at once and come back with care, and what makes them yield."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from governor_kit import RULES, at

from edgeagent.thermal.cameras import INNOCENT_AFTER_S, Cameras, look_at_cameras
from edgeagent.thermal.ceiling import CUT_EVERY_S, FAST_PER_S, QUIET_S, SLOW_PER_S, Ceiling, cut, rise
from edgeagent.thermal.electric import Electric, look_at_electric, rested


def test_a_cut_starts_from_the_duty_in_use() -> None:
    assert cut(Ceiling(), 0.5, 0.6, 10.0).share == pytest.approx(0.3)


def test_cuts_wait_for_the_last_one_to_show() -> None:
    once = cut(Ceiling(), 0.5, 0.6, 10.0)
    assert cut(once, 0.3, 0.6, 10.0 + CUT_EVERY_S - 0.1).share == once.share
    assert cut(once, 0.3, 0.6, 10.0 + CUT_EVERY_S).share == pytest.approx(0.18)


def test_it_remembers_the_duty_at_which_the_trouble_began_over_all_its_cuts() -> None:
    ceiling = cut(cut(Ceiling(), 0.5, 0.6, 10.0), 0.3, 0.6, 12.5)
    assert ceiling.trouble_at == 0.5


def test_it_rises_fast_slowly_near_the_trouble_and_fast_again() -> None:
    ceiling = Ceiling(0.3, 0.5, 0.0, 0.0)
    assert rise(ceiling, QUIET_S - 0.1, 1.0).share == 0.3
    assert rise(ceiling, 50.0, 1.0).share == pytest.approx(0.3 + FAST_PER_S)
    assert rise(Ceiling(0.47, 0.5, 0.0, 0.0), 50.0, 1.0).share == pytest.approx(0.47 + SLOW_PER_S)
    assert rise(Ceiling(0.56, 0.5, 0.0, 0.0), 50.0, 1.0).share == pytest.approx(0.56 + FAST_PER_S)
    assert rise(Ceiling(0.99, 0.5, 0.0, 0.0), 50.0, 1.0).share == 1.0


def test_frames_that_are_lost_take_duty_and_few_more_than_many() -> None:
    some = look_at_cameras(RULES, Cameras(), at(1.0, frames_kept=0.94), 1.0, 0.5)
    many = look_at_cameras(RULES, Cameras(), at(1.0, frames_kept=0.5), 1.0, 0.5)
    assert many.ceiling.share < some.ceiling.share < 1


def test_late_answers_take_duty_too() -> None:
    assert look_at_cameras(RULES, Cameras(), at(1.0, latency=1.6), 1.0, 0.5).ceiling.share < 1


@pytest.mark.parametrize("kept", [None, 1.0, 0.98])
def test_pipelines_that_are_well_or_not_there_take_nothing(kept: float | None) -> None:
    assert look_at_cameras(RULES, Cameras(), at(1.0, frames_kept=kept), 1.0, 0.5).ceiling == Ceiling()


def looked(kept: Iterable[float], cameras: Cameras, duty: float) -> list[Cameras]:
    """Looks twice a second, from the 100th second on, at a build that works with no more than this duty."""
    found = [cameras]
    for n, share in enumerate(kept):
        worked = min(duty, found[-1].ceiling.share)
        found.append(look_at_cameras(RULES, found[-1], at(100.0 + 0.5 * n, frames_kept=share), worked, 0.5))
    return found[1:]


@pytest.mark.parametrize("period_s", [1.6, 3.0, 5.0, 8.0])
def test_frames_that_ripple_around_a_share_above_the_floor_take_nothing(period_s: float) -> None:
    ripple = [0.962 + 0.015 * math.sin(2 * math.pi * 0.5 * n / period_s) for n in range(240)]
    assert min(ripple) < RULES.frames_floor
    begun = Cameras(Ceiling(0.6, 0.7, 90.0, 90.0))
    shares = [cameras.ceiling.share for cameras in looked([0.962, *ripple], begun, 1.0)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.6


def test_a_deep_dip_takes_duty_at_once_and_no_less_than_before() -> None:
    settled = looked([0.962] * 60, Cameras(Ceiling(0.6, 0.6, 90.0, 90.0)), 1.0)[-1]
    before = settled.ceiling.share
    for kept, left in ((0.89, 0.7), (0.8, 0.4)):
        dipped = look_at_cameras(RULES, settled, at(130.0, frames_kept=kept), before, 0.5)
        assert dipped.ceiling.share == pytest.approx(left * before)


def test_a_small_lasting_shortfall_takes_what_it_needs_and_no_more() -> None:
    """What is lost is in proportion to the duty: 5 % of the frames at a duty of 0.7."""
    cameras, duty, duties, kept = Cameras(), 1.0, [], 1.0
    for n in range(1200):
        kept += (1.0 - duty * 0.05 / 0.7 - kept) * 0.5 / 3.0
        cameras = look_at_cameras(RULES, cameras, at(0.5 * n, frames_kept=kept), duty, 0.5)
        duty = cameras.ceiling.share
        duties.append(duty)
    assert min(duties) > 0.5
    assert all(0.6 < duty <= 0.72 for duty in duties[200:])


def test_one_shortfall_is_not_cut_twice() -> None:
    """While the frames that are seen are those of before the cut, the ceiling stays where the cut has put it."""
    short = looked([0.94] * 20, Cameras(), 1.0)
    assert short[0].ceiling.share == pytest.approx(0.05 / 0.06)
    assert short[4].ceiling.share > 0.7


def test_a_duty_that_fell_for_another_reason_is_not_taken_for_what_can_be_borne() -> None:
    busy = looked([0.945] * 60, Cameras(), 0.8)[-1]
    stopped = look_at_cameras(RULES, busy, at(131.0, frames_kept=0.96), 0.0, 0.5)
    assert stopped.ceiling.share > 0.5


def test_frames_that_are_lost_without_the_build_do_not_hold_it_up_for_ever() -> None:
    cameras, at_s = Cameras(), 0.0
    while cameras.floor is None:
        at_s += 0.5
        assert at_s < 60
        cameras = look_at_cameras(RULES, cameras, at(at_s, frames_kept=0.7), 0.0, 0.5)
    assert at_s >= INNOCENT_AFTER_S
    assert cameras.ceiling.share > RULES.least_duty
    for _ in range(60):
        at_s += 0.5
        cameras = look_at_cameras(RULES, cameras, at(at_s, frames_kept=0.7), cameras.ceiling.share, 0.5)
    assert cameras.ceiling.share > 0.5
    worse = look_at_cameras(RULES, cameras, at(at_s + 0.5, frames_kept=0.6), cameras.ceiling.share, 0.5)
    assert worse.ceiling.share < cameras.ceiling.share


def test_cameras_that_are_well_again_are_measured_as_before() -> None:
    lenient = Cameras(floor=0.6, limit=3.0)
    assert look_at_cameras(RULES, lenient, at(1.0, frames_kept=1.0, latency=1.0), 0.5, 0.5).floor is None


def test_where_nothing_runs_any_more_the_frames_of_before_are_forgotten() -> None:
    low = looked([0.94] * 4, Cameras(), 1.0)[-1]
    gone = look_at_cameras(RULES, low, at(110.0), 0.5, 0.5)
    assert gone.kept is None
    assert gone.ceiling.share > low.ceiling.share


def electric(watts: float, seconds: float, duty: float = 1.0, cap_w: float | None = 15.0) -> Electric:
    found = Electric()
    for n in range(round(2 * seconds)):
        sense = at(0.5 * n, power_w=watts, power_cap_w=cap_w)
        found = look_at_electric(RULES, found, sense, min(duty, found.power), 0.5)
    return found


def test_more_power_than_the_cap_takes_duty_until_it_is_gone() -> None:
    assert electric(18.0, 2.0).power < 1
    assert electric(18.0, 60.0).power == 0.0
    assert electric(18.0, 60.0).is_over


def test_power_below_the_cap_or_a_cap_that_is_not_known_take_nothing() -> None:
    assert electric(12.0, 60.0).power == 1.0
    assert electric(18.0, 60.0, cap_w=None).power == 1.0
    assert electric(18.0, 60.0, cap_w=0.0).power == 1.0


def test_power_takes_from_the_duty_in_use_and_does_not_wind_up() -> None:
    assert electric(18.0, 1.0, duty=0.3).power < 0.3


@pytest.mark.parametrize(
    "seen", [{"over_current": 1}, {"oc3_per_s": RULES.oc3_per_s + 1}, {"alerts": ("cpu-thermal",)}]
)
def test_events_and_alerts_take_duty_at_once(seen: dict[str, object]) -> None:
    found = look_at_electric(RULES, Electric(), at(1.0, **seen), 1.0, 0.5)
    assert min(found.over_current.share, found.alert.share) <= 0.6


def test_an_ordinary_rate_of_oc3_takes_nothing() -> None:
    assert look_at_electric(RULES, Electric(), at(1.0, oc3_per_s=30.0), 1.0, 0.5) == Electric()


def test_an_alert_that_cannot_be_read_any_more_stays_as_it_was() -> None:
    raised = look_at_electric(RULES, Electric(), at(1.0, alerts=("gpu-thermal",)), 1.0, 0.5)
    assert look_at_electric(RULES, raised, at(1.5, alerts=None), 0.5, 0.5).alerts == ("gpu-thermal",)
    assert look_at_electric(RULES, raised, at(1.5, alerts=()), 0.5, 0.5).alerts == ()


def test_without_a_build_nothing_is_held_against_the_next() -> None:
    found = rested(look_at_electric(RULES, Electric(), at(1.0, over_current=3, alerts=("x",)), 1.0, 0.5))
    assert (found.over_current, found.alert, found.power) == (Ceiling(), Ceiling(), 1.0)
    assert found.alerts == ("x",)
