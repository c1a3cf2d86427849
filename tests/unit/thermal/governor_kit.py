"""Looks at a board, with as little said as a test needs."""

from __future__ import annotations

from collections.abc import Iterable

from edgeagent.thermal.governor import GovernorRules, GovernorState, Verdict, begin, govern
from edgeagent.thermal.sense import Sense, ZoneSense

THROTTLE_C = 99.0
RULES = GovernorRules()


def at(at_s: float, celsius: float | None = 60.0, **more: object) -> Sense:
    """A look at a board with one zone that throttles at 99 C and whose alert can be read."""
    zones = (ZoneSense("cpu-thermal", celsius, THROTTLE_C),)
    return Sense(at_s, **{"zones": zones, "alerts": (), **more})  # type: ignore[arg-type]


def through(
    looks: Iterable[Sense], *, building: bool = True, rules: GovernorRules = RULES, state: GovernorState | None = None
) -> tuple[GovernorState, list[Verdict]]:
    """The governor over these looks, and what it said to each."""
    state, said = state or begin(rules), []
    for sense in looks:
        state, verdict = govern(rules, state, sense, building=building)
        said.append(verdict)
    return state, said


def steady(seconds: float, celsius: float | None = 60.0, start_s: float = 0.0, **more: object) -> list[Sense]:
    """The same look twice a second."""
    return [at(start_s + 0.5 * number, celsius, **more) for number in range(round(2 * seconds) + 1)]
