"""The scenarios of `edgeagent simulate heat`: a board, a build, and what the world does meanwhile. Pure.

`work_s` is how long the build would take on a board that nothing slows down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from edgeagent.simulate.board_list import SPECS
from edgeagent.simulate.plant_spec import PlantSpec
from edgeagent.simulate.thermal import Air
from edgeagent.simulate.thermal_parameters import COOLERS

Course = tuple[tuple[float, float], ...]
"""(seconds since the build began, value): linear in between, level beyond its ends."""
SET_POINT_BELOW_C = 8.0


@dataclass(frozen=True)
class Scenario:
    """`infer`: the share of the GPU's time that the running pipelines take, 0 for none. `mode`: a power mode's name."""

    name: str
    title: str
    board: str
    mode: str
    work_s: float
    ambient_c: Course
    cooler: str = ""
    sun_w: Course = ((0.0, 0.0),)
    fan_fails_s: float | None = None
    infer: float = 0.0
    cameras: int = 0

    @property
    def plant(self) -> PlantSpec:
        """The board's plant, with the scenario's cooler."""
        plant = SPECS[self.board].plant
        return replace(plant, network=COOLERS[self.cooler]) if self.cooler else plant

    @property
    def set_point_c(self) -> float:
        return self.plant.throttle_c - SET_POINT_BELOW_C

    def air(self, at_s: float) -> Air:
        failed = self.fan_fails_s is not None and at_s >= self.fan_fails_s
        return Air(value_at(self.ambient_c, at_s), value_at(self.sun_w, at_s), fan_failed=failed)

    def load_file(self, at_s: float) -> Mapping[str, float]:
        """What the load file of a plant that runs has to say at that time."""
        air = self.air(at_s)
        return {
            "ambient_c": round(air.ambient_c, 1),
            "sun_w": round(air.sun_w, 1),
            "fan_failed": float(air.fan_failed),
        }


def value_at(course: Course, at_s: float) -> float:
    if at_s <= course[0][0]:
        return course[0][1]
    for (before_s, low), (after_s, high) in pairwise(course):
        if at_s <= after_s:
            return low + (high - low) * (at_s - before_s) / (after_s - before_s)
    return course[-1][1]


SCENARIOS = (
    Scenario(
        "fanless",
        "Orin Nano without a fan at 45 C",
        "orin-nano-r36",
        "MAXN_SUPER",
        240.0,
        ((0.0, 45.0),),
        cooler="fanless",
    ),
    Scenario(
        "fan-fails",
        "AGX Orin at 35 C whose fan fails half way",
        "agx-orin-r36",
        "MAXN",
        900.0,
        ((0.0, 35.0),),
        fan_fails_s=450.0,
    ),
    Scenario(
        "sun",
        "Orin Nano in a box in the sun, 25 C rising to 60 C",
        "orin-nano-r36",
        "MAXN_SUPER",
        480.0,
        ((0.0, 25.0), (60.0, 25.0), (420.0, 60.0)),
        sun_w=((0.0, 0.0), (120.0, 6.0)),
    ),
    Scenario(
        "cameras",
        "Orin Nano with four cameras, a step from 45 C to 60 C",
        "orin-nano-r36",
        "MAXN_SUPER",
        160.0,
        ((0.0, 45.0), (30.0, 45.0), (40.0, 60.0)),
        infer=0.53,
        cameras=4,
    ),
)


def find_scenario(name: str) -> Scenario | None:
    return next((scenario for scenario in SCENARIOS if scenario.name == name), None)
