"""The level of pressure, with hysteresis and a minimum dwell. Pure.

Up at once, as far as needed; down one step after `dwell_s` in which nothing asked for the present level. Headroom has
to be `EASED_C` better than the threshold that a level began at. So within one dwell there is at most one step down.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.verdict import LEVELS, Level

EASED_C = 1.5


@dataclass(frozen=True)
class Standing:
    """`needed_s`: when this level was last asked for, monotonic."""

    level: Level = "nominal"
    needed_s: float = float("-inf")


def heat_level(rules: GovernorRules, headroom_c: float, standing: Level) -> Level:
    """What headroom asks for, on a board that stands at `standing`."""
    limits = {"critical": rules.critical_c, "hot": rules.hot_c, "warm": rules.warm_c}
    for level in reversed(LEVELS[1:]):
        eased_c = EASED_C if LEVELS.index(standing) >= LEVELS.index(level) else 0.0
        if headroom_c < limits[level] + eased_c:
            return level
    return "nominal"


def stand(rules: GovernorRules, standing: Standing, asked: Level, at_s: float) -> Standing:
    """The level after a look at which everything together asks for `asked`."""
    if LEVELS.index(asked) >= LEVELS.index(standing.level):
        return Standing(asked, at_s)
    if at_s - standing.needed_s < rules.dwell_s:
        return standing
    return Standing(LEVELS[LEVELS.index(standing.level) - 1], at_s)


def highest(*levels: Level) -> Level:
    return max(levels, key=LEVELS.index)
