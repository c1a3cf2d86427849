"""What each concern would let a build have, and the one that binds. Pure.

The duty is the smallest wish. It rises with at most `RISE_PER_S`, falls at once, and does not hover near 0: below
`least_duty` a build is paused, and goes on when it may have half as much again.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.thermal.rules import GovernorRules

RISE_PER_S = 0.2
RESUME = 1.6
"""Times `least_duty`: what a paused build must be allowed before it goes on."""


@dataclass(frozen=True)
class Wish:
    """A concern's code and the duty that it would allow."""

    code: str
    duty: float


def choose(rules: GovernorRules, wishes: tuple[Wish, ...], before: float | None, dt_s: float) -> Wish:
    """The duty and the code of what binds. `before`: the duty in use, None where a build has not begun."""
    least = min(wishes, key=lambda wish: wish.duty)
    duty, code = least.duty, least.code if least.duty < 1 else "none"
    if before is not None and duty > before + RISE_PER_S * min(dt_s, 2.0):
        duty, code = before + RISE_PER_S * min(dt_s, 2.0), "heat_rising"
    enough = rules.least_duty * (RESUME if before == 0 else 1.0)
    if least.duty < enough:
        return Wish(least.code, 0.0)
    return Wish(code, min(1.0, max(rules.least_duty, duty)))
