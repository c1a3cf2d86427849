"""Where the die would be without the build: value and slope, and what a step of power has yet to bring. Pure.

An alpha-beta filter, critically damped for any time between looks (alpha = 1 - theta^2, beta = (1 - theta)^2 with
theta = exp(-dt / FILTER_S); Brookner, Tracking and Kalman Filtering Made Easy, 1998, section 1.2). A reading far above
the forecast is no noise but the begin of a step of power, of the pipelines or of a heavier phase of the build. The die
follows it with its lag, so a jump `e` within `dt` has more to come:

    coming = e * lag / (1 - lag)            lag = exp(-dt / DIE_S)

What is to come takes the place of the slope: a slope kept from before would feed it for ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DIE_S = 2.5
"""Lag of a die behind its power. Step responses of Jetsons show 2 to 3 s; 1 to 10 s are stable (docs/governor.md)."""
FILTER_S = 1.6
"""Three looks: noise and the ripple of the slices stay out of the duty."""
JUMP_C, JUMP_SPREADS = 0.5, 3.0
"""What counts as a jump: this much above the forecast, and this many times the forecast's usual error."""
COMING_C = 0.3
"""As long as more than this is to come, readings are believed at once, so that a false alarm is soon over."""
MOST_COMING_C = 15.0
STEEPEST_C_PER_S, STEEPEST_FALL_C_PER_S = 2.0, 0.3
"""A fall is trusted less: a load that ends lets the die fall for seconds only."""
SPREAD_SHARE = 0.1
FIRST_SPREAD_C = 0.1
MOST_ERROR_C = 2.0


@dataclass(frozen=True)
class Base:
    """K from the set point. `spread_c` is the usual size of the forecast's error: noise, ripple, coarse sensors."""

    above_c: float
    slope_c_per_s: float = 0.0
    coming_c: float = 0.0
    spread_c: float = FIRST_SPREAD_C


def follow(base: Base, measured_c: float, dt_s: float) -> Base:
    """The base after a look `dt_s` later that shows `measured_c`."""
    lag = math.exp(-dt_s / DIE_S)
    coming_c = base.coming_c * lag
    forecast_c = base.above_c + base.slope_c_per_s * dt_s + base.coming_c * (1 - lag)
    error_c = measured_c - forecast_c
    spread_c = base.spread_c + SPREAD_SHARE * (min(MOST_ERROR_C, abs(error_c)) - base.spread_c)
    if coming_c > COMING_C or error_c > max(JUMP_C, JUMP_SPREADS * base.spread_c):
        coming_c = min(MOST_COMING_C, max(0.0, coming_c + error_c * lag / (1 - lag)))
        return Base(measured_c, 0.0, coming_c, spread_c)
    theta = math.exp(-dt_s / FILTER_S)
    slope = base.slope_c_per_s + (1 - theta) ** 2 * error_c / dt_s
    slope = min(STEEPEST_C_PER_S, max(-STEEPEST_FALL_C_PER_S, slope))
    return Base(forecast_c + (1 - theta * theta) * error_c, slope, coming_c, spread_c)
