"""When a build has to end because slowing it down does not help: memory, critical, stuck. Pure.

A pause is given time to help: `critical_after_s` of pause in which the board stays critical, throttles or runs into its
over-current limits; `stuck_after_s` of standing still. Work done pays time back, so that a build which is let in for
a moment now and then, and gets nowhere, is stuck as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.verdict import Cancel

COUNTED_S = 5.0
"""A longer time between two looks counts as this: nobody saw what happened in it."""
REPAID = 20.0
"""Seconds of standing still that a second of full work makes up for: a twentieth of the time is too little."""


@dataclass(frozen=True)
class Patience:
    """How long the pause has not helped, and how long the build has stood still."""

    critical_s: float = 0.0
    still_s: float = 0.0


def wait_on(patience: Patience, duty: float, dt_s: float, *, danger: bool) -> Patience:
    """After a look; the build worked with `duty` since the last one."""
    counted_s = min(dt_s, COUNTED_S)
    critical_s = patience.critical_s + counted_s if danger and duty <= 0 else 0.0
    still_s = patience.still_s + counted_s * (1 - REPAID * duty)
    return Patience(critical_s, max(0.0, still_s))


def ending(rules: GovernorRules, patience: Patience, memory: str) -> Cancel:
    """Why the build has to end; "" where it goes on. `memory`: what is wrong with the memory, in words."""
    if memory:
        return "memory"
    if patience.critical_s >= rules.critical_after_s:
        return "critical"
    return "stuck" if patience.still_s >= rules.stuck_after_s else ""
