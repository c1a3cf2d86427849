"""Cameras first: a build yields when the running pipelines lose frames or answer late. Pure.

Not all that is late is late because of the build. Where a pause of the build does not help, what is seen during the
pause becomes the measure: the build goes on, and yields only when it makes that worse.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from edgeagent.thermal.ceiling import Ceiling, cut, rise
from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.sense import Sense

MILD, SEVERE = 0.7, 0.4
SEVERE_BELOW = 0.85
PAUSED_DUTY = 0.05
INNOCENT_AFTER_S = 15.0
"""A pause shows in the frames within seconds; after this long without effect, the build is not the cause."""
WORSE = 0.04
LATER = 1.25
FREED_SHARE = 0.15
"""What an innocent build begins with again."""


@dataclass(frozen=True)
class Cameras:
    """`paused_s`: how long frames have been late while the build stood still. `floor` and `limit` are in force where
    pausing did not help: the share of frames and the latency that were there without the build."""

    ceiling: Ceiling = field(default_factory=Ceiling)
    paused_s: float = 0.0
    floor: float | None = None
    limit: float | None = None


def look_at_cameras(rules: GovernorRules, cameras: Cameras, sense: Sense, duty: float, dt_s: float) -> Cameras:
    """After a look; the build worked with `duty` since the last one."""
    found = _found(rules, cameras, sense)
    if found == "well":
        floor, limit = cameras.floor, cameras.limit
        if _found(rules, Cameras(), sense) == "well":
            floor = limit = None
        return Cameras(rise(cameras.ceiling, sense.at_s, dt_s), 0.0, floor, limit)
    if found == "between":
        return replace(cameras, paused_s=0.0)
    paused_s = cameras.paused_s + min(dt_s, 2.0) if duty < PAUSED_DUTY else 0.0
    if paused_s >= INNOCENT_AFTER_S:
        return _innocent(cameras, sense)
    severe = sense.frames_kept is not None and sense.frames_kept < SEVERE_BELOW
    return replace(
        cameras, ceiling=cut(cameras.ceiling, duty, SEVERE if severe else MILD, sense.at_s), paused_s=paused_s
    )


def _innocent(cameras: Cameras, sense: Sense) -> Cameras:
    floor = None if sense.frames_kept is None else max(0.0, sense.frames_kept - WORSE)
    limit = None if sense.latency is None else sense.latency * LATER
    freed = Ceiling(max(FREED_SHARE, cameras.ceiling.share), 1.0, sense.at_s, None)
    return Cameras(freed, 0.0, floor, limit)


def _found(rules: GovernorRules, cameras: Cameras, sense: Sense) -> Literal["late", "between", "well"]:
    """How the pipelines do; what cannot be told is no complaint, for then nothing runs."""
    kept, latency = sense.frames_kept, sense.latency
    floor = rules.frames_floor if cameras.floor is None else min(rules.frames_floor, cameras.floor)
    limit = rules.latency_limit if cameras.limit is None else max(rules.latency_limit, cameras.limit)
    if (kept is not None and kept < floor) or (latency is not None and latency > limit):
        return "late"
    good = min(rules.frames_good, floor + (rules.frames_good - rules.frames_floor))
    good_latency = limit * rules.latency_good / rules.latency_limit
    if (kept is not None and kept < good) or (latency is not None and latency > good_latency):
        return "between"
    return "well"
