"""What is done for a wish, and in which order; and that nothing is done when nothing is needed."""

from __future__ import annotations

from itertools import product

import pytest
from power_kit import CPU, GPU, board_conf, board_state

from edgeagent.power.clocks import ClockEnds
from edgeagent.power.plan import Found, find_state, plan_intent, plan_restore, plan_target, retarget
from edgeagent.power.profile import Intent, IntentError
from edgeagent.power.verify import Target

CONF = board_conf()


def verbs(plan):
    return [step.verb for step in plan.steps]


def test_a_board_that_is_right_gets_no_call():
    plan = plan_intent(Intent("balanced", ("25W",), "release", ("quiet",)), CONF, board_state(1), "t234")
    assert plan.steps == ()
    assert plan.line() == "nothing to do: 25W is in force"


def test_mode_before_lock_before_fan():
    plan = plan_intent(Intent("fast", ("MAXN_SUPER",), "lock", ("cool",)), CONF, board_state(1), "t234")
    assert verbs(plan) == ["set-mode", "lock-clocks", "fan"]
    assert plan.steps[0].arguments == {"id": 2, "reboot": False}


def test_locked_clocks_are_freed_before_they_are_capped_and_locked_again():
    state = board_state(1, locked=True)
    plan = plan_target("x", Target(1, "25W", clocks="lock", cpu_khz=960_000), CONF, state, "t234")
    assert verbs(plan) == ["release-clocks", "cap", "lock-clocks"]
    assert plan.steps[1].arguments == {"domain": "cpu", "khz": 960_000}


def test_a_lock_that_shall_stay_survives_the_mode_change_that_undoes_it():
    plan = plan_target("x", Target(2, "MAXN_SUPER", clocks="keep"), CONF, board_state(1, locked=True), "t234")
    assert verbs(plan) == ["release-clocks", "set-mode", "lock-clocks"]


def test_a_lock_is_freed_before_the_mode_changes_because_it_holds_more_than_that_undoes():
    plan = plan_target("x", Target(2, "MAXN_SUPER", clocks="release"), CONF, board_state(1, locked=True), "t234")
    assert verbs(plan) == ["release-clocks", "set-mode"]


def test_one_clock_that_is_held_is_freed():
    held = board_state(1, values={f"{CPU}/cpu0/cpufreq/scaling_min_freq": 1_344_000})
    assert verbs(plan_target("x", Target(1, "25W", clocks="release"), CONF, held, "t234")) == ["release-clocks"]


def test_a_foreign_cap_is_lifted():
    low = board_state(1, values={f"{GPU}/max_freq": 306_000_000})
    assert verbs(plan_target("x", Target(1, "25W"), CONF, low, "t234")) == ["uncap"]


def test_heat_is_not_fought():
    values = {f"{CPU}/cpu{core}/cpufreq/scaling_max_freq": 729_600 for core in (0, 1)}
    hot = board_state(1, values=values, slowed=("cpufreq-cpu0",))
    assert plan_target("x", Target(1, "25W"), CONF, hot, "t234").steps == ()


def test_a_mode_that_was_noted_but_never_came_is_set():
    plan = plan_target("x", Target(3, "7W"), CONF, board_state(1, mode_id=3), "t234")
    assert verbs(plan) == ["set-mode"]
    assert "core 1 goes offline" in plan.reboot


def test_an_intent_that_may_not_reboot_takes_the_next_mode():
    intent = Intent("build", ("7W", "15W"), "release")
    assert plan_intent(intent, CONF, board_state(1), "t234").target.mode_name == "15W"
    allowed = Intent("low", ("7W", "15W"), "release", reboot=True)
    assert plan_intent(allowed, CONF, board_state(1), "t234").target.mode_name == "7W"


def test_an_intent_without_a_mode_lists_the_modes_there_are():
    with pytest.raises(IntentError) as caught:
        plan_intent(Intent("odd", ("60W",)), CONF, board_state(1), "t234")
    assert "15W, 25W, MAXN_SUPER, 7W" in caught.value.line()


def test_a_fan_profile_that_is_not_there_is_a_note_and_no_call():
    plan = plan_intent(Intent("x", ("25W",), "release", ("silent",)), CONF, board_state(1), "t234")
    assert plan.steps == ()
    assert plan.notes == ("the fan is left alone: its profiles here are quiet, cool, wished for was silent",)


def test_a_cap_without_a_clock_to_cap_is_a_note():
    state = board_state(1, tables={})
    plan = plan_intent(Intent("x", ("25W",), "keep", cpu_mhz=1000), CONF, state, "t234")
    assert plan.notes == ("the CPU has no clock that can be capped here",)


@pytest.mark.parametrize(("now", "locked"), list(product(range(3), (False, True))))
def test_restore_goes_back_from_everywhere(now, locked):
    found = find_state(CONF, board_state(now, locked=locked))
    assert found == Found(now, CONF.modes[now].name, locked, "quiet")
    away = board_state((now + 1) % 3, locked=not locked, fan_profile="cool")
    plan = plan_restore(found, CONF, away, "t234")
    assert plan.target.mode_id == now
    freed = ["release-clocks"] if not locked else []
    wanted = ["fan", *freed, "set-mode", *(["lock-clocks"] if locked else [])]
    assert verbs(plan) == wanted  # what needs no reboot comes first


def test_a_cap_that_was_there_before_comes_back():
    low = {f"{CPU}/cpu{core}/cpufreq/scaling_max_freq": 960_000 for core in (0, 1)}
    found = find_state(CONF, board_state(1, values=low))
    ends = tuple(ClockEnds(f"CPU_A78_{core}", 0, 960_000) for core in (0, 1))
    assert found == Found(1, "25W", False, "quiet", ends=ends)
    assert verbs(plan_restore(found, CONF, board_state(2), "t234")) == ["set-mode", "ends", "ends"]


