"""How much the pipelines may do when there is no build left to slow down: the slow controller. Pure.

The heat sink is what it controls, whose time constant is minutes: it counts with where the die will be in `AHEAD_S`,
which damps it (an integrator around a first-order lag swings without), and leaves a band in which nothing moves:

    ahead = above + slope * AHEAD_S
    allowance' = -FALL * (ahead - 0.5)  above 0.5 K;  RISE * (-2 - ahead)  below -2 K;  0 between
"""

from __future__ import annotations

import math
from dataclasses import dataclass

AHEAD_S = 40.0
FALL_PER_S_K, RISE_PER_S_K = 0.01, 0.003
MOST_FALL_K, MOST_RISE_K = 4.0, 4.0
UPPER_K, LOWER_K = 0.5, -2.0
NEAR_K = -1.0
"""Only a die this near to the set point, or above it, takes work away: a forecast alone does not."""
CRITICAL_PER_S, ALERT_PER_S, OVER_PER_S = 0.1, 0.05, 0.02
FILTER_S = 6.0
ALONE_S = 10.0
"""So long a build must have stood still before the pipelines do less: its heat leaves the die in that time."""
LONG_S = 30.0


@dataclass(frozen=True)
class Allowance:
    """`above_c` and `slope_c_per_s` are filtered; `alone_s`: how long no build has worked."""

    share: float = 1.0
    above_c: float | None = None
    slope_c_per_s: float = 0.0
    alone_s: float = 0.0


@dataclass(frozen=True)
class Strain:
    """What presses now. `above_c`: K from the set point, None when no zone can be read; `over`: more power than the
    cap; `full`: so near to it that more work would be too much."""

    above_c: float | None
    critical: bool = False
    alert: bool = False
    over: bool = False
    full: bool = False


def look_at_allowance(allowance: Allowance, strain: Strain, duty: float, dt_s: float) -> Allowance:
    """After a look; a build worked with `duty` since the last one, 0 where there is none."""
    alone_s = min(ALONE_S, allowance.alone_s + dt_s) if duty <= 0 else 0.0
    above_c, slope = _follow(allowance, strain.above_c, dt_s)
    rate = _rate(strain, above_c, slope) if alone_s >= ALONE_S else max(0.0, _rate(strain, above_c, slope))
    share = min(1.0, max(0.0, allowance.share + rate * min(dt_s, 2.0)))
    return Allowance(share, above_c, slope, alone_s)


def _rate(strain: Strain, above_c: float | None, slope: float) -> float:
    """Share a second. Blind, it holds what it has."""
    pressing = -CRITICAL_PER_S if strain.critical else -ALERT_PER_S if strain.alert else 0.0
    if strain.over:
        pressing = min(pressing, -OVER_PER_S)
    if above_c is None:
        return pressing
    ahead = above_c + slope * AHEAD_S
    if ahead > UPPER_K and above_c > NEAR_K:
        return min(pressing, -FALL_PER_S_K * min(MOST_FALL_K, ahead - UPPER_K))
    if pressing == 0 and not strain.full and max(ahead, above_c) < LOWER_K:
        return RISE_PER_S_K * min(MOST_RISE_K, LOWER_K - max(ahead, above_c))
    return pressing


def _follow(allowance: Allowance, above_c: float | None, dt_s: float) -> tuple[float | None, float]:
    """The alpha-beta filter of `base`, slower."""
    if above_c is None or allowance.above_c is None or dt_s > LONG_S:
        return above_c, 0.0
    theta = math.exp(-dt_s / FILTER_S)
    forecast_c = allowance.above_c + allowance.slope_c_per_s * dt_s
    error_c = above_c - forecast_c
    slope = allowance.slope_c_per_s + (1 - theta) ** 2 * error_c / dt_s
    return forecast_c + (1 - theta * theta) * error_c, slope
