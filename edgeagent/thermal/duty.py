"""How much of its time a build may work so that the die sits on the set point: the controller for heat. Pure.

Everything is counted from the set point: `above_c` is 0 on it and negative below. The die is a base (heat sink, air and
everything else that heats, see `base`) plus what the build adds, and it follows the build's duty with a lag:

    above = base + gain * lagged            lagged' = (duty - lagged) / DIE_S

The duty is the one with which the die ends on the set point, less a margin for noise and ripple:

    duty = (-margin - base - slope * (DIE_S + look) - coming) / gain

This is internal model control of a first-order plant (Garcia and Morari, Internal Model Control, 1982). It has no
integrator, so nothing winds up: what an integrator would sum up is the base, and that is observed with the duty that
was really applied, whoever chose it. Letting another controller bind and taking over again is without a bump.

The gain is not known. It starts at the largest that is expected, which makes the first duty small where headroom is
small, and is learnt while the duty moves (see `gain`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeagent.thermal.base import DIE_S, MOST_ERROR_C, STEEPEST_C_PER_S, Base, follow
from edgeagent.thermal.gain import Gain, first_gain, learn

MARGIN_C, LARGEST_MARGIN_C = 0.3, 1.3
"""How far below the set point the mean sits, at least and at most."""
SLICE_S, RIPPLES = 1.2, 0.7
"""The period of the slices that a build is run in (supervise.pace), and how much of the ripple that they make in the
die is kept away from the set point: a look may fall on any phase of it."""
PEAKS, PEAKS_ABOVE_C = 2.0, 0.5
"""A ripple of slices peaks at twice the usual error of the forecast; peaks may be this far above the set point."""
NEAR_C = 0.2
PULL = 1.5
"""How much harder the duty is cut once the die is more than NEAR_C above the set point."""
PEAK_LOOKS = 2.0
PEAK_ABOVE_C = 0.5
"""In a light phase of a build: where the die may be this many looks after a heavy phase begins."""
FIRST_LOOK_S = 0.5
LOOK_SHARE = 0.3
LONG_S = 10.0
"""After a longer time without a look, what was known of slopes and of fast parts is void."""


@dataclass(frozen=True)
class Heat:
    """What is known of the plant. `lagged` is the duty as the die has felt it, `look_s` the usual time of a look."""

    base: Base
    gain: Gain
    lagged: float
    look_s: float = FIRST_LOOK_S

    @property
    def above_c(self) -> float:
        """Where the die is now, filtered."""
        return self.base.above_c + self.gain.kelvin * self.lagged


def first_heat(above_c: float, duty: float) -> Heat:
    """The first look at a board on which a build has worked with `duty` for a while."""
    gain = first_gain(above_c, duty)
    return Heat(Base(above_c - gain.kelvin * duty), gain, duty)


def relearn(heat: Heat) -> Heat:
    """Another build: what the last one added says nothing about it."""
    gain = first_gain(heat.above_c, heat.lagged)
    base = Base(heat.above_c - gain.kelvin * heat.lagged, heat.base.slope_c_per_s, 0.0, heat.base.spread_c)
    return Heat(base, gain, heat.lagged, heat.look_s)


def look_at_heat(heat: Heat, above_c: float, duty: float, dt_s: float) -> Heat:
    """After a look `dt_s` later (more than 0), during which the build worked with `duty`."""
    if dt_s > LONG_S:
        return _after_gap(heat, above_c, duty, dt_s)
    lagged = duty + (heat.lagged - duty) * math.exp(-dt_s / DIE_S)
    base = follow(heat.base, above_c - heat.gain.kelvin * lagged, dt_s)
    gain = learn(heat.gain, above_c, lagged, dt_s)
    if gain.kelvin != heat.gain.kelvin:
        shifted_c = base.above_c - (gain.kelvin - heat.gain.kelvin) * lagged
        base = Base(shifted_c, base.slope_c_per_s, base.coming_c, base.spread_c)
    return Heat(base, gain, lagged, heat.look_s + LOOK_SHARE * (dt_s - heat.look_s))


def heat_duty(heat: Heat) -> float:
    """The duty that heat allows, 0..1."""
    base, gain = heat.base, heat.gain.kelvin
    to_come_c = base.slope_c_per_s * (DIE_S + heat.look_s) + base.coming_c
    pull_c = PULL * max(0.0, heat.above_c - NEAR_C)
    duty = (-_margin_c(heat) - base.above_c - to_come_c - pull_c) / gain
    felt = 1 - math.exp(-PEAK_LOOKS * heat.look_s / DIE_S)
    sure = (PEAK_ABOVE_C - base.above_c) / (gain + felt * max(0.0, heat.gain.peak_k - gain))
    return min(1.0, max(0.0, min(duty, sure)))


def _margin_c(heat: Heat) -> float:
    """Room for the ripple as it follows from the slices, for what else the forecast misses, and a little."""
    ripple_c = heat.gain.kelvin * heat.lagged * (1 - heat.lagged) * SLICE_S / (2 * DIE_S)
    seen_c = PEAKS * heat.base.spread_c - PEAKS_ABOVE_C
    return min(LARGEST_MARGIN_C, max(MARGIN_C + RIPPLES * ripple_c, seen_c))


def _after_gap(heat: Heat, above_c: float, duty: float, dt_s: float) -> Heat:
    """Only the mean slope over the gap is left, and only where it is a rise; how much the build adds stays known."""
    kelvin = heat.gain.kelvin
    base_c = above_c - kelvin * duty
    slope = min(STEEPEST_C_PER_S, max(0.0, (base_c - heat.base.above_c) / dt_s))
    gain = Gain(kelvin, heat.gain.peak_k, above_c, duty)
    return Heat(Base(base_c, slope, 0.0, min(MOST_ERROR_C, heat.base.spread_c)), gain, duty, dt_s)
