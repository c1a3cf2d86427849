"""A lumped RC network: how heat goes from the parts of a die to the air. Pure.

A star, one per board. Each node has a heat capacity (J/K), each edge a conductance (W/K):

    part of the die --+
    part of the die --+-- module (package, spreader, board) -- heat sink -- air
    part of the die --+                                            ^ the fan's share; sun

A heater's power is shared by the parts that it heats; what no part takes goes into the module. Nothing else loses heat,
so that what goes in is what is stored plus what goes into the air.

`advance` is the implicit Euler method. It is unconditionally stable for a passive network (its matrix is an M-matrix):
for any step no temperature overshoots, none falls below the coldest of its surroundings, a warmer room is never
cooler, and the balance of energy holds exactly over the step. Its error is of first order in the step: with steps of a
tenth of the die's time constant, a quarter of a degree while the die warms up, and none at rest. A star is solved by
elimination in one pass, without a matrix.

The numbers of each board are in `thermal_parameters`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Heater = Literal["cpu", "gpu", "dla", "soc", "rest"]
"""Who gives the heat. `rest` is what no other heater is: idle cores, regulators, the carrier board."""
_FAN_REACH = 2.4
"""How fast the fan's effect saturates: at full speed exp(-2.4), 9 %, of what standing still adds is left."""
_ALWAYS_OPEN = 0.15
"""What a blocked heat sink still loses, through its base and by radiation."""


@dataclass(frozen=True)
class Part:
    """A part of the die with a sensor of its own: what heats it, and K/W above the module with all of that power."""

    name: str
    heater: Heater
    kelvin_per_watt: float


@dataclass(frozen=True)
class Network:
    """A board's way of the heat.

    `sink` is K/W from the heat sink to the air with the fan at full speed, and what standing still adds to it.
    `die_tau_s` is the time constant of every part of the die against the module.
    """

    parts: tuple[Part, ...]
    sink: tuple[float, float]
    module_kelvin_per_watt: float
    module_j_per_k: float
    sink_j_per_k: float
    die_tau_s: float = 2.5

    @property
    def still_kelvin_per_watt(self) -> float:
        """From the module to the air with the fan standing still: the most that this board can warm up a watt."""
        return self.module_kelvin_per_watt + sum(self.sink)


@dataclass(frozen=True)
class Air:
    """What is around a board: the air's temperature, sunlight on the sink, how much of its fins is blocked (0..1)."""

    ambient_c: float
    sun_w: float = 0.0
    blocked: float = 0.0
    fan_failed: bool = False


@dataclass(frozen=True)
class Heat:
    """Temperatures of a network's nodes, C."""

    module_c: float
    sink_c: float
    parts_c: Mapping[str, float]


def even(network: Network, celsius: float) -> Heat:
    """Everything at one temperature."""
    return Heat(celsius, celsius, {part.name: celsius for part in network.parts})


def air_conductance(network: Network, air: Air, fan_share: float) -> float:
    """W/K between the heat sink and the air. `fan_share` is the fan's speed as a share of its highest."""
    full, still = network.sink
    open_share = 1.0 - (1.0 - _ALWAYS_OPEN) * min(1.0, max(0.0, air.blocked))
    return open_share / (full + still * math.exp(-_FAN_REACH * fan_share))


def advance(
    network: Network, heat: Heat, power_w: Mapping[Heater, float], air: Air, fan_share: float, dt_s: float
) -> Heat:
    """The network `dt_s` seconds later; the temperatures of rest for an infinite `dt_s`.

    `power_w` gives the watts of every heater, none below 0. Raises ValueError for a step that is not above 0.
    """
    if not dt_s > 0:
        raise ValueError(f"a step of {dt_s} s")
    to_air, to_sink = air_conductance(network, air, fan_share), 1.0 / network.module_kelvin_per_watt
    stored_module, stored_sink = network.module_j_per_k / dt_s, network.sink_j_per_k / dt_s
    edges, left_w = _edges(network, power_w)
    module = stored_module + to_sink
    module_w = stored_module * heat.module_c + left_w if stored_module else left_w
    solved = []
    for part, conductance, watts in edges:
        stored = conductance * network.die_tau_s / dt_s
        own_w = stored * heat.parts_c[part.name] + watts
        share = conductance / (stored + conductance)
        module += conductance - conductance * share
        module_w += share * own_w
        solved.append((part.name, own_w / (stored + conductance), share))
    sink = stored_sink + to_sink + to_air
    sink_w = stored_sink * heat.sink_c + to_air * air.ambient_c + air.sun_w
    module_c = (module_w + to_sink * sink_w / sink) / (module - to_sink * to_sink / sink)
    sink_c = (sink_w + to_sink * module_c) / sink
    return Heat(module_c, sink_c, {name: own + share * module_c for name, own, share in solved})


def rest(network: Network, power_w: Mapping[Heater, float], air: Air, fan_share: float) -> Heat:
    """Where constant power ends."""
    return advance(network, even(network, air.ambient_c), power_w, air, fan_share, math.inf)


def energy_j(network: Network, heat: Heat) -> float:
    """What is stored in the network, above 0 C."""
    parts = sum(
        conductance * network.die_tau_s * heat.parts_c[part.name]
        for part, conductance, _ in _edges(network, dict.fromkeys(("cpu", "gpu", "dla", "soc", "rest"), 0.0))[0]
    )
    return parts + network.module_j_per_k * heat.module_c + network.sink_j_per_k * heat.sink_c


def _edges(network: Network, power_w: Mapping[Heater, float]) -> tuple[list[tuple[Part, float, float]], float]:
    """(part, W/K to the module, its watts) of every part, and the watts that no part takes.

    Parts that share a heater have its power in equal shares, each through as many times the resistance.
    """
    heaters = [part.heater for part in network.parts]
    counts = {heater: heaters.count(heater) for heater in heaters}
    edges = [
        (part, 1.0 / (counts[part.heater] * part.kelvin_per_watt), power_w[part.heater] / counts[part.heater])
        for part in network.parts
    ]
    return edges, sum(watts for heater, watts in power_w.items() if heater not in counts)