def test_a_cap_in_the_memory_of_an_earlier_release_comes_back():
    found = Found(1, "25W", False, "quiet", cpu_khz=960_000)
    steps = plan_restore(found, CONF, board_state(2), "t234").steps
    assert [(step.verb, step.arguments.get("khz")) for step in steps] == [("set-mode", None), ("cap", 960_000)]


def test_ends_of_single_clocks_come_back_from_any_mode():
    """A cap on one core only, and a lower end that somebody has raised: one number a domain does not say them."""
    by_hand = {
        f"{CPU}/cpu0/cpufreq/scaling_max_freq": 960_000,
        f"{CPU}/cpu1/cpufreq/scaling_min_freq": 960_000,
    }
    before = board_state(1, values=by_hand)
    found = find_state(CONF, before)
    assert found.ends == (ClockEnds("CPU_A78_0", 0, 960_000), ClockEnds("CPU_A78_1", 960_000, 1_344_000))
    assert plan_restore(found, CONF, before, "t234").steps == ()
    steps = plan_restore(found, CONF, board_state(2, locked=True), "t234").steps
    assert [step.verb for step in steps] == ["release-clocks", "set-mode", "ends", "ends"]
    assert dict(steps[2].arguments) == {"clock": "CPU_A78_0", "low_khz": 0, "high_khz": 960_000}
    only_lost = plan_restore(found, CONF, board_state(1), "t234").steps
    assert [step.verb for step in only_lost] == ["ends", "ends"]


def test_a_clock_held_by_hand_stays_held_and_the_others_are_freed():
    by_hand = {f"{CPU}/cpu0/cpufreq/scaling_{end}_freq": 960_000 for end in ("min", "max")}
    before = board_state(1, values=by_hand)
    found = find_state(CONF, before)
    assert found.ends == (ClockEnds("CPU_A78_0", 960_000, 960_000),)
    assert plan_restore(found, CONF, before, "t234").steps == ()
    assert verbs(plan_restore(found, CONF, board_state(1, locked=True), "t234")) == ["release-clocks", "ends"]


def test_a_lower_end_below_the_modes_own_and_a_value_between_two_entries_come_back_too():
    by_hand = {f"{CPU}/cpu0/cpufreq/scaling_max_freq": 1_000_000, f"{GPU}/min_freq": 408_000_000}
    found = find_state(CONF, board_state(1, values=by_hand))
    assert found.ends == (ClockEnds("CPU_A78_0", 0, 1_000_000), ClockEnds("GPU", 408_000, 918_000))
    lowered = board_state(1, values={f"{CPU}/cpu1/cpufreq/scaling_min_freq": 700_000})
    assert find_state(CONF, lowered).ends == (ClockEnds("CPU_A78_1", 700_000, 1_344_000),)


def test_a_clock_that_was_let_above_its_mode_gets_the_modes_own_end_and_a_note_says_so():
    before = board_state(1, values={f"{CPU}/cpu0/cpufreq/scaling_max_freq": 1_728_000})
    found = find_state(CONF, before)
    assert plan_restore(found, CONF, before, "t234").steps == ()  # as it was found
    plan = plan_restore(found, CONF, board_state(2), "t234")
    assert plan.notes == ("CPU_A78_0 was let up to 1728 MHz by hand, above what 25W allows: it gets 1344",)
    assert dict(plan.steps[-1].arguments) == {"clock": "CPU_A78_0", "low_khz": 0, "high_khz": 1_344_000}


def test_ends_mean_nothing_in_another_mode():
    found = Found(0, "GONE", False, "quiet", cpu_khz=960_000, ends=(ClockEnds("CPU_A78_0", 0, 960_000),))
    assert plan_restore(found, CONF, board_state(1), "t234").steps == ()


def test_heat_is_not_taken_for_ends_of_their_own():
    low = {f"{CPU}/cpu0/cpufreq/scaling_max_freq": 960_000}
    assert find_state(CONF, board_state(1, values=low, slowed=("cpufreq-cpu0",))).ends == ()


def test_a_noted_mode_that_the_table_does_not_have_is_taken_for_the_default():
    assert find_state(CONF, board_state(1, mode_id=99)) == Found(1, "25W", False, "quiet")


def test_a_wish_survives_a_new_table_by_its_name():
    assert retarget(Target(7, "15W"), CONF) == Target(0, "15W")
    assert retarget(Target(0, "GONE"), CONF) is None


def test_a_cap_below_the_lowest_clock_is_told():
    plan = plan_intent(Intent("x", ("25W",), "keep", gpu_mhz=1), CONF, board_state(1), "t234")
    assert plan.notes == ("the GPU's lowest clock is 306 MHz, wished for was 1",)


def test_a_cap_at_the_modes_own_limit_is_none():
    assert plan_intent(Intent("x", ("15W",), "keep", gpu_mhz=900), CONF, board_state(0), "t234").steps == ()


def test_restore_finds_the_mode_by_name_because_ids_change_with_releases():
    assert plan_restore(Found(7, "15W", False, ""), CONF, board_state(1), "t234").target.mode_id == 0


def test_a_mode_that_no_longer_exists_stays_as_it_is_and_is_told():
    plan = plan_restore(Found(0, "GONE", False, "quiet"), CONF, board_state(1), "t234")
    assert plan.steps == ()
    assert "GONE is no longer in 15W, 25W, MAXN_SUPER, 7W" in plan.notes[0]


def test_a_board_that_never_noted_a_mode_came_up_in_the_default_one():
    assert find_state(CONF, board_state(1, mode_id=None)) == Found(1, "25W", False, "quiet")
