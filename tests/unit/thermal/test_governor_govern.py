"""The governor as a whole: what it says to a course of looks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from governor_kit import RULES, THROTTLE_C, at, steady, through

from edgeagent.thermal.governor import GovernorRules, begin, govern
from edgeagent.thermal.sense import Sense, ZoneSense


def test_a_cool_board_lets_a_build_do_everything() -> None:
    _, said = through(steady(20, 45.0))
    last = said[-1]
    assert (last.level, last.build_duty, last.allowance) == ("nominal", 1.0, 1.0)
    assert (last.reason.code, last.reason.text, last.cancel) == ("none", "", "")


def test_the_verdict_shows_the_zone_that_binds_and_its_set_point() -> None:
    zones = (ZoneSense("cpu-thermal", 80.0, 99.0), ZoneSense("soc0-thermal", 78.0, 88.0), ZoneSense("x", None, 99.0))
    _, verdict = govern(RULES, begin(RULES), Sense(0.0, zones), building=False)
    assert (verdict.hottest, verdict.celsius, verdict.set_point_c, verdict.headroom_c) == (
        "soc0-thermal",
        78.0,
        80.0,
        10.0,
    )


def test_the_first_look_at_a_hot_board_says_hot() -> None:
    _, verdict = govern(RULES, begin(RULES), at(0.0, 95.0), building=True)
    assert (verdict.level, verdict.build_duty, verdict.reason.code) == ("hot", 0.0, "heat")
    assert "4.0 C above its set point of 91 C" in verdict.reason.text


def test_within_three_degrees_of_throttling_a_build_stops_at_once() -> None:
    state, _ = through(steady(10, 60.0))
    _, verdict = govern(RULES, state, at(10.5, THROTTLE_C - 2.9), building=True)
    assert (verdict.level, verdict.build_duty, verdict.cancel) == ("critical", 0.0, "")


def test_critical_heat_ends_a_build_only_after_the_pause_did_not_help() -> None:
    _, said = through(steady(60, THROTTLE_C - 2.0))
    when = next(n for n, verdict in enumerate(said) if verdict.cancel)
    assert said[when].cancel == "critical"
    assert said[when].reason.code == "heat"
    assert 0.5 * when == pytest.approx(RULES.critical_after_s, abs=2.0)


def test_a_pause_that_helps_ends_nothing() -> None:
    hot, cool = steady(15, 97.0), steady(120, 80.0, start_s=15.5)
    _, said = through([*hot, *cool])
    assert not any(verdict.cancel for verdict in said)
    assert said[-1].build_duty > 0


def test_a_throttle_alert_takes_duty_even_where_the_temperature_is_fine() -> None:
    state, _ = through(steady(10, 60.0))
    state, said = through(steady(20, 60.0, 10.5, alerts=("cpu-thermal",)), state=state)
    assert said[0].build_duty < 1
    assert said[0].reason.code == "throttling"
    assert said[0].level == "hot"
    assert said[-1].build_duty == 0.0


def test_a_throttle_alert_that_a_pause_does_not_end_ends_the_build() -> None:
    _, said = through(steady(90, 60.0, alerts=("cpu-thermal",)))
    assert said[-1].cancel == "critical"
    assert said[-1].reason.code == "throttling"


def test_over_current_events_that_go_on_while_the_build_stands_still_end_it() -> None:
    looks = [replace(look, over_current=1 if n % 4 == 0 else 0) for n, look in enumerate(steady(120, 60.0))]
    _, said = through(looks)
    when = next(n for n, verdict in enumerate(said) if verdict.cancel)
    assert (said[when].cancel, said[when - 1].build_duty) == ("critical", 0.0)


def test_a_build_that_heat_never_lets_in_is_stuck_in_the_end() -> None:
    _, said = through(steady(RULES.stuck_after_s + 20, 93.0))
    when = next(n for n, verdict in enumerate(said) if verdict.cancel)
    assert (said[when].cancel, said[when].reason.code) == ("stuck", "heat")
    assert 0.5 * when >= RULES.stuck_after_s


@pytest.mark.parametrize("building", [True, False])
def test_memory_below_its_floor_ends_a_build_and_only_a_build(building: bool) -> None:
    _, said = through(steady(3, 60.0, memory_available_mb=100.0, memory_total_mb=7600.0), building=building)
    assert said[-1].cancel == ("memory" if building else "")
    assert said[-1].reason.code == "memory"
    assert said[-1].level == "hot"


def test_a_kill_by_the_kernel_ends_a_build() -> None:
    _, said = through([at(0.0, oom_kills=2), at(0.5, oom_kills=2), at(1.0, oom_kills=3)])
    assert [verdict.cancel for verdict in said] == ["", "", "memory"]


def test_cameras_that_lose_frames_name_themselves() -> None:
    state, _ = through(steady(10, 60.0, frames_kept=1.0))
    _, verdict = govern(RULES, state, at(10.5, 60.0, frames_kept=0.8), building=True)
    assert verdict.build_duty < 1
    assert verdict.reason.code == "cameras"
    assert "80 %" in verdict.reason.text


def test_without_any_temperature_a_build_gets_a_small_fixed_duty() -> None:
    state, _ = through(steady(10, 60.0))
    _, said = through(steady(30, None, 10.5), state=state)
    assert all(verdict.build_duty <= 1.0 for verdict in said)
    assert {verdict.build_duty for verdict in said[8:]} == {RULES.blind_duty}
    assert said[-1].reason.code == "blind"
    assert (said[-1].level, said[-1].celsius, said[-1].set_point_c) == ("warm", None, None)


def test_blindness_does_not_calm_a_board_that_was_hot() -> None:
    state, _ = through(steady(5, 94.0))
    _, said = through(steady(60, None, 5.5), state=state)
    assert said[-1].level == "hot"


def test_a_moment_without_readings_holds_and_does_not_raise() -> None:
    state, before = through(steady(30, 88.0))
    _, verdict = govern(RULES, state, at(30.5, None), building=True)
    assert verdict.build_duty <= before[-1].build_duty
    assert verdict.celsius == 88.0


def test_a_machine_without_zones_that_throttle_is_not_treated_as_blind() -> None:
    _, said = through(steady(5, None), rules=GovernorRules(heat_expected=False))
    assert (said[-1].level, said[-1].build_duty, said[-1].reason.code) == ("nominal", 1.0, "none")


def test_the_ceiling_of_an_earlier_attempt_holds() -> None:
    _, said = through(steady(20, 45.0), rules=GovernorRules(most_duty=0.6))
    assert {verdict.build_duty for verdict in said} == {0.6}
    assert said[-1].reason.code == "ceiling"


def test_the_pipelines_come_before_a_build() -> None:
    hot = [at(float(n), 94.0) for n in range(60)]
    state, said = through(hot, building=False)
    assert said[-1].allowance < 1
    assert said[-1].reason.code == "heat"
    _, verdict = govern(RULES, state, at(60.5, 80.0), building=True)
    assert verdict.build_duty == 0.0


def test_a_look_that_is_not_later_changes_nothing() -> None:
    state, said = through(steady(5, 60.0))
    for at_s in (5.0, 3.0):
        again, verdict = govern(RULES, state, at(at_s, 98.0), building=True)
        assert again is state
        assert verdict == said[-1]


def test_gaps_of_minutes_are_survived() -> None:
    state, _ = through(steady(5, 60.0))
    state, verdict = govern(RULES, state, at(605.0, 90.0), building=True)
    assert verdict.build_duty < 0.2
    state, verdict = govern(RULES, state, at(1200.0, 60.0), building=True)
    assert 0 < verdict.build_duty < 1


def test_a_build_that_begins_is_told_what_fits_and_not_made_to_climb_from_nothing() -> None:
    state, _ = through(steady(20, 50.0), building=False)
    _, verdict = govern(RULES, state, at(20.5, 50.0), building=True)
    assert verdict.build_duty == 1.0


def test_the_next_build_inherits_no_patience_and_no_ceiling() -> None:
    state, said = through(steady(60, 60.0, alerts=("cpu-thermal",)))
    assert said[-1].cancel == "critical"
    state, _ = through(steady(300, 60.0, 60.5), state=state, building=False)
    _, verdict = govern(RULES, state, at(361.0, 60.0), building=True)
    assert (verdict.cancel, verdict.build_duty) == ("", 1.0)


def test_without_a_build_a_calm_board_gives_no_reason() -> None:
    _, said = through(steady(5, 78.0), building=False)
    assert (said[-1].level, said[-1].reason.code, said[-1].cancel) == ("nominal", "none", "")


def test_power_above_the_cap_is_told() -> None:
    state, calm = through(steady(10, 60.0, power_w=12.0, power_cap_w=15.0))
    _, said = through(steady(8, 60.0, 10.5, power_w=18.0, power_cap_w=15.0), state=state)
    assert said[-1].reason.code == "power"
    assert "% of the power that it may" in said[-1].reason.text
    assert said[-1].build_duty < calm[-1].build_duty


def test_a_temperature_and_a_limit_that_come_one_after_the_other_are_a_critical_zone_too() -> None:
    looks = [
        Sense(0.0, (ZoneSense("gpu", 98.0, None),)),
        Sense(1.0, (ZoneSense("gpu", None, 99.0),)),
    ]
    _, said = through(looks)
    assert (said[-1].level, said[-1].build_duty) == ("critical", 0.0)
