"""The process that keeps a virtual board alive: `python -m edgeagent.simulate.plant_child --root DIR`.

Every half second it takes the machine's real load from /proc/stat, steps the plant, and rewrites the files that a
running board changes; it holds the FIFOs of the dark zones open so that reading them gives EAGAIN. The virtual GPU is
as busy as the machine: the work that a Jetson's GPU would do is done by this machine's processors.

A file `load.json` in the board's directory (or `--load`) overrides what it names:
`{"cpu": 0.5, "gpu": 1.0, "dla": 0.5, "memory_mb": 2500, "ambient_c": 60, "oc1": 3, "oc2": 1}`, shares 0..1; `oc1` and
`oc2` are what those over-current counters show. Junk in it is reported once and ignored.

Writes go to the open file at offset 0, so readers may keep theirs open. A shorter content is cut after it is written:
in between a reader sees the new first line and an old tail behind it, never half a first line.

It prints `ready` once everything is in place. It ends with status 0 on SIGTERM, SIGINT, the end of its stdin (when
that is a pipe or a socket), or the death of its parent.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import math
import os
import random
import select
import signal
import stat
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from edgeagent.errors import EdgeAgentError
from edgeagent.simulate.board import MARKER, VirtualBoard, first_state, load_board
from edgeagent.simulate.board_caps import emc_is_locked, read_caps
from edgeagent.simulate.board_spec import distinct
from edgeagent.simulate.plant import Load, step
from edgeagent.simulate.plant_files import plant_files

PERIOD_S = 0.5
LOAD_FILE = "load.json"
_PR_SET_PDEATHSIG = 1
_JITTER_C = 0.06
_KEYS = ("cpu", "gpu", "dla", "memory_mb", "ambient_c", "oc1", "oc2")
_LONGEST_STEP_S = 10.0
"""After a suspended machine the plant goes on from where it was rather than computing hours in one go."""


class PlantFiles:
    """The changing files of a virtual board, open for writing. Use in a `with`.

    It holds the FIFOs of the zones without power, so that reading them gives EAGAIN. A sleeper that is awake has one
    reading waiting in its FIFO, taken back and written anew at each call: whoever reads twice in between gets EAGAIN.
    """

    def __init__(self, board: VirtualBoard) -> None:
        self._fds = {role: os.open(board.path(role), os.O_WRONLY | os.O_CLOEXEC) for role in board.files}
        # Both ends: an end for writing alone does not open before somebody reads.
        held = {path: os.open(board.root / path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC) for path in board.fifos}
        self._held = list(held.values())
        self._sleepers = {role: held[path] for role, path in board.sleepers.items()}
        self._written: dict[str, bytes] = {}

    def __enter__(self) -> PlantFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in (*self._fds.values(), *self._held):
            os.close(fd)

    def write(self, content: Mapping[str, bytes]) -> int:
        """Bring the files to `content`; returns how many had changed. Roles that this board has not are left out."""
        for role, fd in self._sleepers.items():
            _refill(fd, content.get(role, b""))
        regular = {role: data for role, data in content.items() if role in self._fds}
        changed = {role: data for role, data in regular.items() if self._written.get(role) != data}
        for role, data in changed.items():
            os.pwrite(self._fds[role], data, 0)
            if len(data) < len(self._written.get(role, b"")) or role not in self._written:
                os.ftruncate(self._fds[role], len(data))
        self._written.update(changed)
        return len(changed)

    def forget(self, roles: Iterable[str]) -> None:
        """Somebody else writes these now: the next content for them counts as a change."""
        for role in roles:
            self._written.pop(role, None)


def _refill(fd: int, data: bytes) -> None:
    """Empty the FIFO and leave `data` in it."""
    with contextlib.suppress(BlockingIOError):
        os.read(fd, 4096)
    if data:
        os.write(fd, data)


class Plant:
    """The plant of one board: takes load, gives file content. Knows no clock; `tick` is told the time that passed."""

    def __init__(self, board: VirtualBoard, ambient_c: float, seed: int) -> None:
        self._board = board
        self._ambient_c = ambient_c
        self._rng = random.Random(seed)  # noqa: S311 - sensor noise
        self._zones = distinct(zone.name for zone in board.spec.zones)
        self.state = first_state(board.spec, ambient_c)

    def tick(
        self, dt_s: float, load: Load, ambient_c: float | None = None, events: Mapping[str, float] | None = None
    ) -> dict[str, bytes]:
        """Content of all changing files after `dt_s` more seconds of `load`. `events`: what `oc1` and `oc2` count."""
        self.state = replace(self.state, caps=read_caps(self._board.root, self._board.spec, self._board.pwm_path))
        ambient = self._ambient_c if ambient_c is None else ambient_c
        self.state = step(self.state, load, min(dt_s, _LONGEST_STEP_S), ambient)
        if events:
            oc1, oc2 = (int(events.get(name, 0)) for name in ("oc1", "oc2"))
            self.state = replace(self.state, oc1_events=oc1, oc2_events=oc2)
        jitter = {name: self._rng.gauss(0.0, _JITTER_C) for name in self._zones}
        return self._ours(plant_files(self._board.spec, self.state, jitter))

    def reboot(self, board: VirtualBoard) -> None:
        """The same board a boot later: as warm as it was, its counters and its uptime from 0."""
        self._board = board
        self.state = replace(self.state, uptime_s=0.0, busy_s=0.0, idle_s=0.0, oc3_events=0.0)

    def _ours(self, content: dict[str, bytes]) -> dict[str, bytes]:
        """Without what somebody holds by hand: the fan's value, the memory's clock."""
        held = {"pwm"} if self.state.caps.pwm else set()
        held |= {"emc_rate"} if emc_is_locked(self._board.root) else set()
        return {role: data for role, data in content.items() if role not in held}


class HostLoad:
    """How busy this machine was since the last question, 0..1."""

    def __init__(self) -> None:
        self._before = self._times()

    def share(self) -> float:
        before, self._before = self._before, self._times()
        busy, total = (now - then for now, then in zip(self._before, before, strict=True))
        return min(1.0, max(0.0, busy / total)) if total > 0 else 0.0

    @staticmethod
    def _times() -> tuple[int, int]:
        """Ticks (busy, total) of the first line of /proc/stat."""
        fields = [int(word) for word in Path("/proc/stat").read_bytes().split(b"\n", 1)[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4], sum(fields)


class Override:
    """The load file: read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._values: dict[str, float] = {}

    def values(self) -> dict[str, float]:
        """What the file sets; empty without a file. Junk leaves the values as they were."""
        try:
            stats = self._path.stat()
            if (stamp := (stats.st_mtime_ns, stats.st_size)) != self._stamp:
                self._stamp = stamp
                self._values = parse_override(self._path.read_bytes())
        except FileNotFoundError:
            self._stamp, self._values = None, {}
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{self._path}: {error}; the load stays as it was\n")
        return self._values


