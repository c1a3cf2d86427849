"""The plant's numbers where a person would check them."""

from __future__ import annotations

import math

import pytest

from edgeagent.simulate.plant import CPU_KHZ, GPU_HZ, Caps, Load, PlantState, settle, start, step

IDLE = settle(Load(), 25.0)
FULL = settle(Load(cpu=1.0, gpu=1.0), 25.0)


def test_idle_and_full_are_where_reports_put_them() -> None:
    assert 4.0 < IDLE.input_w < 6.0
    assert 38.0 < IDLE.hottest_c < 46.0
    assert 18.0 < FULL.input_w < 25.0
    assert 75.0 < FULL.hottest_c < 95.0


def test_clocks_follow_load_up_to_the_cap() -> None:
    assert (IDLE.cpu_khz, IDLE.gpu_hz) == (729_600, GPU_HZ[0])
    assert (FULL.cpu_khz, FULL.gpu_hz) == (CPU_KHZ[1], GPU_HZ[1])
    capped = settle(Load(1.0, 1.0), 25.0, Caps(cpu_khz=1_344_000, gpu_hz=612_000_000))
    assert (capped.cpu_khz, capped.gpu_hz) == (1_344_000, 612_000_000)
    assert capped.input_w < FULL.input_w


def test_fewer_cores_draw_less() -> None:
    assert settle(Load(cpu=1.0), 25.0, Caps(cores=4)).cpu_gpu_w < settle(Load(cpu=1.0), 25.0).cpu_gpu_w


def test_the_fan_works_harder_on_a_hot_board() -> None:
    assert IDLE.pwm < 90 < FULL.pwm
    assert FULL.rpm > 2 * IDLE.rpm


def test_the_fan_lags_behind_its_pwm() -> None:
    hot = PlantState(zones_c=dict.fromkeys(start(25.0).zones_c, 95.0), rpm=1000.0)
    soon = step(hot, Load(1.0, 1.0), 0.5, 25.0)
    assert soon.pwm == 255
    assert 1000.0 < soon.rpm < 2500.0


def test_a_hot_room_throttles_and_the_alert_says_so() -> None:
    state = settle(Load(1.0, 1.0), 60.0)
    assert 99.0 < state.hottest_c < 103.0
    assert "gpu" in state.alerts
    assert state.cpu_khz < CPU_KHZ[1]
    assert not FULL.alerts


def test_far_above_the_trip_clocks_are_at_their_floor() -> None:
    state = PlantState(zones_c=dict.fromkeys(start(25.0).zones_c, 110.0))
    soon = step(state, Load(1.0, 1.0), 0.1, 100.0)
    assert (soon.cpu_khz, soon.gpu_hz) == (CPU_KHZ[0], GPU_HZ[0])


def test_the_hot_spot_is_where_the_work_is() -> None:
    assert settle(Load(gpu=1.0), 25.0).zones_c["gpu"] > settle(Load(gpu=1.0), 25.0).zones_c["cpu"]
    assert settle(Load(cpu=1.0), 25.0).zones_c["cpu"] > settle(Load(cpu=1.0), 25.0).zones_c["gpu"]


def test_time_is_accounted_for() -> None:
    state = step(start(25.0), Load(cpu=0.25), 8.0, 25.0)
    assert state.uptime_s == pytest.approx(8.0)
    assert (state.busy_s, state.idle_s) == (pytest.approx(2.0), pytest.approx(6.0))


def test_no_time_changes_nothing() -> None:
    assert step(FULL, Load(), 0.0, 25.0) is FULL
    assert step(FULL, Load(), -1.0, 25.0) is FULL


def test_peaks_count_only_under_heavy_power() -> None:
    assert IDLE.oc3_events == 0
    assert FULL.oc3_events > 0


def test_memory_follows_what_is_wanted() -> None:
    assert step(start(25.0), Load(memory_mb=2000.0), 60.0, 25.0).memory_mb == pytest.approx(3700.0, abs=1.0)


@pytest.mark.parametrize("share", [-1.0, 7.0, math.nan, math.inf])
def test_strange_shares_are_clamped(share: float) -> None:
    state = step(start(25.0), Load(cpu=share, gpu=share), 1.0, 25.0)
    assert 0.0 <= state.gpu_busy <= 1.0
    assert math.isfinite(state.hottest_c)
