"""A ceiling on a build's duty that yields at once and comes back with care. Pure.

For what tells only "too much" or "fine": latency, over-current events, throttle alerts. Additive increase and
multiplicative decrease, with the memory of CUBIC (RFC 9438): up to 90 % of the duty at which trouble began the ceiling
rises fast, from there slowly, so that a build sits just below that duty most of the time and tries it now and then;
well above it the ceiling rises fast again, for the trouble may be over.

Frames tell more, how far from their floor they are: with them a ceiling is lowered to what can be borne (`lower`), and
rises as fast as `per_s` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FAST_PER_S, SLOW_PER_S = 0.04, 0.002
NEAR_SHARE, PAST_SHARE = 0.9, 1.1
CUT_EVERY_S = 2.0
"""A cut needs this long to show."""
QUIET_S = 4.0
"""Without trouble for this long, the ceiling rises."""


@dataclass(frozen=True)
class Ceiling:
    """`share` 0..1; `trouble_at` the duty at which the last trouble began; times are monotonic, None for never."""

    share: float = 1.0
    trouble_at: float = 1.0
    cut_s: float | None = None
    trouble_s: float | None = None


def cut(ceiling: Ceiling, duty: float, factor: float, at_s: float) -> Ceiling:
    """Trouble now, at this duty. Cuts come at most every `CUT_EVERY_S`; nothing is cut that was not in use."""
    if ceiling.cut_s is not None and at_s - ceiling.cut_s < CUT_EVERY_S:
        return replace(ceiling, trouble_s=at_s)
    begins = ceiling.trouble_s is None or at_s - ceiling.trouble_s > QUIET_S
    used = min(ceiling.share, duty)
    return Ceiling(used * factor, used if begins else ceiling.trouble_at, at_s, at_s)


def lower(ceiling: Ceiling, duty: float, most: float, at_s: float) -> Ceiling:
    """Trouble lately, at this duty, of which it is known that `most` can be borne."""
    begins = ceiling.trouble_s is None or at_s - ceiling.trouble_s > QUIET_S
    trouble_at = duty if begins else ceiling.trouble_at
    return replace(ceiling, share=min(ceiling.share, most), trouble_at=trouble_at, trouble_s=at_s)


def rise(ceiling: Ceiling, at_s: float, dt_s: float, per_s: float | None = None) -> Ceiling:
    """No trouble now. `per_s`: how fast it rises where that is known better than from the trouble that there was."""
    if ceiling.share >= 1 or (ceiling.trouble_s is not None and at_s - ceiling.trouble_s < QUIET_S):
        return ceiling
    if per_s is None:
        near = NEAR_SHARE * ceiling.trouble_at < ceiling.share < PAST_SHARE * ceiling.trouble_at
        per_s = SLOW_PER_S if near else FAST_PER_S
    return replace(ceiling, share=min(1.0, ceiling.share + per_s * min(dt_s, 2.0)))