def parse_override(raw: bytes) -> dict[str, float]:
    """The load file's numbers by name. Raises ValueError, naming the mistake, for anything else."""
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    for name, value in found.items():
        if name not in _KEYS:
            raise ValueError(f"unknown key {name!r}: {', '.join(_KEYS)} are known")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{name} is not a number")
    return {name: float(value) for name, value in found.items()}


def mix_load(host_share: float, override: Mapping[str, float]) -> Load:
    """The machine's load, with what the load file says in place of it. Busy machines also hold more memory."""
    cpu = override.get("cpu", host_share)
    gpu = override.get("gpu", host_share)
    return Load(cpu, gpu, override.get("memory_mb", 400.0 + 1200.0 * gpu), override.get("dla", 0.0))


def die_with_parent(parent: int) -> bool:
    """Ask the kernel for SIGTERM when the parent ends; False when it has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return os.getppid() == parent


def watchable(fd: int) -> list[int]:
    """`[fd]` when its end means something: a pipe or a socket, not /dev/null or a terminal."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return []
    return [fd] if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else []


def ended(fds: list[int], timeout_s: float) -> bool:
    """Wait, at most `timeout_s`; True when stdin has come to its end. What is written to it is thrown away."""
    readable, _, _ = select.select(fds, [], [], timeout_s)
    return any(not os.read(fd, 4096) for fd in readable)


class _Boot:
    """Which boot of the board its marker tells of; a reboot replaces every file that the plant holds open."""

    def __init__(self, board: VirtualBoard) -> None:
        self._marker = board.root / MARKER
        self._stamp = self._stat()
        self.board = board

    def is_new(self) -> bool:
        """Whether the board was made anew since the last question; `board` is then the new one."""
        stamp = self._stat()
        if stamp == self._stamp or stamp is None:
            return False
        self._stamp = stamp
        with contextlib.suppress(EdgeAgentError):
            self.board = load_board(self.board.root)
            return True
        return False

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stats = self._marker.stat()
        except OSError:
            return None
        return stats.st_ino, stats.st_mtime_ns, stats.st_size


def run(board: VirtualBoard, ambient_c: float, seed: int, load_file: Path) -> None:
    """Until stdin or the parent ends; SIGTERM arrives as SystemExit. Follows reboots of the board."""
    parent = os.getppid()
    plant, host, override = Plant(board, ambient_c, seed), HostLoad(), Override(load_file)
    stdin, boot, last = watchable(0), _Boot(board), time.monotonic() - PERIOD_S
    announced = False
    while os.getppid() == parent:
        with PlantFiles(boot.board) as files:
            while not boot.is_new():
                now = time.monotonic()
                values = override.values()
                load = mix_load(host.share(), values)
                files.write(plant.tick(now - last, load, values.get("ambient_c"), values))
                last = now
                announced = announced or _say_ready()
                if os.getppid() != parent or ended(stdin, PERIOD_S):
                    return
        plant.reboot(boot.board)


def _say_ready() -> bool:
    with contextlib.suppress(OSError):  # nobody has to listen
        os.write(1, b"ready\n")
    return True


def _stop(number: int, frame: object) -> None:
    raise SystemExit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("plant_child", description="Keeps a virtual board's files changing.")
    parser.add_argument("--root", type=Path, required=True, help="directory of the virtual board")
    parser.add_argument("--ambient", type=float, default=25.0, metavar="C", help="temperature of the air")
    parser.add_argument("--seed", type=int, default=0, help="of the sensor noise")
    parser.add_argument("--load", type=Path, help=f"load file, by default {LOAD_FILE} in the board's directory")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    if not die_with_parent(os.getppid()):
        return 0
    try:
        board = load_board(options.root)
    except EdgeAgentError as error:
        sys.stderr.write(f"{error.line()}\n")
        return 2
    run(board, options.ambient, options.seed, options.load or options.root / LOAD_FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
