"""The cgroups that a machine lives in: all its processes can be found there and ended, whatever becomes of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from container_root import UnavailableError

CGROUPS = Path("/sys/fs/cgroup")
REMOVAL_S = 30.0
_GUARD = 'read -r _ && exit; for group; do find "$group" -name cgroup.procs -exec cat {} +; done | xargs -r kill -KILL'


@contextmanager
def own_cgroups(name: str) -> Iterator[list[Path]]:
    """A cgroup below our own in each hierarchy that a systemd uses. At the end, what is in them is killed."""
    made: list[Path] = []
    try:
        for parent in _parents():
            _make(parent / name)
            made.append(parent / name)
        with _guarded(made):
            yield made
    finally:
        for group in made:
            _remove(group)


def _parents() -> Iterator[Path]:
    """Where this process is in the hierarchy of cgroup v2 and in systemd's own of cgroup v1, where there are any."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            tops = (CGROUPS / "systemd",) if controllers else (CGROUPS / "unified", CGROUPS)
            yield from [Path(f"{top}{path}") for top in tops if (top / "cgroup.procs").exists()][:1]


def _make(group: Path) -> None:
    try:
        group.mkdir()
    except OSError as error:
        raise UnavailableError(f"no cgroup can be made for a machine: {group}: {error.strerror}") from error


@contextmanager
def _guarded(groups: list[Path]) -> Iterator[None]:
    """A shell that outlives us where we are killed, and then kills what is in the cgroups."""
    command = ["/bin/sh", "-c", _GUARD, "sh", *map(str, groups)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:
        yield
        guard.communicate(b"done\n")


def _remove(top: Path) -> None:
    """A cgroup stays busy for a moment after its last process has gone."""
    deadline = time.monotonic() + REMOVAL_S
    while top.exists() and time.monotonic() < deadline:
        for directory, _, _ in os.walk(top, topdown=False):
            _kill(Path(directory))
            with suppress(OSError):
                Path(directory).rmdir()


def _kill(group: Path) -> None:
    with suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
