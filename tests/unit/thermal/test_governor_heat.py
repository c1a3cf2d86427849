"""The controller for heat: what it learns of a plant, and the duty that follows."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgeagent.thermal.base import DIE_S, Base, follow
from edgeagent.thermal.duty import LONG_S, Heat, first_heat, heat_duty, look_at_heat, relearn
from edgeagent.thermal.gain import FIRST_K, LARGEST_K, SMALLEST_K, first_gain, learn


def walk(heat: Heat, above_c: list[float], duty: float, dt_s: float = 0.5) -> Heat:
    for value in above_c:
        heat = look_at_heat(heat, value, duty, dt_s)
    return heat


def die(from_c: float, gain_k: float, duty: float, seconds: float, dt_s: float = 0.5) -> list[float]:
    """A die that follows its duty exactly as the model says."""
    count = round(seconds / dt_s)
    return [from_c + gain_k * duty * (1 - math.exp(-dt_s * (n + 1) / DIE_S)) for n in range(count)]


def test_far_below_the_set_point_a_build_may_do_everything() -> None:
    assert heat_duty(first_heat(-40.0, 0.0)) == 1.0


def test_above_the_set_point_it_may_do_nothing() -> None:
    assert heat_duty(first_heat(0.0, 0.0)) == 0.0
    assert heat_duty(first_heat(5.0, 0.0)) == 0.0


def test_the_first_duty_leaves_room_for_the_largest_gain_that_is_expected() -> None:
    duty = heat_duty(first_heat(-10.0, 0.0))
    assert 0 < duty * FIRST_K < 10.0


@pytest.mark.parametrize("gain_k", [3.0, 8.0, 15.0, 24.0])
def test_a_step_of_the_duty_shows_the_gain(gain_k: float) -> None:
    heat = walk(first_heat(-40.0, 0.0), die(-40.0, gain_k, 1.0, 6.0), 1.0)
    assert heat.gain.kelvin == pytest.approx(gain_k, rel=0.35, abs=2.0)


def test_drift_at_a_constant_duty_is_not_taken_for_gain() -> None:
    heat = walk(first_heat(-20.0, 0.5), [-20.0 + 0.1 * n for n in range(100)], 0.5)
    assert heat.gain.kelvin == FIRST_K
    assert heat.base.slope_c_per_s == pytest.approx(0.2, rel=0.05)


def test_a_rising_base_takes_duty_before_the_set_point_is_reached() -> None:
    still = walk(first_heat(-12.0, 0.3), [-12.0] * 20, 0.3)
    rising = walk(first_heat(-16.0, 0.3), [-16.0 + 0.2 * n for n in range(21)], 0.3)
    assert rising.above_c == pytest.approx(still.above_c, abs=0.2)
    assert heat_duty(rising) < heat_duty(still) - 0.03


def test_a_jump_is_taken_for_the_begin_of_a_step_of_power() -> None:
    base = follow(Base(-10.0), -10.0 + 5.0 * (1 - math.exp(-0.5 / DIE_S)), 0.5)
    assert base.coming_c == pytest.approx(5.0 * math.exp(-0.5 / DIE_S), rel=0.01)


def test_a_single_odd_reading_is_forgotten_with_the_next_ones() -> None:
    base = follow(Base(-10.0), -8.5, 0.5)
    assert base.coming_c > 3
    for _ in range(4):
        base = follow(base, -10.0, 0.5)
    assert base.coming_c == 0.0
    assert base.above_c == pytest.approx(-10.0, abs=0.6)


def test_a_jump_after_a_fall_is_not_fed_by_the_fall() -> None:
    base = follow(Base(-1.0, slope_c_per_s=-0.3, coming_c=3.0), -1.0, 1.0)
    for _ in range(10):
        base = follow(base, -1.0, 1.0)
    assert base.coming_c == 0.0
    assert abs(base.slope_c_per_s) < 0.05


def test_noise_is_no_jump() -> None:
    base = Base(-10.0)
    for n in range(50):
        base = follow(base, -10.0 + (0.3 if n % 2 else -0.3), 0.5)
        assert base.coming_c == 0.0
    assert abs(base.slope_c_per_s) < 0.05


def test_a_light_phase_leaves_room_for_the_heavy_one_that_may_follow() -> None:
    light = first_heat(-2.0, 0.5)
    known = replace(light, gain=replace(light.gain, kelvin=3.0, peak_k=3.0), base=Base(-3.5))
    warned = replace(known, gain=replace(known.gain, peak_k=20.0))
    assert heat_duty(warned) < heat_duty(known)


def test_another_build_starts_with_the_largest_gain_again() -> None:
    heat = walk(first_heat(-40.0, 0.0), die(-40.0, 4.0, 1.0, 6.0), 1.0)
    again = relearn(heat)
    assert heat.gain.kelvin < 10
    assert again.gain.kelvin == FIRST_K
    assert again.above_c == pytest.approx(heat.above_c)


def test_after_a_long_gap_only_what_is_seen_counts() -> None:
    heat = look_at_heat(first_heat(-30.0, 0.0), -5.0, 1.0, LONG_S + 50)
    assert heat.above_c == pytest.approx(-5.0)
    assert heat.base.slope_c_per_s >= 0


@pytest.mark.parametrize("above_c", [-60.0, 60.0])
def test_the_gain_stays_within_what_a_die_can_do(above_c: float) -> None:
    gain = first_gain(0.0, 0.0)
    for n in range(40):
        gain = learn(gain, above_c if n % 2 else 0.0, 1.0 if n % 2 else 0.0, 0.5)
        assert SMALLEST_K <= gain.kelvin <= LARGEST_K
        assert 0 <= gain.peak_k <= LARGEST_K
