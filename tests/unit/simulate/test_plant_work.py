"""What the work of processes means for a board: load, frames, progress."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeagent.simulate.board_spec_orin import ORIN_NANO_PLANT as SPEC
from edgeagent.simulate.plant import Load, Slices, start, step
from edgeagent.simulate.plant_load import air_of, overridden
from edgeagent.simulate.plant_work import Work, build_progress, clock_share, frames_kept, load_of
from edgeagent.simulate.thermal import Air

COLD = start(SPEC, 25.0)
HOT = replace(COLD, parts_c=dict.fromkeys(COLD.parts_c, SPEC.throttle_c + SPEC.throttle_band_c))


def test_one_busy_core_is_a_whole_build_and_two_are_no_more() -> None:
    one, two = load_of(Work(build=1.0), 6), load_of(Work(build=2.0), 6)
    assert one == two
    assert (one.share, one.working.gpu, one.resting.gpu) == (1.0, 1.0, 0.0)
    assert one.working.cpu > 0.5 > one.resting.cpu


def test_cameras_heat_one_core_of_the_board() -> None:
    idle, busy = load_of(Work(), 6).mean, load_of(Work(other=1.0), 6).mean
    assert busy.cpu - idle.cpu == pytest.approx(1 / 6)
    assert busy.gpu == 0.0


def test_a_real_gpu_s_power_goes_before_what_the_work_says() -> None:
    assert load_of(Work(build=1.0), 6, gpu_share=0.3).mean.gpu == pytest.approx(0.3)


def test_memory_is_what_is_held_where_that_is_known() -> None:
    assert load_of(Work(memory_mb=700.0), 6).mean.memory_mb == 700.0
    assert load_of(Work(build=1.0), 6).mean.memory_mb > load_of(Work(), 6).mean.memory_mb


def test_frames_are_lost_only_to_a_build_that_leaves_too_little() -> None:
    assert frames_kept(Work(build=1.0), 1.0) == 1.0
    assert frames_kept(Work(build=1.0, infer=0.4), 1.0) == 1.0
    assert frames_kept(Work(build=1.0, infer=0.8), 1.0) == pytest.approx(0.5 / 0.8)
    assert frames_kept(Work(build=0.5, infer=0.8), 1.0) == pytest.approx((0.5 / 0.8 + 1.0) / 2)
    assert frames_kept(Work(infer=0.8), 0.4) == pytest.approx(0.5)


def test_a_build_shares_the_gpu_and_gets_at_least_half() -> None:
    assert build_progress(Work(build=1.0), 1.0) == 1.0
    assert build_progress(Work(build=1.0, infer=0.3), 1.0) == pytest.approx(0.7)
    assert build_progress(Work(build=1.0, infer=0.9), 1.0) == pytest.approx(0.5)
    assert build_progress(Work(build=0.5), 0.5) == pytest.approx(0.25)


def test_a_clock_that_rests_is_no_less_of_a_clock_and_a_throttled_one_is() -> None:
    assert clock_share(step(COLD, Load(), 1.0, 25.0)) == 1.0
    assert clock_share(HOT) == pytest.approx(SPEC.gpu_hz[0] / SPEC.gpu_hz[1])


def test_slices_cost_more_than_their_mean() -> None:
    """Half of the time at full clocks takes more power than half the load all the time at lower ones."""
    slices = Slices(Load(gpu=1.0), Load(gpu=0.0), 0.5)
    sliced, even = (step(COLD, load, 0.25, 25.0) for load in (slices, slices.mean))
    whole = step(COLD, slices.working, 0.25, 25.0)
    assert even.gpu_w < sliced.gpu_w == pytest.approx(whole.gpu_w / 2)
    assert sliced.gpu_busy == 0.5


@pytest.mark.parametrize(("share", "like"), [(1.0, "working"), (0.0, "resting"), (7.0, "working")])
def test_slices_without_a_change_are_their_load(share: float, like: str) -> None:
    slices = Slices(Load(cpu=0.4, gpu=1.0), Load(cpu=0.1), share)
    sliced, plain = (step(COLD, load, 2.0, 25.0) for load in (slices, getattr(slices, like)))
    assert sliced.input_w == pytest.approx(plain.input_w)
    assert sliced.hottest_c == pytest.approx(plain.hottest_c)


def test_the_load_file_goes_before_the_work() -> None:
    slices = overridden(load_of(Work(build=0.5), 6), {"gpu": 0.25, "oc1": 3.0})
    assert (slices.working.gpu, slices.resting.gpu, slices.share) == (0.25, 0.25, 0.5)


def test_the_load_file_makes_the_weather() -> None:
    assert air_of({}, 30.0) == Air(30.0)
    values = {"ambient_c": 60.0, "sun_w": 12.0, "blocked": 0.7, "fan_failed": 1.0}
    assert air_of(values, 30.0) == Air(60.0, sun_w=12.0, blocked=0.7, fan_failed=True)


def test_a_fan_that_failed_stands_still_and_the_board_gets_hotter() -> None:
    load = Load(gpu=1.0, cpu=0.5)
    turning, failed = (step(COLD, load, 900.0, air) for air in (Air(25.0), Air(25.0, fan_failed=True)))
    assert failed.rpm == pytest.approx(0.0, abs=1.0)
    assert failed.pwm >= turning.pwm
    assert failed.hottest_c > turning.hottest_c + 5.0
