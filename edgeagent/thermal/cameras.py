"""Cameras first: a build yields when the running pipelines lose frames or answer late. Pure.

The share of the frames is a number that ripples with the slices of the build, by more than what is at stake. So it is
filtered, and the duty that the build worked with is filtered alike. Where losses grow in proportion to the duty, or
faster, what was lost at the duty of then tells one that keeps the floor:

    bearable = duty * (1 - floor) / (1 - kept)

Below the floor that is the ceiling; it is the same however often it is computed, so nothing is cut twice for one dip.
What is deep below the floor, and answers that are late, take duty at once, unfiltered.

Not all that is late is late because of the build. Where a pause of the build does not help, what is seen during the
pause becomes the measure: the build goes on, and yields only when it makes that worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from edgeagent.thermal.ceiling import FAST_PER_S, Ceiling, cut, lower, rise
from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.sense import Sense

MILD, SEVERE = 0.7, 0.4
SEVERE_BELOW = 0.85
DEEP = 0.05
"""So far below the floor is no ripple."""
FILTER_S = 10.0
LATE_S = 2.5
"""By how much the share of the frames, a mean of some seconds, is later than the duty."""
RISE_PER_S = 1.0
"""What the ceiling rises by, for each share of the frames above what is good; at most as fast as any ceiling."""
PAUSED_DUTY = 0.05
INNOCENT_AFTER_S = 15.0
"""A pause shows in the frames within seconds; after this long without effect, the build is not the cause."""
WORSE = 0.04
LATER = 1.25
FREED_SHARE = 0.15
"""What an innocent build begins with again."""


@dataclass(frozen=True)
class Kept:
    """The filtered share of the frames, and the duty that it belongs to: `recent` is the duty, late as frames are."""

    share: float
    recent: float
    duty: float


@dataclass(frozen=True)
class Cameras:
    """`paused_s`: how long frames have been late while the build stood still. `floor` and `limit` are in force where
    pausing did not help: the share of frames and the latency that were there without the build. `kept` is None while
    nothing runs."""

    ceiling: Ceiling = field(default_factory=Ceiling)
    paused_s: float = 0.0
    floor: float | None = None
    limit: float | None = None
    kept: Kept | None = None


def look_at_cameras(rules: GovernorRules, cameras: Cameras, sense: Sense, duty: float, dt_s: float) -> Cameras:
    """After a look; the build worked with `duty` since the last one.

    What is below the floor while the build stands still is late at once: no slice makes that ripple.
    """
    cameras = replace(cameras, kept=_filtered(cameras.kept, sense.frames_kept, duty, dt_s))
    floor, most = _measures(rules, cameras)
    if _is_late(sense, floor if duty < PAUSED_DUTY else floor - DEEP, most):
        return _yield_at_once(cameras, sense, duty, dt_s)
    cameras = replace(cameras, paused_s=0.0)
    kept = cameras.kept
    if kept is not None and kept.share < floor:
        bearable = kept.duty * max(SEVERE, (1.0 - floor) / (1.0 - kept.share))
        return replace(cameras, ceiling=lower(cameras.ceiling, kept.duty, bearable, sense.at_s))
    if _is_late(sense, 0.0, most * rules.latency_good / rules.latency_limit):
        return cameras
    return _well(rules, cameras, sense, dt_s)


def _filtered(kept: Kept | None, share: float | None, duty: float, dt_s: float) -> Kept | None:
    """Frames that cannot be told are forgotten: nothing runs."""
    if share is None:
        return None
    if kept is None:
        return Kept(share, duty, duty)
    recent = kept.recent + (duty - kept.recent) * -math.expm1(-dt_s / LATE_S)
    part = -math.expm1(-dt_s / FILTER_S)
    return Kept(kept.share + (share - kept.share) * part, recent, kept.duty + (recent - kept.duty) * part)


def _yield_at_once(cameras: Cameras, sense: Sense, duty: float, dt_s: float) -> Cameras:
    """Late or far too few: a cut, or, where a pause has not helped, none."""
    paused_s = cameras.paused_s + min(dt_s, 2.0) if duty < PAUSED_DUTY else 0.0
    if paused_s >= INNOCENT_AFTER_S:
        return _innocent(cameras, sense)
    severe = sense.frames_kept is not None and sense.frames_kept < SEVERE_BELOW
    ceiling = cut(cameras.ceiling, duty, SEVERE if severe else MILD, sense.at_s)
    return replace(cameras, ceiling=ceiling, paused_s=paused_s)


def _innocent(cameras: Cameras, sense: Sense) -> Cameras:
    floor = None if sense.frames_kept is None else max(0.0, sense.frames_kept - WORSE)
    most = None if sense.latency is None else sense.latency * LATER
    freed = Ceiling(max(FREED_SHARE, cameras.ceiling.share), 1.0, sense.at_s, None)
    return Cameras(freed, 0.0, floor, most)


def _well(rules: GovernorRules, cameras: Cameras, sense: Sense, dt_s: float) -> Cameras:
    """Nothing is late: more, in proportion to what is kept above the floor. Measured as before once all is well."""
    kept, floor = cameras.kept, _measures(rules, cameras)[0]
    if kept is None:
        ceiling = rise(cameras.ceiling, sense.at_s, dt_s)
    else:
        above = max(0.0, kept.share - floor - (rules.frames_good - rules.frames_floor))
        ceiling = rise(cameras.ceiling, sense.at_s, dt_s, min(FAST_PER_S, RISE_PER_S * above))
    if (kept is None or kept.share >= rules.frames_good) and not _is_late(sense, rules.frames_good, rules.latency_good):
        return replace(cameras, ceiling=ceiling, floor=None, limit=None)
    return replace(cameras, ceiling=ceiling)


def _measures(rules: GovernorRules, cameras: Cameras) -> tuple[float, float]:
    """The share of the frames that is the floor now, and the latency that is the limit."""
    floor = rules.frames_floor if cameras.floor is None else min(rules.frames_floor, cameras.floor)
    most = rules.latency_limit if cameras.limit is None else max(rules.latency_limit, cameras.limit)
    return floor, most


def _is_late(sense: Sense, floor: float, most: float) -> bool:
    """What cannot be told is no complaint, for then nothing runs."""
    kept, latency = sense.frames_kept, sense.latency
    return (kept is not None and kept < floor) or (latency is not None and latency > most)
