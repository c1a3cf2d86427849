"""What the descendants of a process did lately: the work that heats a virtual board which follows them.

Followed are the process named and everything that it started, directly or not, but for the follower itself. What a
process is, its command line tells, by the module that it runs (`MODULES`); one that runs none of them is what its
parent is: the build's compilers and verifiers are the build. The tree is looked through every `TREE_S`.

A process's work is what its threads really ran, from /proc/PID/task/TID/schedstat (nanoseconds on a processor, and
nanoseconds that it waited for one), as a share of the time; one that is stopped by a signal counts as 0 at once. Where
the kernel has no schedstat, it is the process's user and system time from /proc/PID/stat, in ticks of 10 ms.

For a build it is (run + waited) / time: that this machine has no processor for it now is not held against it, for a
board shares its processors with nobody, so that a build that never sleeps counts as 1 however busy the machine is. The
kernel tells of a wait when it is over; what is more than the time since the last look is then counted in the next ones.
What follows a camera's clock makes up for having waited by sleeping less, so there it is run / time.

A thread that ends takes what it did since the last look with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from edgeagent.simulate.plant_work import Work

Kind = Literal["build", "infer", "other"]
MODULES: tuple[tuple[str, Kind], ...] = (
    ("edgeagent.engine.build.", "build"),
    ("edgeagent.simulate.heat_worker build", "build"),
    ("edgeagent.inference.infer_child", "infer"),
    ("edgeagent.simulate.heat_worker infer", "infer"),
    ("edgeagent.camera.", "other"),
)
TREE_S = 0.5
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_LEAST_S = 0.001


class _Time(NamedTuple):
    """Nanoseconds so far: on a processor, and waiting for one."""

    ran: int
    waited: int


@dataclass
class _Thread:
    """`owed_s`: waits that are told and not yet counted."""

    kind: Kind
    before: _Time
    owed_s: float = 0.0

    def share(self, now: _Time, span_s: float) -> float:
        """How busy it was since the last look, 0..1."""
        busy_s = (now.ran - self.before.ran) / 1e9
        if self.kind == "build":
            busy_s += self.owed_s + max(0, now.waited - self.before.waited) / 1e9
        self.before, self.owed_s = now, max(0.0, busy_s - span_s)
        return min(1.0, max(0.0, busy_s) / span_s)


class Follower:
    """The descendants of `pid`, that one included. A process that does not exist does nothing.

    `memory_scale` is how much of the board's memory a byte stands for that a build holds.
    """

    def __init__(self, pid: int, memory_scale: float = 1.0) -> None:
        self._pid = pid
        self._memory_scale = memory_scale
        self._threads: dict[Path, _Thread] = {}
        self._kinds: dict[int, Kind] = {}
        self._looked_ns = time.monotonic_ns()
        self._tree_ns = 0
        self.look()

    def look(self) -> Work:
        """What they did since the last look."""
        now_ns = time.monotonic_ns()
        span_s = max(_LEAST_S, (now_ns - self._looked_ns) / 1e9)
        self._looked_ns = now_ns
        shares: dict[Kind, float] = {"build": 0.0, "infer": 0.0, "other": 0.0}
        for path, thread in list(self._threads.items()):
            now = _read_time(path)
            if now is None:
                del self._threads[path]
                continue
            shares[thread.kind] += thread.share(now, span_s)
        if now_ns - self._tree_ns >= TREE_S * 1e9 or not self._threads:
            self._tree_ns = now_ns
            self._find()
        return Work(shares["build"], shares["infer"], shares["other"], self._held_mb())

    def _find(self) -> None:
        """Threads that are new start from now. A process that has become another program is another thing."""
        self._kinds = dict(_descendants(self._pid))
        for pid, kind in self._kinds.items():
            for path in _clocks(pid):
                if (known := self._threads.get(path)) is not None:
                    known.kind = kind
                elif (now := _read_time(path)) is not None:
                    self._threads[path] = _Thread(kind, now)

    def _held_mb(self) -> float:
        """What they hold of the board's memory now."""
        scales: dict[Kind, float] = {"build": self._memory_scale, "infer": 1.0, "other": 1.0}
        return sum(_resident_mb(pid) * scales[kind] for pid, kind in self._kinds.items())


def _read_time(path: Path) -> _Time | None:
    """Of a schedstat (schedstats.rst in the kernel's documentation) or, where there is none, a stat (proc(5))."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if path.name == "schedstat":
        ran, waited = text.split()[:2]
        return _Time(int(ran), int(waited))
    fields = text.rpartition(")")[2].split()
    return _Time((int(fields[11]) + int(fields[12])) * _TICK_NS, 0)


def _clocks(pid: int) -> list[Path]:
    """The files that tell how long a process ran: one a thread, or one for all of it."""
    process = Path(f"/proc/{pid}")
    try:
        threads = [thread / "schedstat" for thread in (process / "task").iterdir()]
    except OSError:
        return []
    return threads if threads and threads[0].exists() else [process / "stat"]


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_MB
    except (OSError, IndexError):
        return 0.0


def _descendants(pid: int) -> Iterator[tuple[int, Kind]]:
    """The process and all below it, each with what it is."""
    children = _children()
    waiting: list[tuple[int, Kind]] = [(pid, "other")]
    while waiting:
        found, inherited = waiting.pop()
        kind = _kind(found, inherited)
        yield found, kind
        waiting += [(child, kind) for child in children.get(found, ()) if child != os.getpid()]


def _children() -> dict[int, list[int]]:
    """By parent, from every process's stat."""
    found: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (parent := _parent(entry.name)) is not None:
            found.setdefault(parent, []).append(int(entry.name))
    return found


def _parent(name: str) -> int | None:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  hundreds of them, twice a second
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _kind(pid: int, inherited: Kind) -> Kind:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return inherited
    return next((kind for module, kind in MODULES if module in command), inherited)
