"""Laws of the thermal plant for every board, every load and every room it may stand in."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.simulate.board_list import SPECS
from edgeagent.simulate.plant import Caps, Load, PlantState, settle, start, step
from edgeagent.simulate.plant_files import cpu_list, plant_files, watts
from edgeagent.simulate.plant_spec import PlantSpec

PLANTS = sorted(SPECS)
shares = st.floats(0.0, 1.0)
loads = st.builds(Load, cpu=shares, gpu=shares, memory_mb=st.floats(0.0, 6000.0), dla=shares)
ambients = st.floats(-20.0, 60.0)
names = st.sampled_from(PLANTS)


@st.composite
def limits(draw: st.DrawFn, plant: PlantSpec) -> Caps:
    """What any power mode and any tool may set, sensible or not."""
    cores = draw(st.sets(st.integers(0, plant.cores - 1), min_size=1))
    khz, hz = st.integers(0, 2 * plant.cpu_khz[1]), st.integers(0, 2 * plant.gpu_hz[1] + 1)
    return Caps(
        draw(khz),
        draw(hz),
        tuple(sorted(cores)),
        draw(khz),
        draw(hz),
        draw(st.sampled_from(["", "quiet", "cool", "unheard-of"])),
        draw(st.none() | st.floats(-100.0, 1000.0)),
    )


def rise_c(plant: PlantSpec) -> float:
    """More than the sink's largest resistance times the largest power, plus the hottest part's own rise."""
    inside = 1.2 * (1.1 * plant.cpu_top_w + 1.1 * plant.gpu_top_w + plant.dla_top_w) + plant.soc_idle_w
    power = (inside + plant.cores_idle_w) / plant.efficiency + plant.board_w
    return power * (plant.network.still_kelvin_per_watt + max(part.kelvin_per_watt for part in plant.parts))


def all_at(plant: PlantSpec, celsius: float) -> PlantState:
    cold = start(plant, 25.0)
    return replace(cold, parts_c=dict.fromkeys(cold.parts_c, celsius))


@settings(deadline=None)
@given(st.data(), names, ambients)
def test_never_below_the_room_never_out_of_bounds_never_nan(data: st.DataObject, name: str, ambient_c: float) -> None:
    plant = SPECS[name].plant
    state = start(plant, ambient_c)
    for load, dt_s in data.draw(st.lists(st.tuples(loads, st.floats(0.01, 30.0)), max_size=6)):
        state = step(replace(state, caps=data.draw(limits(plant))), load, dt_s, ambient_c)
        for celsius in (state.sink_c, *state.parts_c.values()):
            assert ambient_c - 1e-6 <= celsius <= ambient_c + rise_c(plant)
        assert plant.cpu_khz[0] <= state.cpu_khz <= plant.cpu_khz[1]
        assert plant.gpu_hz[0] <= state.gpu_hz <= plant.gpu_hz[1]
        assert 0 <= state.pwm <= 255
        assert 0 <= state.rpm <= plant.fan_top_rpm
        assert 0 < state.input_w < math.inf


@settings(max_examples=60, deadline=None)
@given(st.data(), names, loads, ambients)
def test_rails_add_up_to_the_input(data: st.DataObject, name: str, load: Load, ambient_c: float) -> None:
    plant = SPECS[name].plant
    state = step(start(plant, ambient_c, data.draw(limits(plant))), load, 5.0, ambient_c)
    flows = watts(state)
    assert sum(flows.values()) - flows["input"] == pytest.approx(flows["input"])
    assert min(flows.values()) >= 0


@settings(max_examples=25, deadline=None)
@given(names, loads, loads, ambients)
def test_more_load_never_costs_less_and_is_never_cooler(name: str, one: Load, other: Load, ambient_c: float) -> None:
    """Power at one moment, where heat has not yet slowed anything down; temperature in the end."""
    plant = SPECS[name].plant
    less = Load(min(one.cpu, other.cpu), min(one.gpu, other.gpu), dla=min(one.dla, other.dla))
    more = Load(max(one.cpu, other.cpu), max(one.gpu, other.gpu), dla=max(one.dla, other.dla))
    now = [step(start(plant, ambient_c), load, 0.1, ambient_c).input_w for load in (less, more)]
    assert now[0] <= now[1] + 1e-9
    assert settle(plant, less, ambient_c).hottest_c <= settle(plant, more, ambient_c).hottest_c + 0.05


@settings(max_examples=25, deadline=None)
@given(names, loads, st.floats(-20.0, 50.0), st.floats(0.0, 10.0))
def test_a_warmer_room_is_never_cooler_in_the_end(name: str, load: Load, ambient_c: float, more_c: float) -> None:
    plant = SPECS[name].plant
    assert settle(plant, load, ambient_c).hottest_c <= settle(plant, load, ambient_c + more_c).hottest_c + 0.05


@settings(max_examples=25, deadline=None)
@given(names, loads, ambients)
def test_a_constant_load_comes_to_rest(name: str, load: Load, ambient_c: float) -> None:
    settled = settle(SPECS[name].plant, load, ambient_c)
    later = step(settled, load, 20.0, ambient_c)
    assert abs(later.hottest_c - settled.hottest_c) < 0.1
    assert abs(later.sink_c - settled.sink_c) < 0.1


@given(names, loads, st.floats(0.5, 30.0))
def test_above_the_trip_it_throttles_and_says_so(name: str, load: Load, above_c: float) -> None:
    plant = SPECS[name].plant
    part = plant.parts[0].name
    cold = start(plant, 25.0)
    state = replace(cold, parts_c={**cold.parts_c, part: plant.throttle_c + above_c})
    assert state.alerts == {part}
    assert state.throttle_level > 0
    slowed = step(state, replace(load, cpu=1.0, gpu=1.0), 0.1, 25.0)
    assert slowed.cpu_khz < plant.cpu_khz[1]
    assert slowed.gpu_hz < plant.gpu_hz[1] or not plant.gpu_hz[1]


@given(names, st.floats(0.01, 100.0))
def test_below_the_trip_clocks_are_free(name: str, below_c: float) -> None:
    plant = SPECS[name].plant
    state = all_at(plant, plant.throttle_c - below_c)
    assert not state.alerts
    free = step(state, Load(1.0, 1.0), 0.1, 25.0)
    assert (free.cpu_khz, free.gpu_hz) == (plant.cpu_khz[1], plant.gpu_hz[1])


@settings(max_examples=60, deadline=None)
@given(names, loads, ambients, st.floats(0.6, 20.0))
def test_one_long_step_is_many_short_ones(name: str, load: Load, ambient_c: float, dt_s: float) -> None:
    plant = SPECS[name].plant
    whole = step(start(plant, ambient_c), load, dt_s, ambient_c)
    halves = step(step(start(plant, ambient_c), load, dt_s / 2, ambient_c), load, dt_s / 2, ambient_c)
    assert abs(whole.hottest_c - halves.hottest_c) < 1.0
    assert abs(whole.busy_s - halves.busy_s) < 1e-6


@settings(max_examples=60, deadline=None)
@given(st.data(), names, loads, ambients)
def test_every_state_can_be_written(data: st.DataObject, name: str, load: Load, ambient_c: float) -> None:
    spec = SPECS[name]
    state = step(start(spec.plant, ambient_c, data.draw(limits(spec.plant))), load, 3.0, ambient_c)
    content = plant_files(spec, state)
    assert all(text.endswith(b"\n") and b"nan" not in text for text in content.values())
    online = [line.split()[0] for line in content["stat"].decode().splitlines() if line.startswith("cpu")]
    assert online == ["cpu", *(f"cpu{core}" for core in state.caps.online)]


@given(st.sets(st.integers(0, 40)))
def test_core_lists_read_back(cores: set[int]) -> None:
    text = cpu_list(cores)
    spans = [span.partition("-") for span in text.split(",") if span]
    back = {core for low, _, high in spans for core in range(int(low), int(high or low) + 1)}
    assert back == cores
    assert "," not in text or len(spans) <= len(cores)


@pytest.mark.parametrize("name", PLANTS)
def test_the_record_s_trips_are_the_plant_s(name: str) -> None:
    spec = SPECS[name]
    slowing = [
        trip.temperature / 1000
        for zone in spec.zones
        for trip in zone.trips
        if trip.kind == "passive" and any(bound.endswith("-throttle-alert") for bound in trip.bound)
    ]
    critical = [trip.temperature / 1000 for zone in spec.zones for trip in zone.trips if trip.kind == "critical"]
    assert set(slowing) <= {spec.plant.throttle_c}
    assert spec.plant.critical_c == min(critical)
    assert (spec.kind == "pc") == (not slowing)


@pytest.mark.parametrize("name", PLANTS)
def test_every_zone_has_its_part_and_every_alert_its_zone(name: str) -> None:
    spec = SPECS[name]
    parts = {part.name for part in spec.plant.parts}
    sensed = {zone.part for zone in spec.zones if isinstance(zone.part, str) and zone.dark != "always"}
    assert sensed <= parts | {"tj"}
    assert spec.cpu.table_khz[0] == spec.plant.cpu_khz[0]
    assert spec.cpu.table_khz[-1] == spec.plant.cpu_khz[1]
    assert spec.gpu is None or (spec.gpu.table_hz[0], spec.gpu.table_hz[-1]) == spec.plant.gpu_hz


@pytest.mark.parametrize("name", [name for name in PLANTS if name != "pc"])
def test_a_normal_room_never_throttles_a_board_and_a_hot_one_does(name: str) -> None:
    plant = SPECS[name].plant
    everything = Load(1.0, 1.0, dla=1.0 if plant.dla_top_w else 0.0)
    cool, hot = settle(plant, everything, 20.0), settle(plant, everything, 62.0)
    assert not cool.alerts
    assert hot.alerts
    assert hot.hottest_c < plant.critical_c
    assert (hot.cpu_khz, hot.gpu_hz) < (cool.cpu_khz, cool.gpu_hz)
