"""Memory and disk: /proc/meminfo, the kernel's count of processes killed for memory, pressure, the state's disk.

Formats: the kernel's Documentation/filesystems/proc.rst and Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edgeagent.board.files import Probe
from edgeagent.board.parse import parse_meminfo
from edgeagent.board.parts import Disk, Memory

PROC_LIMIT = 65536
_OOM_KILL = re.compile(rb"^oom_kill ([0-9]{1,18})$", re.MULTILINE)
_PRESSURE = re.compile(rb"^some avg10=([0-9]{1,3}(?:\.[0-9]{1,6})?) ", re.MULTILINE)


def parse_oom_kills(raw: bytes) -> int | None:
    """The line `oom_kill N` of /proc/vmstat; kernels before 4.13 have none."""
    found = _OOM_KILL.search(raw)
    return int(found.group(1)) if found else None


def parse_pressure(raw: bytes) -> float | None:
    """Percent of the last ten seconds in which some process waited: `some avg10=0.00 avg60=...`."""
    found = _PRESSURE.search(raw)
    return min(100.0, float(found.group(1))) if found else None


def read_memory(proc: Mapping[str, Probe]) -> Memory:
    """`proc` holds probes of meminfo, vmstat and pressure/memory."""
    values = parse_meminfo(proc["meminfo"].read(PROC_LIMIT)[0])
    return Memory(
        total_kb=values.get("MemTotal"),
        available_kb=values.get("MemAvailable"),
        swap_total_kb=values.get("SwapTotal"),
        swap_free_kb=values.get("SwapFree"),
        oom_kills=parse_oom_kills(proc["vmstat"].read(PROC_LIMIT)[0]),
        pressure_percent=parse_pressure(proc["pressure/memory"].read()[0]),
    )


def read_disk(state_dir: Path) -> Disk | None:
    """The directory's file system, or that of the nearest parent that exists."""
    for directory in (state_dir, *state_dir.parents):
        try:
            stats = os.statvfs(directory)
        except (OSError, ValueError):
            continue
        return Disk(stats.f_blocks * stats.f_frsize, stats.f_bavail * stats.f_frsize)
    return None
