"""A board for closed loops: zones of a die above a module above a heat sink, and a build that is run in slices.

Made for these tests and apart from the simulator's, so that the governor is not tuned to one plant. Every parameter is
free; nothing is random but the sensors' noise and the times of the looks, which come from a seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edgeagent.thermal.governor import GovernorRules, GovernorState, Verdict, begin, govern
from edgeagent.thermal.sense import Sense, ZoneSense

STEP_S = 0.1


@dataclass(frozen=True)
class Die:
    """A zone: K above the module of a build at full duty, and of the pipelines; its lag; its throttle temperature."""

    name: str
    build_k: float
    other_k: float = 2.0
    tau_s: float = 2.5
    throttle_c: float = 99.0


@dataclass(frozen=True)
class Board:
    """K of the module above the sink and of the sink above the air, for a full build and for the pipelines."""

    zones: tuple[Die, ...]
    ambient_c: float = 25.0
    module_k: float = 3.0
    module_tau_s: float = 9.0
    sink_k: float = 35.0
    sink_other_k: float = 10.0
    sink_tau_s: float = 150.0


@dataclass
class Temperatures:
    """Where a board's nodes are."""

    board: Board
    sink_c: float = 0.0
    module_k: float = 0.0
    zones_k: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sink_c = self.board.ambient_c + self.board.sink_other_k
        self.zones_k = {zone.name: zone.other_k for zone in self.board.zones}

    def step(self, build: float, other: float, ambient_c: float, dt_s: float) -> None:
        """`build` and `other`: shares of their full power over this step."""
        board = self.board
        rest_c = ambient_c + board.sink_k * build + board.sink_other_k * other
        self.sink_c = _lag(self.sink_c, rest_c, dt_s, board.sink_tau_s)
        self.module_k = _lag(self.module_k, board.module_k * build, dt_s, board.module_tau_s)
        for zone in board.zones:
            target_k = zone.build_k * build + zone.other_k * other
            self.zones_k[zone.name] = _lag(self.zones_k[zone.name], target_k, dt_s, zone.tau_s)

    def celsius(self, zone: Die) -> float:
        return self.sink_c + self.module_k + self.zones_k[zone.name]

    def above_c(self, below_c: float) -> float:
        """K of the zone that binds from its set point."""
        return max(self.celsius(zone) - (zone.throttle_c - below_c) for zone in self.board.zones)

    def best_duty(self, below_c: float, other: float) -> float:
        """The duty with which the zone that binds stays on its set point: the most that the physics allow."""
        rooms = (
            (zone.throttle_c - below_c - self.sink_c - self.module_k - zone.other_k * other) / zone.build_k
            for zone in self.board.zones
        )
        return min(1.0, max(0.0, min(rooms)))


@dataclass(frozen=True)
class Weather:
    """What changes while the board runs, as functions of time in s: air, the pipelines' share, the build's phases."""

    ambient_c: Callable[[float], float] | None = None
    other: Callable[[float], float] = lambda at_s: 1.0
    phase: Callable[[float], float] = lambda at_s: 1.0


@dataclass(frozen=True)
class Sensors:
    """Noise is normal; `step_c` is the sensor's quantum; looks come every `look_s` give or take `uneven`."""

    seed: int = 0
    noise_c: float = 0.05
    step_c: float = 0.03
    look_s: float = 0.5
    uneven: float = 0.2
    period_s: float = 1.2


@dataclass(frozen=True)
class Moment:
    """One step: the true temperature against the set point, and what was in force."""

    at_s: float
    above_c: float
    headroom_c: float
    duty: float
    best: float
    verdict: Verdict


@dataclass(frozen=True)
class Course:
    """What a closed loop did. Work is in seconds of a whole build; `best_work` what a perfect controller would do."""

    moments: tuple[Moment, ...]
    verdicts: tuple[Verdict, ...]
    work: float
    best_work: float

    def after(self, at_s: float) -> tuple[Moment, ...]:
        return tuple(moment for moment in self.moments if moment.at_s >= at_s)


def run(
    board: Board,
    seconds: float,
    weather: Weather | None = None,
    sensors: Sensors | None = None,
    rules: GovernorRules | None = None,
    *,
    change: Callable[[Sense], Sense] = lambda sense: sense,
    told: Callable[[Verdict], None] = lambda verdict: None,
    building: bool = True,
    shed: bool = False,
) -> Course:
    """The governor on a board. `change` alters what it is shown, `told` hears every verdict; `shed`: the pipelines do
    what they are allowed."""
    weather, sensors, rules = weather or Weather(), sensors or Sensors(), rules or GovernorRules()
    dice = random.Random(sensors.seed)
    real, best = Temperatures(board), Temperatures(board)
    state: GovernorState = begin(rules)
    verdict: Verdict | None = None
    moments, verdicts, work, best_work, next_s = [], [], 0.0, 0.0, 0.0
    for number in range(round(seconds / STEP_S)):
        at_s = number * STEP_S
        if at_s >= next_s or verdict is None:
            sense = change(_sense(real, at_s, sensors, dice))
            state, verdict = govern(rules, state, sense, building=building)
            verdicts.append(verdict)
            told(verdict)
            next_s = at_s + sensors.look_s * (1 + sensors.uneven * dice.uniform(-1, 1))
        duty = verdict.build_duty if building else 0.0
        ambient_c = board.ambient_c if weather.ambient_c is None else weather.ambient_c(at_s)
        phase, other = weather.phase(at_s), weather.other(at_s)
        on = _running(at_s, duty, sensors.period_s)
        work += on * phase * STEP_S
        real.step(on * phase, other * (verdict.allowance if shed else 1.0), ambient_c, STEP_S)
        wish = min(1.0, best.best_duty(rules.set_point_below_c, other) / max(phase, 1e-3)) if building else 0.0
        best_work += wish * phase * STEP_S
        best.step(wish * phase, other, ambient_c, STEP_S)
        headroom_c = min(zone.throttle_c - real.celsius(zone) for zone in board.zones)
        moments.append(Moment(at_s, real.above_c(rules.set_point_below_c), headroom_c, duty, wish, verdict))
    return Course(tuple(moments), tuple(verdicts), work, best_work)


def _sense(real: Temperatures, at_s: float, sensors: Sensors, dice: random.Random) -> Sense:
    zones = []
    for zone in real.board.zones:
        celsius = real.celsius(zone) + dice.gauss(0, sensors.noise_c)
        zones.append(ZoneSense(zone.name, round(celsius / sensors.step_c) * sensors.step_c, zone.throttle_c))
    return Sense(at_s, tuple(zones), alerts=tuple(z.name for z in zones if (z.celsius or 0) >= (z.throttle_c or 999)))


def _running(at_s: float, duty: float, period_s: float) -> float:
    """The share of the step from `at_s` on that the build runs: the first `duty` of every period."""
    begun, share, left = at_s % period_s, 0.0, STEP_S
    while left > 1e-9:
        part = min(left, period_s - begun)
        share += max(0.0, min(begun + part, duty * period_s) - begun)
        begun, left = 0.0, left - part
    return share / STEP_S


def _lag(value: float, target: float, dt_s: float, tau_s: float) -> float:
    return target + (value - target) * math.exp(-dt_s / tau_s)


def single(build_k: float, **changes: object) -> Board:
    """A board with one zone that matters."""
    return replace(Board((Die("cpu-thermal", build_k),)), **changes)  # type: ignore[arg-type]
