"""CPU time that other processes have used, to the nanosecond: the kernel's own clocks, read without a file.

Every process has a clock for its CPU time. Its number is made of the pid, see clock_getcpuclockid(3) and
include/linux/posix-timers_types.h: the complement of the pid in the upper bits, 2 for scheduled time in the lowest.
"""

from __future__ import annotations

import time
from pathlib import Path

from edgeagent.errors import ChildError

_SCHEDULED = 2
NS = 1_000_000_000


def used_by(pid: int) -> float:
    """CPU seconds of the process, all of its threads, those that have ended among them. Raises ChildError."""
    return _read((~pid << 3) | _SCHEDULED, pid)


def used_by_main_thread(pid: int) -> float:
    """CPU seconds of the process's first thread. Raises ChildError."""
    task = Path(f"/proc/{pid}/task/{pid}/schedstat")
    try:
        return int(task.read_text(encoding="ascii").split()[0]) / NS
    except (OSError, ValueError, IndexError) as error:
        raise _gone(pid) from error


def _read(clock: int, pid: int) -> float:
    try:
        return time.clock_gettime_ns(clock) / NS
    except OSError as error:
        raise _gone(pid) from error


def _gone(pid: int) -> ChildError:
    return ChildError(
        f"process {pid} ended while it was measured", mend="see what it said above, and measure again", retry=True
    )
