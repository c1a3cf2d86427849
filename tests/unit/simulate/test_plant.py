"""The plant's numbers where a person would check them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgeagent.simulate.board_spec_orin import AGX_ORIN_R36
from edgeagent.simulate.board_spec_orin import ORIN_NANO_PLANT as SPEC
from edgeagent.simulate.plant import Caps, Load, PlantState, settle, start, step

IDLE = settle(SPEC, Load(), 25.0)
FULL = settle(SPEC, Load(cpu=1.0, gpu=1.0), 25.0)
CPU_KHZ, GPU_HZ = SPEC.cpu_khz, SPEC.gpu_hz


def at(celsius: float, **others: float) -> PlantState:
    """The board with every sensor at one temperature."""
    cold = start(SPEC, 25.0)
    return replace(cold, parts_c=dict.fromkeys(cold.parts_c, celsius), **others)  # type: ignore[arg-type]


def limited(**limits: object) -> Caps:
    return replace(SPEC.free, **limits)  # type: ignore[arg-type]


def test_idle_and_full_are_where_reports_put_them() -> None:
    assert 4.0 < IDLE.input_w < 6.0
    assert 38.0 < IDLE.hottest_c < 46.0
    assert 18.0 < FULL.input_w < 25.0
    assert 75.0 < FULL.hottest_c < 95.0


def test_clocks_follow_load_up_to_the_cap() -> None:
    assert (IDLE.cpu_khz, IDLE.gpu_hz) == (729_600, GPU_HZ[0])
    assert (FULL.cpu_khz, FULL.gpu_hz) == (CPU_KHZ[1], GPU_HZ[1])
    capped = settle(SPEC, Load(1.0, 1.0), 25.0, limited(cpu_khz=1_344_000, gpu_hz=612_000_000))
    assert (capped.cpu_khz, capped.gpu_hz) == (1_344_000, 612_000_000)
    assert capped.input_w < FULL.input_w


def test_fewer_cores_draw_less() -> None:
    assert (
        settle(SPEC, Load(cpu=1.0), 25.0, limited(online=(0, 1, 2, 3))).cpu_gpu_w
        < settle(SPEC, Load(cpu=1.0), 25.0).cpu_gpu_w
    )


def test_the_fan_works_harder_on_a_hot_board() -> None:
    assert IDLE.pwm < 90 < FULL.pwm
    assert FULL.rpm > 2 * IDLE.rpm


def test_the_fan_lags_behind_its_pwm() -> None:
    hot = at(95.0, rpm=1000.0)
    soon = step(hot, Load(1.0, 1.0), 0.5, 25.0)
    assert soon.pwm == 255
    assert 1000.0 < soon.rpm < 2500.0


def test_a_hot_room_throttles_and_the_alert_says_so() -> None:
    state = settle(SPEC, Load(1.0, 1.0), 60.0)
    assert 99.0 < state.hottest_c < 103.0
    assert "gpu" in state.alerts
    assert state.cpu_khz < CPU_KHZ[1]
    assert not FULL.alerts


def test_far_above_the_trip_clocks_are_at_their_floor() -> None:
    state = at(110.0)
    soon = step(state, Load(1.0, 1.0), 0.1, 100.0)
    assert (soon.cpu_khz, soon.gpu_hz) == (CPU_KHZ[0], GPU_HZ[0])


def test_the_hot_spot_is_where_the_work_is() -> None:
    assert settle(SPEC, Load(gpu=1.0), 25.0).parts_c["gpu"] > settle(SPEC, Load(gpu=1.0), 25.0).parts_c["cpu"]
    assert settle(SPEC, Load(cpu=1.0), 25.0).parts_c["cpu"] > settle(SPEC, Load(cpu=1.0), 25.0).parts_c["gpu"]


def test_time_is_accounted_for() -> None:
    state = step(start(SPEC, 25.0), Load(cpu=0.25), 8.0, 25.0)
    assert state.uptime_s == pytest.approx(8.0)
    assert (state.busy_s, state.idle_s) == (pytest.approx(2.0), pytest.approx(6.0))


def test_no_time_changes_nothing() -> None:
    assert step(FULL, Load(), 0.0, 25.0) is FULL
    assert step(FULL, Load(), -1.0, 25.0) is FULL


def test_peaks_count_only_under_heavy_power() -> None:
    assert IDLE.oc3_events == 0
    assert FULL.oc3_events > 0


@pytest.mark.parametrize("limits", [{"gpu_hz": 918_000_000}, {"cpu_khz": 1_344_000}])
def test_a_mode_that_caps_a_clock_has_no_peaks(limits: dict[str, int]) -> None:
    assert settle(SPEC, Load(cpu=1.0, gpu=1.0), 25.0, limited(**limits)).oc3_events == 0


def test_locked_clocks_stay_up_without_work_and_cost_power() -> None:
    locked = settle(SPEC, Load(), 25.0, limited(cpu_min_khz=CPU_KHZ[1], gpu_min_hz=GPU_HZ[1]))
    assert (locked.cpu_khz, locked.gpu_hz) == (CPU_KHZ[1], GPU_HZ[1])
    assert locked.input_w > IDLE.input_w + 0.5


def test_locked_clocks_give_way_to_heat() -> None:
    hot = replace(at(110.0), caps=limited(cpu_min_khz=CPU_KHZ[1]))
    assert step(hot, Load(), 0.1, 100.0).cpu_khz == CPU_KHZ[0]


def test_the_cool_profile_turns_faster_and_a_held_fan_stays() -> None:
    load = Load(0.5, 0.5)
    quiet, cool = (settle(SPEC, load, 25.0, limited(fan=fan)) for fan in ("quiet", "cool"))
    assert cool.pwm > quiet.pwm
    assert cool.hottest_c < quiet.hottest_c
    assert settle(SPEC, load, 25.0, limited(pwm=0.0)).rpm == pytest.approx(0.0, abs=1.0)
    assert settle(SPEC, load, 25.0, limited(fan="unheard-of")).pwm == quiet.pwm


def test_a_dla_heats_only_where_there_is_one() -> None:
    with_dla = AGX_ORIN_R36.plant
    assert settle(with_dla, Load(dla=1.0), 25.0).dla_w > 5
    assert settle(SPEC, Load(dla=1.0), 25.0).input_w == IDLE.input_w


def test_memory_follows_what_is_wanted() -> None:
    assert step(start(SPEC, 25.0), Load(memory_mb=2000.0), 60.0, 25.0).memory_mb == pytest.approx(3700.0, abs=1.0)


@pytest.mark.parametrize("share", [-1.0, 7.0, math.nan, math.inf])
def test_strange_shares_are_clamped(share: float) -> None:
    state = step(start(SPEC, 25.0), Load(cpu=share, gpu=share), 1.0, 25.0)
    assert 0.0 <= state.gpu_busy <= 1.0
    assert math.isfinite(state.hottest_c)
