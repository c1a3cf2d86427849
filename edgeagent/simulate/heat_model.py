"""A scenario in virtual time: plant, controller and build in one loop, without a process or a clock. Pure.

It takes a second where the real one takes minutes, and it knows what no controller can: the ideal, which asks the plant
itself, at every step, for the largest duty that keeps the hottest part at the set point and the frames at their floor.
That is the best that this board physically allows. (Using the sink's capacity early is never worse than late: what is
not used while the board is cool cannot be used afterwards.)

Slices are averaged: a duty of a half is half the work at every moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from edgeagent.simulate.heat_control import LOOK_S, Controller
from edgeagent.simulate.heat_scenarios import Scenario
from edgeagent.simulate.plant import PlantState, settle, step
from edgeagent.simulate.plant_spec import Load
from edgeagent.simulate.plant_work import Work, build_progress, clock_share, frames_kept, load_of
from edgeagent.thermal.sense import Sense, ZoneSense

STEP_S = 0.25
LONGEST_S = 3600.0
STUCK_S = 300.0
"""A build that does nothing for so long never ends."""
FRAMES_FLOOR = 0.95
NOISE_C = 0.06
_FRAMES_TAU_S = 3.0


@dataclass(frozen=True)
class Point:
    """One moment: temperatures C, shares 0..1, seconds. `done_s`: of an undisturbed build, behind it."""

    at_s: float
    hottest_c: float
    ambient_c: float
    duty: float
    frames: float
    done_s: float
    alerts: int = 0
    clock: float = 1.0
    reason: str = ""


@dataclass(frozen=True)
class Run:
    """A scenario under one controller. `cost_ms_per_s`: the controller's CPU time, `late_s`: how late its latest look
    came, in the board's time; both where they were measured."""

    scenario: str
    controller: str
    points: tuple[Point, ...]
    finished: bool
    cost_ms_per_s: float | None = None
    late_s: float | None = None

    @property
    def wall_s(self) -> float:
        return self.points[-1].at_s if self.points else 0.0


def begin_state(scenario: Scenario) -> PlantState:
    """Half an hour of idling, as a plant that is started."""
    return settle(scenario.plant, Load(cpu=0.03), scenario.air(0.0))


def run_virtual(scenario: Scenario, name: str, controller: Controller, seed: int = 1) -> Run:
    """Until the build is done, or never ends: it stands still for `STUCK_S`, or takes `LONGEST_S`."""
    state, noise = begin_state(scenario), Random(seed)  # noqa: S311  sensor noise
    points: list[Point] = []
    at_s, done_s, duty, seen, next_look_s = 0.0, 0.0, 0.0, 1.0, 0.0
    while done_s < scenario.work_s and not is_stuck(points):
        if at_s >= next_look_s:
            duty = controller.look(sense_of(state, at_s, seen if scenario.infer else None, noise))
            next_look_s += LOOK_S
        state, point = _moment(scenario, state, duty, at_s, done_s)
        seen += (point.frames - seen) * STEP_S / _FRAMES_TAU_S
        points.append(replace(point, reason=getattr(controller, "reason", "")))
        at_s, done_s = point.at_s, point.done_s
    return Run(scenario.name, name, tuple(points), done_s >= scenario.work_s)


def is_stuck(points: Sequence[Point]) -> bool:
    """Whether a run that has come so far never ends."""
    if not points or points[-1].at_s >= LONGEST_S:
        return bool(points)
    now, then = points[-1], bisect_left(points, points[-1].at_s - STUCK_S, key=lambda point: point.at_s)
    return now.at_s > STUCK_S and now.done_s - points[then].done_s < 1.0


def run_ideal(scenario: Scenario) -> Run:
    """The best that the plant allows."""
    state, points = begin_state(scenario), []
    at_s, done_s = 0.0, 0.0
    while done_s < scenario.work_s and at_s < LONGEST_S:
        state, point = _best(scenario, state, at_s, done_s)
        points.append(point)
        at_s, done_s = point.at_s, point.done_s
    return Run(scenario.name, "ideal", tuple(points), done_s >= scenario.work_s)


def _best(scenario: Scenario, state: PlantState, at_s: float, done_s: float) -> tuple[PlantState, Point]:
    """The step with the largest duty that is allowed, by halving: more is never cooler and never keeps more frames."""
    low, high = 0.0, 1.0
    best = _moment(scenario, state, 1.0, at_s, done_s)
    if _allowed(scenario, best[1]):
        return best
    best = _moment(scenario, state, 0.0, at_s, done_s)
    for _ in range(12):
        middle = (low + high) / 2
        tried = _moment(scenario, state, middle, at_s, done_s)
        if _allowed(scenario, tried[1]):
            low, best = middle, tried
        else:
            high = middle
    return best


def _allowed(scenario: Scenario, point: Point) -> bool:
    return point.hottest_c <= scenario.set_point_c and point.frames >= FRAMES_FLOOR


def _moment(scenario: Scenario, state: PlantState, duty: float, at_s: float, done_s: float) -> tuple[PlantState, Point]:
    """One step with a duty."""
    work, air = Work(duty, scenario.infer), scenario.air(at_s)
    state = step(state, load_of(work, state.caps.cores), STEP_S, air)
    clock = clock_share(state)
    done_s += build_progress(work, clock) * STEP_S
    frames = frames_kept(work, clock)
    point = Point(at_s + STEP_S, state.hottest_c, air.ambient_c, duty, frames, done_s, len(state.alerts), clock)
    return state, point


def sense_of(state: PlantState, at_s: float, frames_kept: float | None, noise: Random) -> Sense:
    """What the board's sensors say: 1/32 of a degree, and a little noise."""
    zones = tuple(
        ZoneSense(f"{name}-thermal", round((celsius + noise.gauss(0.0, NOISE_C)) * 32) / 32, state.spec.throttle_c)
        for name, celsius in state.parts_c.items()
    )
    alerts = tuple(f"{name}-thermal" for name in sorted(state.alerts))
    return Sense(at_s, zones, alerts, frames_kept=frames_kept)
