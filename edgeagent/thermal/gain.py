"""How many K a build adds to the die, learnt while its duty moves. Pure.

Both signals lose their slow part, which is the heat sink's and the air's, not the build's; what is left is fitted by
least squares with forgetting:

    gain = sum(fast_above * fast_duty) / sum(fast_duty ** 2)

A duty that stands still teaches nothing: then the sink's drift would be taken for the build's doing. The drift that is
left makes the gain too large at the first approach, which makes the controller slower, never wilder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_K = 25.0
"""What a whole duty is taken to add before anything is known: more than a Jetson's die shows above its heat sink."""
SMALLEST_K, LARGEST_K = 1.5, 40.0
FAST_S = 5.0
"""Twice the lag of a die: slower changes are left to the heat sink."""
MOVED = 0.06
"""The fast part of the duty from which on it teaches something."""
FORGET_S = 15.0
"""Seconds of movement after which what was learnt counts a third: a build has phases."""
PRIOR = 0.08
"""Weight of the first guess: that of two seconds of a duty of 0.2."""
SURE = 4 * PRIOR
"""Enough movement that the first guess has little weight left."""
PEAK_S = 600.0
"""How slowly the largest gain seen is forgotten: a light phase of a build may end at any moment."""


@dataclass(frozen=True)
class Gain:
    """K a whole duty adds in the end: `kelvin` as learnt, `peak_k` the largest that was sure in the last minutes."""

    kelvin: float
    peak_k: float
    slow_above_c: float
    slow_duty: float
    product: float = 0.0
    square: float = 0.0


def first_gain(above_c: float, lagged: float) -> Gain:
    """Nothing learnt yet."""
    return Gain(FIRST_K, 0.0, above_c, lagged)


def learn(gain: Gain, above_c: float, lagged: float, dt_s: float) -> Gain:
    """After a look `dt_s` later. `lagged`: the duty as the die has felt it."""
    part = 1 - math.exp(-dt_s / FAST_S)
    slow_above_c = gain.slow_above_c + part * (above_c - gain.slow_above_c)
    slow_duty = gain.slow_duty + part * (lagged - gain.slow_duty)
    fast_c, fast = above_c - slow_above_c, lagged - slow_duty
    kelvin, product, square = gain.kelvin, gain.product, gain.square
    if abs(fast) > MOVED:
        keep = math.exp(-dt_s / FORGET_S)
        product = product * keep + fast_c * fast * dt_s
        square = square * keep + fast * fast * dt_s
        found = (product + PRIOR * FIRST_K) / (square + PRIOR)
        kelvin = min(LARGEST_K, max(SMALLEST_K, found))
    faded_k = gain.peak_k * math.exp(-dt_s / PEAK_S)
    if square > SURE:
        faded_k = max(kelvin, faded_k)
    return Gain(kelvin, faded_k, slow_above_c, slow_duty, product, square)
