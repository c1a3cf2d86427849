"""Memory while a build runs: cancelled before the kernel has to kill something. Pure.

A pause frees nothing, so there is no ceiling here, only a verdict: below the floor, about to get there, or killed.
About to get there means that it fell over both of the last two intervals, at the slower of the two rates: a workspace
that is taken in one piece is no fall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.sense import Sense

FLOOR_SHARE = 0.05
LEAST_FLOOR_MB, MOST_FLOOR_MB = 200.0, 1500.0
MOST_FLOOR_SHARE = 0.25
FAR_MB, FAR_SHARE, FAR_S = 1000.0, 0.25, 8.0
"""So much above the floor (or this share of all, where that is less), and not there within this time: looks may be a
second apart. What takes more than `FAR_MB` within a second is too fast for any look."""
LONG_S = 5.0
"""A fall over a longer time without a look says nothing about the next seconds."""


@dataclass(frozen=True)
class MemoryWatch:
    """`fall_mb_per_s`: how fast the available memory fell between the last two looks; `earlier`: before those."""

    at_s: float | None = None
    available_mb: float | None = None
    fall_mb_per_s: float = 0.0
    earlier_mb_per_s: float = 0.0
    oom_kills: int | None = None
    killed: bool = False


def look_at_memory(watch: MemoryWatch, sense: Sense, *, building: bool) -> MemoryWatch:
    """After a look. A kill counts when it came after the last look, with a build, whoever was killed."""
    kills = watch.oom_kills if sense.oom_kills is None else sense.oom_kills
    newly = sense.oom_kills is not None and watch.oom_kills is not None and sense.oom_kills > watch.oom_kills
    killed = building and (watch.killed or newly)
    available = sense.memory_available_mb
    if available is None or not math.isfinite(available):
        return MemoryWatch(watch.at_s, watch.available_mb, watch.fall_mb_per_s, watch.earlier_mb_per_s, kills, killed)
    if watch.at_s is None or watch.available_mb is None or not 0 < sense.at_s - watch.at_s <= LONG_S:
        return MemoryWatch(sense.at_s, available, 0.0, 0.0, kills, killed)
    fall = (watch.available_mb - available) / (sense.at_s - watch.at_s)
    return MemoryWatch(sense.at_s, available, fall, watch.fall_mb_per_s, kills, killed)


def floor_mb(rules: GovernorRules, total_mb: float | None) -> float:
    """The available memory below which a build ends, never more than a quarter of all there is."""
    share_mb = LEAST_FLOOR_MB if total_mb is None else FLOOR_SHARE * total_mb
    wanted_mb = min(MOST_FLOOR_MB, max(LEAST_FLOOR_MB, share_mb))
    if rules.memory_floor_mb is not None:
        wanted_mb = rules.memory_floor_mb
    return wanted_mb if total_mb is None else min(wanted_mb, MOST_FLOOR_SHARE * total_mb)


def memory_trouble(rules: GovernorRules, watch: MemoryWatch, total_mb: float | None) -> str:
    """Why a build must end, in words; "" where it need not."""
    if watch.killed:
        return "the kernel has killed a process for want of memory"
    available = watch.available_mb
    if available is None:
        return ""
    floor = floor_mb(rules, total_mb)
    if available < floor:
        return f"{available:.0f} MB of memory are available, less than the floor of {floor:.0f}"
    fall = min(watch.fall_mb_per_s, watch.earlier_mb_per_s)
    if fall > 0 and (available - floor) / fall < rules.memory_reach_s:
        return f"memory falls by {fall:.0f} MB a second, {available - floor:.0f} MB above its floor of {floor:.0f}"
    return ""


def is_lost(watch: MemoryWatch, at_s: float) -> bool:
    """Whether what could be read before has not been for so long that nothing is known of it any more."""
    return watch.at_s is not None and at_s - watch.at_s > LONG_S


def is_far(rules: GovernorRules, watch: MemoryWatch, total_mb: float | None) -> bool:
    """Whether nothing can come of memory within the next second or two."""
    if watch.killed or watch.available_mb is None:
        return False
    above_mb = watch.available_mb - floor_mb(rules, total_mb)
    least_mb = FAR_MB if total_mb is None else min(FAR_MB, FAR_SHARE * total_mb)
    fall = max(watch.fall_mb_per_s, watch.earlier_mb_per_s, 0.0)
    return above_mb > max(least_mb, fall * FAR_S)
