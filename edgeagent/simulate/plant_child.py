"""The process that keeps a virtual board alive: `python -m edgeagent.simulate.plant_child --root DIR`.

Every half second it takes the machine's real load from /proc/stat, steps the plant, and rewrites the files that a
running board changes; it holds the FIFOs of the dark zones open so that reading them gives EAGAIN. The virtual GPU is
as busy as the machine: the work that a Jetson's GPU would do is done by this machine's processors.

A file `load.json` in the board's directory (or `--load`) overrides what it names:
`{"cpu": 0.5, "gpu": 1.0, "dla": 0.5, "memory_mb": 2500, "ambient_c": 60, "oc1": 3, "oc2": 1}`, shares 0..1; `oc1` and
`oc2` are what those over-current counters show. Junk in it is reported once and ignored.

Writes go to the open file at offset 0, so readers may keep theirs open. A shorter content is cut after it is written:
in between a reader sees the new first line and an old tail behind it, never half a first line.

It prints `ready` once everything is in place, and again when it has followed a reboot of the board, which it notices
within a period. It ends with status 0 on SIGTERM, SIGINT, the end of its stdin (when
that is a pipe or a socket), or the death of its parent.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import signal
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from edgeagent.errors import EdgeAgentError
from edgeagent.simulate.board import MARKER, VirtualBoard, first_state, load_board
from edgeagent.simulate.board_caps import emc_is_locked, read_caps
from edgeagent.simulate.board_spec import distinct
from edgeagent.simulate.plant import Load, start, step
from edgeagent.simulate.plant_files import plant_files
from edgeagent.simulate.plant_load import HostLoad, Override, mix_load
from edgeagent.supervise.lifeline import die_with_parent

PERIOD_S = 0.5
LOAD_FILE = "load.json"
_JITTER_C = 0.06
_SHARED = ("cpu_freq:", "gpu_freq", "online", "offline")
"""Roles that tools write, too: never taken for unchanged."""
_LONGEST_STEP_S = 10.0
"""After a suspended machine the plant goes on from where it was rather than computing hours in one go."""


class PlantFiles:
    """The changing files of a virtual board, open for writing. Use in a `with`.

    It holds the FIFOs of the zones without power, so that reading them gives EAGAIN. A sleeper that is awake has one
    reading waiting in its FIFO, taken back and written anew at each call: whoever reads twice in between gets EAGAIN.
    """

    def __init__(self, board: VirtualBoard) -> None:
        self._closing = contextlib.ExitStack()
        with self._closing:
            self._fds = {role: self._open(board.path(role), os.O_WRONLY) for role in board.files}
            # Both ends: an end for writing alone does not open before somebody reads.
            held = {path: self._open(board.root / path, os.O_RDWR) for path in board.fifos}
            self._closing = self._closing.pop_all()
        self._sleepers = {role: held[path] for role, path in board.sleepers.items()}
        self._written: dict[str, bytes] = {}

    def _open(self, path: Path, flags: int) -> int:
        """Never waits: in a board that is being made anew, a FIFO may lie where a file is expected."""
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
        self._closing.callback(os.close, fd)
        return fd

    def __enter__(self) -> PlantFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def write(self, content: Mapping[str, bytes]) -> int:
        """Bring the files to `content`; returns how many had changed. Roles that this board has not are left out.

        A role that `content` leaves out is somebody else's for now, and written anew when it comes back.
        """
        for role, fd in self._sleepers.items():
            _refill(fd, content.get(role, b""))
        regular = {role: data for role, data in content.items() if role in self._fds}
        for role in [role for role in self._written if role not in regular or role.startswith(_SHARED)]:
            del self._written[role]
        changed = {role: data for role, data in regular.items() if self._written.get(role) != data}
        for role, data in changed.items():
            os.pwrite(self._fds[role], data, 0)
            if len(data) < len(self._written.get(role, b"")) or role not in self._written:
                os.ftruncate(self._fds[role], len(data))
        self._written.update(changed)
        return len(changed)


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
        """The same board a boot later: as warm as it was, its counters and its uptime from 0. Another board is cold."""
        state = self.state if board.name == self._board.name else start(board.spec.plant, self._ambient_c)
        self._board = board
        self._zones = distinct(zone.name for zone in board.spec.zones)
        self.state = replace(state, uptime_s=0.0, busy_s=0.0, idle_s=0.0, oc3_events=0.0)

    def _ours(self, content: dict[str, bytes]) -> dict[str, bytes]:
        """Without what somebody holds by hand: the fan's value, the memory's clock."""
        held = {"pwm"} if self.state.caps.pwm is not None else set()
        held |= {"emc_rate"} if emc_is_locked(self._board.root) else set()
        return {role: data for role, data in content.items() if role not in held}


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


class _Boots:
    """The boots of a board, told by its marker: a reboot replaces every file that the plant holds open."""

    def __init__(self, board: VirtualBoard) -> None:
        self._marker = board.root / MARKER
        self._stamp = self._stat()
        self.board = board

    def pending(self) -> bool:
        """Whether the board was made anew since `another` last said so."""
        return self._stat() not in (None, self._stamp)

    def another(self) -> bool:
        """Like `pending`, and `board` is then the new one."""
        if not self.pending():
            return False
        self._stamp = self._stat()
        self.board = load_board(self.board.root)
        return True

    def _stat(self) -> tuple[int, int] | None:
        try:
            stats = self._marker.stat()
        except OSError:
            return None
        return stats.st_ino, stats.st_mtime_ns


class _Life:
    """A running board: its plant, what loads it, and what ends it, the end of stdin or of the parent."""

    def __init__(self, plant: Plant, load_file: Path) -> None:
        self._plant = plant
        self._host, self._override = HostLoad(), Override(load_file)
        self._parent, self._stdin = os.getppid(), watchable(0)
        self._last = 0.0

    def begin(self, files: PlantFiles) -> None:
        """The first content of a boot."""
        self._last = time.monotonic() - PERIOD_S
        self.tick(files, host_share=0.0)

    def lasts(self) -> bool:
        """Wait for a period; False once it is over."""
        return not ended(self._stdin, PERIOD_S) and os.getppid() == self._parent

    def tick(self, files: PlantFiles, host_share: float | None = None) -> None:
        """Bring the files to now. `host_share` in place of this machine's load."""
        now, values = time.monotonic(), self._override.values()
        load = mix_load(self._host.share() if host_share is None else host_share, values)
        files.write(self._plant.tick(now - self._last, load, values.get("ambient_c"), values))
        self._last = now


def run(board: VirtualBoard, ambient_c: float, seed: int, load_file: Path) -> None:
    """Until stdin or the parent ends; SIGTERM arrives as SystemExit. Follows reboots of the board."""
    boots, plant = _Boots(board), Plant(board, ambient_c, seed)
    life = _Life(plant, load_file)
    going = True
    while going:
        try:
            going = _run_boot(boots, life)
        except OSError:  # made anew once more at this very moment: files are missing, or of another kind
            going = life.lasts()
        if going and boots.another():
            plant.reboot(boots.board)


def _run_boot(boots: _Boots, life: _Life) -> bool:
    """Keep the files of one boot changing. True when the next one has begun, False when all is over."""
    with PlantFiles(boots.board) as files:
        life.begin(files)
        _say_ready()
        while life.lasts():
            if boots.pending():
                return True
            life.tick(files)
    return False


def _say_ready() -> None:
    with contextlib.suppress(OSError):  # nobody has to listen
        os.write(1, b"ready\n")


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
    if not die_with_parent(os.getppid(), signal.SIGTERM):
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
