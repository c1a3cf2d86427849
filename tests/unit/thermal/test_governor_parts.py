"""Level, endings, wishes, allowance and reasons, each by itself."""

from __future__ import annotations

import pytest
from governor_kit import RULES, at

from edgeagent.thermal.allowance import ALONE_S, Allowance, Strain, look_at_allowance
from edgeagent.thermal.electric import Electric
from edgeagent.thermal.endings import Patience, ending, wait_on
from edgeagent.thermal.level import EASED_C, Standing, heat_level, highest, stand
from edgeagent.thermal.reasons import TABLE, Facts, explain
from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.sense import hottest
from edgeagent.thermal.verdict import Level
from edgeagent.thermal.wishes import RISE_PER_S, Wish, choose


@pytest.mark.parametrize(
    ("headroom_c", "level"), [(30.0, "nominal"), (14.9, "warm"), (7.5, "warm"), (6.9, "hot"), (2.9, "critical")]
)
def test_headroom_asks_for_a_level(headroom_c: float, level: Level) -> None:
    assert heat_level(RULES, headroom_c, "nominal") == level


def test_a_level_is_left_only_with_some_distance() -> None:
    assert heat_level(RULES, RULES.warm_c + EASED_C - 0.1, "warm") == "warm"
    assert heat_level(RULES, RULES.warm_c + EASED_C, "warm") == "nominal"
    assert heat_level(RULES, RULES.hot_c + EASED_C - 0.1, "critical") == "hot"


@pytest.mark.parametrize("below_c", [2.0, 3.0, 5.0, 8.0, 15.0, 30.0])
def test_the_thresholds_are_in_order_for_any_set_point(below_c: float) -> None:
    rules = GovernorRules(set_point_below_c=below_c)
    assert 0 < rules.critical_c < rules.hot_c < below_c < rules.warm_c


def test_up_at_once_and_down_a_step_a_dwell() -> None:
    standing = stand(RULES, Standing(), "critical", 10.0)
    assert standing.level == "critical"
    seen = []
    for n in range(1, 80):
        standing = stand(RULES, standing, "nominal", 10.0 + 0.5 * n)
        seen.append(standing.level)
    assert [seen.count(level) for level in ("critical", "hot", "warm")] == [19, 20, 20]


def test_the_highest_of_levels() -> None:
    assert highest("nominal", "hot", "warm") == "hot"


def test_danger_counts_only_while_the_build_stands_still() -> None:
    patience = Patience()
    for _ in range(100):
        patience = wait_on(patience, 0.3, 0.5, danger=True)
    assert ending(RULES, patience, "") == ""
    for _ in range(round(2 * RULES.critical_after_s)):
        patience = wait_on(patience, 0.0, 0.5, danger=True)
    assert ending(RULES, patience, "") == "critical"
    assert ending(RULES, wait_on(patience, 0.0, 0.5, danger=False), "") == ""


def test_a_gap_without_looks_is_not_held_against_the_build() -> None:
    assert ending(RULES, wait_on(Patience(), 0.0, 3600.0, danger=True), "") == ""


def test_a_build_that_is_let_in_too_seldom_is_stuck_and_one_that_works_is_not() -> None:
    seldom = often = Patience()
    for n in range(round(2 * RULES.stuck_after_s) * 4):
        seldom = wait_on(seldom, 0.08 if n % 8 == 0 else 0.0, 0.5, danger=False)
        often = wait_on(often, 0.1, 0.5, danger=False)
    assert ending(RULES, seldom, "") == "stuck"
    assert ending(RULES, often, "") == ""


def test_memory_comes_first() -> None:
    assert ending(RULES, Patience(1e9, 1e9), "no memory") == "memory"


def chosen(*wishes: tuple[str, float], before: float | None = None, dt_s: float = 0.5) -> tuple[str, float]:
    wish = choose(RULES, tuple(Wish(*w) for w in wishes), before, dt_s)
    return wish.code, pytest.approx(wish.duty)  # type: ignore[return-value]


