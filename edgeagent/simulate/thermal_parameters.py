"""The thermal networks of all virtual boards: every number of the way of the heat is in this file. Data only.

Where they come from. None is a measurement of ours, and a board of yours will differ.

* Orin Nano: fitted by eye to public reports of a kit with its stock fan, about 5 W and 41 C idle, 22 W and 85 C flat
  out at an ambient of 25 C. That fixes the sum of the resistances; how it is split is an estimate.
* Other boards: resistances such that everything at once, at the watts in the names of their power modes, stays below
  the throttle trip in a room of 20 C and reaches it in one of 62 C.
* Capacities: aluminium has 0.9 J/(g K). The sinks are taken as 65 g (Nano kits), 130 g (Orin NX, Xavier NX), 350 g
  (AGX) and 700 g (Thor, PC), a module with its spreader as a quarter to a third of that. With the fan on, an Orin
  Nano's sink then has a time constant of some two minutes, as reports of kits that warm up show.
* The die against its module: 2.5 s for every part, the size of public step responses of `tj-thermal`.
* `FANLESS`: the Orin Nano kit's sink with its fan taken off, which is the kit's own network with the fan at rest.

K/W of a part is above the module, with all of its heater's power; a `sink` is K/W with the fan at full speed, and what
standing still adds.
"""

from __future__ import annotations

from dataclasses import replace

from edgeagent.simulate.thermal import Network, Part


def _orin_parts(cpu: float, gpu: float, dla: float, soc: float) -> tuple[Part, ...]:
    return (
        Part("cpu", "cpu", cpu),
        Part("gpu", "gpu", gpu),
        *(Part(f"cv{index}", "dla", dla + 0.1 * index) for index in range(3)),
        *(Part(f"soc{index}", "soc", soc - 0.1 * index) for index in range(3)),
    )


NANO = Network(
    parts=(
        Part("cpu", "cpu", 2.0),
        Part("gpu", "gpu", 1.8),
        Part("soc0", "soc", 1.2),
        Part("soc1", "rest", 1.0),
    ),
    sink=(3.2, 3.2),
    module_kelvin_per_watt=0.4,
    module_j_per_k=15.0,
    sink_j_per_k=60.0,
)
XAVIER_NX = Network(
    parts=(
        Part("cpu", "cpu", 1.4),
        Part("gpu", "gpu", 1.1),
        Part("soc0", "soc", 0.9),
        Part("soc1", "rest", 1.0),
    ),
    sink=(1.8, 2.4),
    module_kelvin_per_watt=0.3,
    module_j_per_k=25.0,
    sink_j_per_k=117.0,
)
ORIN_NANO = Network(
    parts=(
        Part("cpu", "cpu", 1.5),
        Part("gpu", "gpu", 1.0),
        Part("soc0", "soc", 0.9),
        Part("soc1", "soc", 0.7),
        Part("soc2", "soc", 0.6),
    ),
    sink=(1.7, 2.6),
    module_kelvin_per_watt=0.3,
    module_j_per_k=20.0,
    sink_j_per_k=60.0,
)
ORIN_NX = Network(
    parts=_orin_parts(0.9, 0.6, 1.5, 0.8),
    sink=(1.05, 1.9),
    module_kelvin_per_watt=0.2,
    module_j_per_k=25.0,
    sink_j_per_k=117.0,
)
AGX_ORIN = Network(
    parts=_orin_parts(0.5, 0.35, 0.8, 0.4),
    sink=(0.52, 0.75),
    module_kelvin_per_watt=0.1,
    module_j_per_k=90.0,
    sink_j_per_k=315.0,
)
THOR = Network(
    parts=(
        Part("cpu", "cpu", 0.25),
        Part("gpu", "gpu", 0.2),
        Part("soc012", "soc", 0.4),
        Part("soc345", "soc", 0.35),
    ),
    sink=(0.31, 0.4),
    module_kelvin_per_watt=0.05,
    module_j_per_k=150.0,
    sink_j_per_k=630.0,
)
UNKNOWN = Network(
    parts=(
        Part("cpu", "cpu", 0.4),
        Part("gpu", "gpu", 0.3),
        Part("npu", "dla", 0.5),
        Part("board", "rest", 0.3),
    ),
    sink=(0.47, 0.6),
    module_kelvin_per_watt=0.08,
    module_j_per_k=90.0,
    sink_j_per_k=315.0,
)
PC = Network(
    parts=(Part("cpu", "cpu", 0.15), Part("board", "rest", 0.07)),
    sink=(0.35, 0.4),
    module_kelvin_per_watt=0.05,
    module_j_per_k=150.0,
    sink_j_per_k=630.0,
)

FANLESS = replace(ORIN_NANO, sink=(sum(ORIN_NANO.sink), 0.0))
COOLERS: dict[str, Network] = {"fanless": FANLESS}
"""Other coolers for boards: what `plant_child --cooler` may name."""
