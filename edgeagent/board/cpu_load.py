"""The load of the CPU from one look at /proc/stat to the next, and why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeagent.board.parse import CpuTimes, cpu_load, parse_proc_stat
from edgeagent.board.parts import Absent

ALL = -1
"""The whole machine, beside the numbers of its cores."""

STILL_S = 2.0
"""For how long a load holds while the kernel's counters stand still: two looks within one tick see the same numbers."""


@dataclass(frozen=True)
class CpuLoads:
    """What was seen last. `loads` in percent by core; `moved_s` is the time at which the counters last moved."""

    times: Mapping[int, CpuTimes] = field(default_factory=dict)
    loads: Mapping[int, float] = field(default_factory=dict)
    moved_s: float = 0.0
    absent: Absent = "first"

    @property
    def cores(self) -> frozenset[int]:
        """Those that are online."""
        return frozenset(self.times) - {ALL}


def next_loads(before: CpuLoads, raw: bytes, no_file: Absent, now_s: float) -> CpuLoads:
    """`raw` is /proc/stat now, `no_file` why it could not be read."""
    times = parse_proc_stat(raw)
    if ALL not in times:
        return CpuLoads(absent=no_file or "unreadable")
    if times[ALL] != before.times.get(ALL):
        pairs = ((core, cpu_load(before.times[core], now)) for core, now in times.items() if core in before.times)
        loads = {core: load for core, load in pairs if load is not None}
        return CpuLoads(times, loads, now_s, "" if ALL in loads else "first")
    if before.absent or now_s - before.moved_s > STILL_S:
        return CpuLoads(times, {}, before.moved_s, "still")
    return before
