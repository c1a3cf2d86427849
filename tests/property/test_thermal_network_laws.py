"""Laws of the network of heat, for networks, loads and steps of any size."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeagent.simulate.thermal import (
    Air,
    Heat,
    Heater,
    Network,
    Part,
    advance,
    air_conductance,
    energy_j,
    even,
    rest,
)

HEATERS: tuple[Heater, ...] = ("cpu", "gpu", "dla", "soc", "rest")
positive = st.floats(0.01, 20.0)
capacities = st.floats(0.1, 2000.0)
powers = st.fixed_dictionaries({heater: st.floats(0.0, 80.0) for heater in HEATERS})
airs = st.builds(
    Air, st.floats(-30.0, 70.0), sun_w=st.floats(0.0, 50.0), blocked=st.floats(0.0, 1.0), fan_failed=st.booleans()
)
steps = st.floats(1e-3, 1e5)
shares = st.floats(0.0, 1.0)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    heaters = draw(st.lists(st.sampled_from(HEATERS), min_size=1, max_size=8))
    parts = tuple(Part(f"part{index}", heater, draw(positive)) for index, heater in enumerate(heaters))
    sink = (draw(positive), draw(st.floats(0.0, 20.0)))
    return Network(parts, sink, draw(positive), draw(capacities), draw(capacities), draw(st.floats(0.1, 60.0)))


def nodes(heat: Heat) -> list[float]:
    return [heat.module_c, heat.sink_c, *heat.parts_c.values()]


@given(networks(), powers, airs, shares, steps, st.floats(-30.0, 110.0))
def test_the_balance_of_energy_holds_over_any_step(
    network: Network, power_w: dict[Heater, float], air: Air, fan: float, dt_s: float, from_c: float
) -> None:
    before = even(network, from_c)
    after = advance(network, before, power_w, air, fan, dt_s)
    given_j = (sum(power_w.values()) + air.sun_w) * dt_s
    left_j = air_conductance(network, air, fan) * (after.sink_c - air.ambient_c) * dt_s
    gained_j = energy_j(network, after) - energy_j(network, before)
    scale = max(1.0, abs(given_j), abs(left_j), abs(energy_j(network, before)))
    assert gained_j == pytest.approx(given_j - left_j, abs=1e-7 * scale)


@given(networks(), powers, airs, shares, st.lists(steps, min_size=1, max_size=8), st.floats(-30.0, 110.0))
@example(
    Network((Part("part0", "cpu", 1.0),), (0.03125, 0.0), 0.125, 1.0, 1.0, 1.0),
    {"cpu": 0.0, "gpu": 0.0, "dla": 0.0, "soc": 0.0, "rest": 38.0},
    Air(0.0),
    0.0,
    [1.0],
    6.0,
)
def test_no_step_is_too_long(
    network: Network, power_w: dict[Heater, float], air: Air, fan: float, dts: list[float], from_c: float
) -> None:
    """Never colder than the coldest, never hotter than where it would end in air as warm as the start.

    Hotter than both start and end it may be for a while: a module heats up as long as its sink is still warm."""
    as_warm = Air(max(from_c, air.ambient_c), air.sun_w, air.blocked, air.fan_failed)
    heat = even(network, from_c)
    lowest, highest = min(from_c, air.ambient_c), max(nodes(rest(network, power_w, as_warm, fan)))
    for dt_s in dts:
        heat = advance(network, heat, power_w, air, fan, dt_s)
        assert all(lowest - 1e-6 <= celsius <= highest + 1e-6 * abs(highest) for celsius in nodes(heat))


@given(networks(), powers, airs, shares, steps, st.floats(0.0, 30.0), st.floats(-30.0, 110.0))
def test_a_warmer_room_is_never_cooler(
    network: Network, power_w: dict[Heater, float], air: Air, fan: float, dt_s: float, more_c: float, from_c: float
) -> None:
    warmer = Air(air.ambient_c + more_c, air.sun_w, air.blocked, air.fan_failed)
    pair = [nodes(advance(network, even(network, from_c), power_w, room, fan, dt_s)) for room in (air, warmer)]
    assert all(cool <= warm + 1e-9 for cool, warm in zip(*pair, strict=True))


@given(networks(), powers, airs, shares, st.sampled_from(HEATERS), st.floats(0.0, 50.0))
def test_more_power_is_never_cooler(
    network: Network, power_w: dict[Heater, float], air: Air, fan: float, heater: Heater, more_w: float
) -> None:
    more = {**power_w, heater: power_w[heater] + more_w}
    pair = [nodes(rest(network, power, air, fan)) for power in (power_w, more)]
    assert all(cool <= warm + 1e-9 * abs(warm) for cool, warm in zip(*pair, strict=True))


@given(networks(), powers, airs, shares, steps)
def test_rest_is_rest(network: Network, power_w: dict[Heater, float], air: Air, fan: float, dt_s: float) -> None:
    heat = rest(network, power_w, air, fan)
    later = advance(network, heat, power_w, air, fan, dt_s)
    assert nodes(later) == pytest.approx(nodes(heat), abs=1e-6 * max(1.0, *map(abs, nodes(heat))))
