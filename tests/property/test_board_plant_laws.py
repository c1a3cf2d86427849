"""Laws of the thermal plant for every load and every room it may stand in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.simulate.plant import CPU_KHZ, GPU_HZ, THROTTLE_C, Load, PlantState, settle, start, step

shares = st.floats(0.0, 1.0)
loads = st.builds(Load, cpu=shares, gpu=shares, memory_mb=st.floats(0.0, 6000.0))
ambients = st.floats(-20.0, 70.0)
TOP_RISE_C = 125.0
"""More than the sink's largest resistance times the largest power, plus the hottest zone's own rise."""


@given(ambients, st.lists(st.tuples(loads, st.floats(0.01, 30.0)), max_size=8))
def test_temperatures_stay_between_the_room_and_the_largest_rise(
    ambient_c: float, steps: list[tuple[Load, float]]
) -> None:
    state = start(ambient_c)
    for load, dt_s in steps:
        state = step(state, load, dt_s, ambient_c)
        for celsius in (state.sink_c, *state.zones_c.values()):
            assert ambient_c - 1e-6 <= celsius <= ambient_c + TOP_RISE_C
        assert CPU_KHZ[0] <= state.cpu_khz <= CPU_KHZ[1]
        assert GPU_HZ[0] <= state.gpu_hz <= GPU_HZ[1]
        assert 0 <= state.pwm <= 255
        assert state.input_w > 0


@settings(max_examples=25, deadline=None)
@given(loads, loads, ambients)
def test_more_load_is_never_cooler_in_the_end(one: Load, other: Load, ambient_c: float) -> None:
    less = Load(min(one.cpu, other.cpu), min(one.gpu, other.gpu))
    more = Load(max(one.cpu, other.cpu), max(one.gpu, other.gpu))
    assert settle(less, ambient_c).hottest_c <= settle(more, ambient_c).hottest_c + 0.05


@settings(max_examples=25, deadline=None)
@given(loads, st.floats(-20.0, 60.0), st.floats(0.0, 10.0))
def test_a_warmer_room_is_never_cooler_in_the_end(load: Load, ambient_c: float, more_c: float) -> None:
    assert settle(load, ambient_c).hottest_c <= settle(load, ambient_c + more_c).hottest_c + 0.05


@settings(max_examples=25, deadline=None)
@given(loads, ambients)
def test_a_constant_load_comes_to_rest(load: Load, ambient_c: float) -> None:
    settled = settle(load, ambient_c)
    later = step(settled, load, 20.0, ambient_c)
    assert abs(later.hottest_c - settled.hottest_c) < 0.05
    assert abs(later.sink_c - settled.sink_c) < 0.05


@given(loads, st.floats(THROTTLE_C + 0.5, 130.0))
def test_above_the_trip_it_throttles_and_says_so(load: Load, celsius: float) -> None:
    state = replace(start(25.0), zones_c={**start(25.0).zones_c, "gpu": celsius})
    assert "gpu" in state.alerts
    assert state.throttle_level > 0
    assert step(state, Load(1.0, 1.0), 0.1, 25.0).cpu_khz < CPU_KHZ[1]


@given(st.floats(-20.0, THROTTLE_C - 0.01))
def test_below_the_trip_clocks_are_free(celsius: float) -> None:
    state = PlantState(zones_c=dict.fromkeys(start(25.0).zones_c, celsius))
    assert not state.alerts
    assert step(state, Load(1.0, 1.0), 0.1, 25.0).cpu_khz == CPU_KHZ[1]


@given(loads, ambients, st.floats(0.6, 20.0))
def test_one_long_step_is_many_short_ones(load: Load, ambient_c: float, dt_s: float) -> None:
    whole = step(start(ambient_c), load, dt_s, ambient_c)
    halves = step(step(start(ambient_c), load, dt_s / 2, ambient_c), load, dt_s / 2, ambient_c)
    assert abs(whole.hottest_c - halves.hottest_c) < 0.5
    assert abs(whole.busy_s - halves.busy_s) < 1e-6
