"""Whether a board is in the state asked for: judged by its files, never by a tool's word."""

from __future__ import annotations

import pytest
from power_kit import CPU, GPU, MASK, board_conf, board_state

from edgeagent.power.clocks import cap_khz, clocks_locked
from edgeagent.power.verify import Target, mode_in_force, verify, why_reboot

CONF = board_conf()


@pytest.mark.parametrize("mode", CONF.modes, ids=lambda mode: mode.name)
def test_a_mode_that_is_in_force_is_found_in_force(mode):
    state = board_state(mode.id)
    verdict = verify(Target(mode.id, mode.name, clocks="release"), CONF, state)
    assert verdict.mismatches == ()
    assert verdict.checked >= 6
    assert mode_in_force(mode, CONF, state)


def test_a_status_file_that_lies_is_found_out():
    """What nvpmodel does in a container: it notes the mode and touches nothing."""
    state = board_state(0, mode_id=2)
    verdict = verify(Target(2, "MAXN_SUPER"), CONF, state)
    assert {fault.what for fault in verdict.faults} == {
        "the highest clock of CPU_A78_0",
        "the highest clock of CPU_A78_1",
        "the highest clock of GPU",
    }


def test_another_noted_mode_is_a_fault_although_the_values_fit():
    verdict = verify(Target(1, "25W"), CONF, board_state(1, mode_id=0))
    assert [str(fault) for fault in verdict.faults] == ["the mode that nvpmodel noted is 15W, not 25W"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({MASK: 252, f"{CPU}/cpu1/online": 0}, "TPC_POWER_GATING TPC_PG_MASK is 252, not 240"),
        ({f"{CPU}/cpu1/online": 0}, "core 1 is offline, not online"),
        ({f"{GPU}/max_freq": 612_000_000}, "the highest clock of GPU is 612000000, not 918000000"),
    ],
)
def test_each_kind_of_value_is_compared(values, words):
    verdict = verify(Target(1, "25W"), CONF, board_state(1, values=values))
    assert words in [str(fault) for fault in verdict.faults]


def test_a_clock_that_heat_holds_down_is_told_but_no_fault():
    hot = board_state(1, values={f"{GPU}/max_freq": 510_000_000}, slowed=("devfreq-17000000.gpu",))
    verdict = verify(Target(1, "25W"), CONF, hot)
    assert verdict.faults == ()
    assert [str(mismatch) for mismatch in verdict.mismatches] == [
        "the highest clock of GPU is 510000000, not 918000000 (held down by heat)"
    ]


def test_a_mask_that_a_board_shows_otherwise_is_told_but_no_fault():
    """Seen on Xavier NX: 1 in the table, 2 in sysfs, everything else right."""
    odd = board_state(1, values={MASK: 2})
    verdict = verify(Target(1, "25W"), CONF, odd)
    assert verdict.faults == ()
    assert len(verdict.mismatches) == 1
    assert mode_in_force(CONF.modes[1], CONF, odd)
    assert why_reboot(CONF.modes[2], CONF, odd, "t234") == ""  # the same mask in the table


def test_a_mask_is_a_fault_where_the_clocks_are_wrong_too():
    waiting = board_state(1, mode_id=3)  # 7W is noted and comes with the next boot
    assert not mode_in_force(CONF.modes[3], CONF, waiting)


def test_a_clock_above_the_mode_is_a_fault_even_on_a_hot_board():
    hot = board_state(0, values={f"{GPU}/max_freq": 1_020_000_000}, slowed=("devfreq-17000000.gpu",))
    assert len(verify(Target(0, "15W"), CONF, hot).faults) == 1


def test_files_that_are_missing_are_not_counted():
    bare = board_state(1, mode_id=None)
    state = type(bare)(boot_id="x")
    verdict = verify(Target(1, "25W", clocks="lock"), CONF, state)
    assert (verdict.checked, verdict.faults) == (0, ())


def test_what_tools_wrote_down_counts_for_nothing():
    """The noted mode and the fan's file are right, and no file of the hardware can be read."""
    bare = board_state(1)
    state = type(bare)(boot_id="x", mode_id=1, fan_profile="cool", fan_profiles=("cool",))
    verdict = verify(Target(1, "25W", clocks="lock", fan="cool"), CONF, state)
    assert (verdict.checked, verdict.faults) == (0, ())


def test_one_clock_that_is_held_is_not_free():
    held = board_state(1, values={f"{CPU}/cpu0/cpufreq/scaling_min_freq": 1_344_000})
    faults = verify(Target(1, "25W", clocks="release"), CONF, held).faults
    assert [str(fault) for fault in faults] == ["the state of the clocks is held: CPU_A78_0, not free"]


def test_a_clock_with_only_its_lowest_step_left_is_not_held():
    floor = {f"{CPU}/cpu{core}/cpufreq/scaling_max_freq": 729_600 for core in (0, 1)}
    faults = verify(Target(1, "25W", clocks="release", cpu_khz=729_600), CONF, board_state(1, values=floor)).faults
    assert faults == ()


def test_a_mode_that_the_table_lost_is_a_fault():
    assert len(verify(Target(77, "GONE"), CONF, board_state(1)).faults) == 2


@pytest.mark.parametrize(
    ("locked", "wanted", "fits"),
    [
        (True, "lock", True),
        (False, "lock", False),
        (True, "release", False),
        (False, "release", True),
        (True, "keep", True),
    ],
)
def test_clock_locks(locked, wanted, fits):
    state = board_state(1, locked=locked)
    assert clocks_locked(CONF, state) is locked
    assert (verify(Target(1, "25W", clocks=wanted), CONF, state).faults == ()) is fits


def test_an_offline_core_says_nothing_about_locks_or_caps():
    stale = {f"{CPU}/cpu1/cpufreq/scaling_min_freq": 729_600, f"{CPU}/cpu1/cpufreq/scaling_max_freq": 1_728_000}
    state = board_state(3, locked=True, values=stale)
    assert clocks_locked(CONF, state) is True
    assert verify(Target(3, "7W", clocks="lock"), CONF, state).faults == ()


def test_a_cap_is_what_the_clock_must_show():
    capped = {f"{CPU}/cpu{core}/cpufreq/scaling_max_freq": 960_000 for core in (0, 1)}
    state = board_state(1, values=capped)
    assert verify(Target(1, "25W", cpu_khz=960_000), CONF, state).faults == ()
    assert len(verify(Target(1, "25W"), CONF, state).faults) == 2
    assert cap_khz(CONF, "cpu", 1000, state) == 960_000  # the entry of the table below
    assert cap_khz(CONF, "gpu", 500, state) == 408_000


def test_a_cap_above_the_modes_own_limit_asks_for_the_limit():
    assert verify(Target(0, "15W", gpu_khz=918_000), CONF, board_state(0)).faults == ()


@pytest.mark.parametrize(
    ("now", "wanted", "soc", "reason"),
    [
        (1, 2, "t234", ""),
        (1, 3, "t234", "core 1 goes offline"),
        (3, 1, "t234", "TPC_POWER_GATING changes from 252 to 240"),
        (1, 3, "t194", "TPC_POWER_GATING changes from 240 to 252"),
    ],
)
def test_reboots_are_foreseen_from_masks_and_cores(now, wanted, soc, reason):
    assert why_reboot(CONF.modes[wanted], CONF, board_state(now), soc) == reason


def test_cores_go_offline_live_before_orin():
    state = board_state(1, mode_id=None, values={MASK: 252})
    assert why_reboot(CONF.modes[3], CONF, state, "t194") == ""
    assert why_reboot(CONF.modes[3], CONF, state, "t264") == "core 1 goes offline"
