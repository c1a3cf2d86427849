"""Memory, disk, uptime: /proc/meminfo, the kernel's count of processes killed for memory, pressure, the state's disk.

Formats: the kernel's Documentation/filesystems/proc.rst and Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from edgeagent.board.files import Probe
from edgeagent.board.parse import parse_meminfo, parse_uptime
from edgeagent.board.parts import Absent, Disk, Memory

PROC_LIMIT = 65536
_FIRST_LINES = 256  # MemTotal, MemFree and MemAvailable are its first, some 30 bytes each
_MOST_KB = 2**30  # 1 TiB
_MOST_KILLS = 2**53
_LONGEST_UPTIME_S = 3_200_000_000.0  # a century
_OOM_KILL = re.compile(rb"^oom_kill ([0-9]{1,18})$", re.MULTILINE)
_AVAILABLE = re.compile(
    rb"MemTotal:\s{0,40}([0-9]{1,18}) kB\nMemFree:\s{0,40}[0-9]{1,18} kB\nMemAvailable:\s{0,40}([0-9]{1,18}) kB\n"
)
_PRESSURE = re.compile(rb"^some avg10=([0-9]{1,3}(?:\.[0-9]{1,6})?) ", re.MULTILINE)


def parse_oom_kills(raw: bytes) -> int | None:
    """The line `oom_kill N` of /proc/vmstat; kernels before 4.13 have none."""
    found = _OOM_KILL.search(raw)
    return int(found.group(1)) if found and int(found.group(1)) <= _MOST_KILLS else None


def parse_pressure(raw: bytes) -> float | None:
    """Percent of the last ten seconds in which some process waited: `some avg10=0.00 avg60=...`."""
    found = _PRESSURE.search(raw)
    return float(found.group(1)) if found and float(found.group(1)) <= 100.0 else None


def read_memory(proc: Mapping[str, Probe]) -> Memory:
    """`proc` holds probes of meminfo, vmstat and pressure/memory."""
    raw, no_file = proc["meminfo"].read(PROC_LIMIT)
    values = parse_meminfo(raw)
    total_kb, available_kb = possible_pair(values.get("MemTotal") or None, values.get("MemAvailable"))
    swap_total_kb, swap_free_kb = possible_pair(values.get("SwapTotal"), values.get("SwapFree"))
    vmstat, no_vmstat = proc["vmstat"].read(PROC_LIMIT)
    pressure, no_pressure = proc["pressure/memory"].read()
    oom_kills, percent = parse_oom_kills(vmstat), parse_pressure(pressure)
    return Memory(
        total_kb=total_kb,
        available_kb=available_kb,
        swap_total_kb=swap_total_kb,
        swap_free_kb=swap_free_kb,
        oom_kills=oom_kills,
        pressure_percent=percent,
        absent=_why(no_file, total_kb, available_kb),
        swap_absent=_why(no_file, swap_total_kb, swap_free_kb),
        oom_kills_absent=_why(no_vmstat or _no_line(vmstat, b"oom_kill "), oom_kills),
        pressure_absent=_why(no_pressure, percent),
    )


def read_available(meminfo: Probe) -> Memory:
    """Only how much there is and how much is available: the first lines of meminfo."""
    raw, no_file = meminfo.read(_FIRST_LINES)
    if found := _AVAILABLE.match(raw):
        total_kb, available_kb = possible_pair(int(found[1]) or None, int(found[2]))
    else:
        values = parse_meminfo(raw)
        total_kb, available_kb = possible_pair(values.get("MemTotal") or None, values.get("MemAvailable"))
    return Memory(total_kb=total_kb, available_kb=available_kb, absent=_why(no_file, total_kb, available_kb))


def possible_pair(total_kb: int | None, part_kb: int | None) -> tuple[int | None, int | None]:
    """Each as far as it can be true: at most 1 TiB, and the part not more than the whole."""
    total = total_kb if total_kb is not None and total_kb <= _MOST_KB else None
    part = part_kb if part_kb is not None and part_kb <= (_MOST_KB if total is None else total) else None
    return total, part


def _why(no_file: Absent, *values: float | None) -> Absent:
    """The reason for what is None among `values`: the file's, else that it holds nothing possible."""
    return (no_file or "unreadable") if None in values else ""


def _no_line(raw: bytes, key: bytes) -> Absent:
    return "" if raw.startswith(key) or b"\n" + key in raw else "not-given"


def read_uptime(probe: Probe) -> tuple[float | None, Absent]:
    """Seconds since boot."""
    raw, no_file = probe.read()
    uptime_s = parse_uptime(raw)
    if uptime_s is not None and uptime_s > _LONGEST_UPTIME_S:
        uptime_s = None
    return uptime_s, _why(no_file, uptime_s)


def read_disk(state_dir: Path) -> Disk | None:
    """The directory's file system, or that of the nearest parent that exists."""
    for directory in (state_dir, *state_dir.parents):
        try:
            stats = os.statvfs(directory)
        except (OSError, ValueError):
            continue
        return Disk(stats.f_blocks * stats.f_frsize, stats.f_bavail * stats.f_frsize)
    return None
