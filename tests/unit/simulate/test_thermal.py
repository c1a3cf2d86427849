"""The network of heat where a person can check it with a pencil."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgeagent.simulate.thermal import Air, Heater, Network, Part, advance, air_conductance, energy_j, even, rest
from edgeagent.simulate.thermal_parameters import COOLERS, ORIN_NANO

NETWORK = Network((Part("gpu", "gpu", 2.0),), (3.0, 0.0), 1.0, 10.0, 20.0, die_tau_s=2.0)
ROOM = Air(20.0)


def watts(**of: float) -> dict[Heater, float]:
    return {**dict.fromkeys(("cpu", "gpu", "dla", "soc", "rest"), 0.0), **of}  # type: ignore[dict-item]


def test_at_rest_each_resistance_has_its_share() -> None:
    heat = rest(NETWORK, watts(gpu=5.0, rest=1.0), ROOM, 1.0)
    assert heat.sink_c == pytest.approx(20.0 + 6.0 * 3.0)
    assert heat.module_c == pytest.approx(heat.sink_c + 6.0 * 1.0)
    assert heat.parts_c["gpu"] == pytest.approx(heat.module_c + 5.0 * 2.0)


def test_parts_of_one_heater_share_its_power_and_keep_their_own_rise() -> None:
    power_w = watts(soc=2.0)
    heat = rest(ORIN_NANO, power_w, ROOM, 1.0)
    for part in ORIN_NANO.parts:
        assert heat.parts_c[part.name] - heat.module_c == pytest.approx(power_w[part.heater] * part.kelvin_per_watt)


def test_a_die_goes_to_its_module_with_its_own_time_constant() -> None:
    """A module so heavy that it does not move: then 1 - 1/e after one time constant."""
    heavy = replace(NETWORK, module_j_per_k=1e9)
    heat = even(heavy, 20.0)
    for _ in range(200):
        heat = advance(heavy, heat, watts(gpu=5.0), ROOM, 1.0, 0.01)
    assert heat.parts_c["gpu"] == pytest.approx(20.0 + 10.0 * (1 - math.exp(-1)), abs=0.05)


def test_what_goes_in_is_stored_or_leaves() -> None:
    air = Air(20.0, sun_w=3.0)
    heat = even(ORIN_NANO, 35.0)
    before_j, left_j = energy_j(ORIN_NANO, heat), 0.0
    for _ in range(40):
        heat = advance(ORIN_NANO, heat, watts(cpu=3.0, gpu=8.0, soc=2.0, rest=4.0), air, 0.3, 2.0)
        left_j += air_conductance(ORIN_NANO, air, 0.3) * (heat.sink_c - 20.0) * 2.0
    assert energy_j(ORIN_NANO, heat) - before_j == pytest.approx(40 * 2.0 * (17.0 + 3.0) - left_j, rel=1e-9)


def test_sun_warms_the_sink_and_a_blocked_one_warms_more() -> None:
    power_w = watts(gpu=5.0)
    plain, sunny, blocked = (
        rest(NETWORK, power_w, air, 1.0).sink_c for air in (ROOM, Air(20.0, sun_w=4.0), Air(20.0, blocked=0.5))
    )
    assert sunny == pytest.approx(plain + 4.0 * 3.0)
    assert blocked > plain + 5.0
    assert math.isfinite(rest(NETWORK, power_w, Air(20.0, blocked=7.0), 1.0).sink_c)


def test_a_fan_helps_and_a_box_without_one_does_not_care() -> None:
    power_w = watts(gpu=5.0)
    assert rest(ORIN_NANO, power_w, ROOM, 1.0).sink_c < rest(ORIN_NANO, power_w, ROOM, 0.0).sink_c - 5.0
    fanless = COOLERS["fanless"]
    assert rest(fanless, power_w, ROOM, 1.0) == rest(fanless, power_w, ROOM, 0.0)


@pytest.mark.parametrize("dt_s", [0.0, -1.0, math.nan])
def test_a_step_that_is_none_is_refused(dt_s: float) -> None:
    with pytest.raises(ValueError, match="a step of"):
        advance(NETWORK, even(NETWORK, 20.0), watts(), ROOM, 1.0, dt_s)