def test_the_smallest_wish_binds() -> None:
    assert chosen(("heat", 0.5), ("cameras", 0.3)) == ("cameras", 0.3)
    assert chosen(("heat", 1.0), ("cameras", 1.0)) == ("none", 1.0)


def test_the_duty_rises_in_time_and_falls_at_once() -> None:
    assert chosen(("heat", 1.0), before=0.5) == ("heat_rising", 0.5 + RISE_PER_S * 0.5)
    assert chosen(("heat", 0.1), before=0.9) == ("heat", 0.1)


def test_a_late_look_does_not_make_a_leap() -> None:
    assert chosen(("heat", 1.0), before=0.2, dt_s=300.0) == ("heat_rising", 0.2 + RISE_PER_S * 2)


def test_a_duty_that_is_too_small_is_a_pause_that_ends_later_than_it_began() -> None:
    assert chosen(("heat", 0.04), before=0.5) == ("heat", 0.0)
    assert chosen(("heat", 0.06), before=0.5) == ("heat", 0.06)
    assert chosen(("heat", 0.06), before=0.0) == ("heat", 0.0)
    assert chosen(("heat", 0.09), before=0.0) == ("heat", 0.09)


def allowed(strain: Strain, seconds: float, duty: float = 0.0, share: float = 1.0) -> float:
    allowance = Allowance(share, alone_s=ALONE_S)
    for _ in range(round(seconds)):
        allowance = look_at_allowance(allowance, strain, duty, 1.0)
    return allowance.share


def test_the_pipelines_do_less_only_when_no_build_can() -> None:
    assert allowed(Strain(3.0), 30.0, duty=0.3) == 1.0
    assert allowed(Strain(3.0), 30.0) < 0.5


def test_a_build_that_has_just_been_paused_is_given_time_first() -> None:
    allowance = look_at_allowance(Allowance(), Strain(3.0), 0.3, 1.0)
    for _ in range(round(ALONE_S) - 1):
        allowance = look_at_allowance(allowance, Strain(3.0), 0.0, 1.0)
        assert allowance.share == 1.0


@pytest.mark.parametrize("strain", [Strain(0.0), Strain(-1.9), Strain(None), Strain(-10.0, full=True)])
def test_between_too_much_and_room_enough_it_stays(strain: Strain) -> None:
    assert allowed(strain, 60.0, share=0.6) == 0.6


def test_it_comes_back_when_there_is_room() -> None:
    assert allowed(Strain(-6.0), 30.0, share=0.6) > 0.9
    assert allowed(Strain(-6.0), 300.0, share=0.6) == 1.0


@pytest.mark.parametrize("strain", [Strain(-20.0, alert=True), Strain(-20.0, over=True), Strain(None, alert=True)])
def test_an_alert_and_too_much_power_take_whatever_the_temperature(strain: Strain) -> None:
    assert allowed(strain, 10.0) < 0.9


def test_every_reason_has_words_and_no_full_stop() -> None:
    sense = at(1.0, 92.0, over_current=2, frames_kept=0.9)
    facts = Facts(RULES, sense, hottest(sense.zones), Electric(load=1.1, alerts=("cpu",)), "memory is short")
    for code in TABLE:
        reason = explain(code, facts)
        assert reason.code == code
        assert bool(reason.text) == (code != "none")
        assert not reason.text.endswith(".")


def test_every_reason_can_be_told_without_any_reading() -> None:
    facts = Facts(RULES, at(1.0, None), None, Electric(), "memory is short")
    assert all(explain(code, facts).text for code in TABLE if code != "none")


def test_heat_is_told_with_the_distance_to_the_set_point() -> None:
    sense = at(1.0, 90.6)
    facts = Facts(RULES, sense, hottest(sense.zones), Electric(), "")
    assert explain("heat", facts).text == "cpu-thermal is 0.4 C below its set point of 91 C"


def test_a_code_that_is_not_in_the_table_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        explain("weather", Facts(RULES, at(1.0), None, Electric(), ""))
