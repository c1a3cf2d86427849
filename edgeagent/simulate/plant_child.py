"""The process that keeps a virtual board alive: `python -m edgeagent.simulate.plant_child --root DIR`.

Every half second it takes the machine's real load from /proc/stat, steps the plant, and rewrites the files that a
running board changes; it holds the FIFOs of the dark zones open so that reading them gives EAGAIN. The virtual GPU is
as busy as the machine: the work that a Jetson's GPU would do is done by this machine's processors.

With `--follow PID` it is the work of that process and of all that it started (see `plant_follow` for what is followed
and `plant_work` for what it means), five times a second, and what they hold is in use on the board, for a build
`--memory-scale` times. `--nvml` takes the GPU's share from the power of this machine's NVIDIA GPU, where there is one.
`--accelerate N` lets the board live N times faster than the wall clock: whoever steers it has to be as fast.

A file `load.json` in the board's directory (or `--load`) overrides what it names, while it runs:
`{"cpu": 0.5, "gpu": 1.0, "dla": 0.5, "memory_mb": 2500, "oc1": 3, "oc2": 1}`, shares 0..1; `oc1` and `oc2` are what
those over-current counters show; `{"ambient_c": 60, "sun_w": 12, "blocked": 0.7, "fan_failed": 1}` is the air's
temperature, sunlight on the sink, the share of its fins that is blocked, and a fan that stands still whatever it is
told. Junk in it is reported once and ignored.

It prints `ready` once everything is in place, and again when it has followed a reboot of the board, which it notices
within a period. It ends with status 0 on SIGTERM, SIGINT, the end of its stdin (when that is a pipe or a socket), or
the death of its parent.
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
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent.errors import EdgeAgentError
from edgeagent.simulate.board import MARKER, VirtualBoard, first_state, load_board
from edgeagent.simulate.board_caps import emc_is_locked, read_caps
from edgeagent.simulate.board_spec import VirtualSpec, distinct
from edgeagent.simulate.plant import Air, Load, Slices, start, step
from edgeagent.simulate.plant_drive import Drive, Source, Trace, open_source
from edgeagent.simulate.plant_files import plant_files
from edgeagent.simulate.plant_load import Override, air_of, mix_load
from edgeagent.simulate.plant_open import PlantFiles
from edgeagent.simulate.plant_work import IDLE_CPU
from edgeagent.simulate.thermal import Network
from edgeagent.simulate.thermal_parameters import COOLERS
from edgeagent.supervise.lifeline import die_with_parent

PERIOD_S = 0.5
FOLLOW_PERIOD_S = 0.2
"""Of the board's time: a build that is stopped in slices shows at once, and averages well over a die's 2.5 s."""
LOAD_FILE = "load.json"
_JITTER_C = 0.06
_LONGEST_STEP_S = 10.0
"""After a suspended machine the plant goes on from where it was rather than computing hours in one go."""


class Plant:
    """The plant of one board: takes load, gives file content. Knows no clock; `tick` is told the time that passed."""

    def __init__(
        self, board: VirtualBoard, ambient_c: float, seed: int, cooler: Network | None = None, worked: float = 0.0
    ) -> None:
        self._board = board
        self._cooler = cooler
        self._ambient_c = ambient_c
        self._rng = random.Random(seed)  # noqa: S311 - sensor noise
        self._zones = distinct(zone.name for zone in board.spec.zones)
        self.state = first_state(self._spec(board), ambient_c, load=Load(max(IDLE_CPU, worked), worked))

    def tick(
        self,
        dt_s: float,
        load: Load | Slices,
        around: Air | float | None = None,
        events: Mapping[str, float] | None = None,
        held_mb: float | None = None,
    ) -> dict[str, bytes]:
        """Content of all changing files after `dt_s` more seconds of `load`.

        `around`: what is around the board, or only how warm the air is, C. `events`: what `oc1` and `oc2` count.
        `held_mb`: memory that is in use at once, on top of an idle board's.
        """
        self.state = replace(self.state, caps=read_caps(self._board.root, self._board.spec, self._board.pwm_path))
        self.state = step(self.state, load, min(dt_s, _LONGEST_STEP_S), self._ambient_c if around is None else around)
        if held_mb is not None:
            self.state = replace(self.state, memory_mb=self.state.spec.memory_mb + held_mb)
        if events:
            oc1, oc2 = (int(events.get(name, 0)) for name in ("oc1", "oc2"))
            self.state = replace(self.state, oc1_events=oc1, oc2_events=oc2)
        jitter = {name: self._rng.gauss(0.0, _JITTER_C) for name in self._zones}
        return self._ours(plant_files(self._board.spec, self.state, jitter))

    def reboot(self, board: VirtualBoard) -> None:
        """The same board a boot later: as warm as it was, its counters and its uptime from 0. Another board is cold."""
        state = self.state if board.name == self._board.name else start(self._spec(board).plant, self._ambient_c)
        self._board = board
        self._zones = distinct(zone.name for zone in board.spec.zones)
        self.state = replace(state, uptime_s=0.0, busy_s=0.0, idle_s=0.0, oc3_events=0.0)

    def _spec(self, board: VirtualBoard) -> VirtualSpec:
        """The board with the cooler that it was given."""
        spec = board.spec
        return replace(spec, plant=replace(spec.plant, network=self._cooler)) if self._cooler else spec

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


@dataclass(frozen=True)
class Settings:
    """How a board lives. `speed`: seconds of the board in a second; `period_s`: of the board, between two ticks."""

    ambient_c: float
    load_file: Path
    period_s: float = PERIOD_S
    speed: float = 1.0


class _Life:
    """A running board: its plant, what drives it, and what ends it, the end of stdin or of the parent."""

    def __init__(self, plant: Plant, source: Source, settings: Settings, trace: Trace | None) -> None:
        self._plant, self._source, self._settings, self._trace = plant, source, settings, trace
        self._override = Override(settings.load_file)
        self._parent, self._stdin = os.getppid(), watchable(0)
        self._last = 0.0

    def begin(self, files: PlantFiles) -> None:
        """The first content of a boot."""
        self._last = time.monotonic() - self._settings.period_s / self._settings.speed
        self._bring(files, Drive(mix_load(0.0, self._override.values())))

    def lasts(self) -> bool:
        """Wait for a period; False once it is over."""
        due_s = self._last + self._settings.period_s / self._settings.speed - time.monotonic()
        return not ended(self._stdin, max(0.0, due_s)) and os.getppid() == self._parent

    def tick(self, files: PlantFiles) -> None:
        """Bring the files to now."""
        self._bring(files, self._source.look(self._override.values(), self._plant.state.caps.cores))

    def _bring(self, files: PlantFiles, drive: Drive) -> None:
        now, values = time.monotonic(), self._override.values()
        dt_s = (now - self._last) * self._settings.speed
        air = air_of(values, self._settings.ambient_c)
        files.write(self._plant.tick(dt_s, drive.load, air, values, drive.held_mb))
        if self._trace is not None:
            self._trace.add(dt_s, self._plant.state, drive, air.ambient_c)
        self._last = now


def run(board: VirtualBoard, plant: Plant, source: Source, settings: Settings, trace: Trace | None) -> None:
    """Until stdin or the parent ends; SIGTERM arrives as SystemExit. Follows reboots of the board."""
    boots, life = _Boots(board), _Life(plant, source, settings, trace)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("plant_child", description="Keeps a virtual board's files changing.")
    parser.add_argument("--root", type=Path, required=True, help="directory of the virtual board")
    parser.add_argument("--ambient", type=float, default=25.0, metavar="C", help="temperature of the air")
    parser.add_argument("--seed", type=int, default=0, help="of the sensor noise")
    parser.add_argument("--load", type=Path, help=f"load file, by default {LOAD_FILE} in the board's directory")
    parser.add_argument("--cooler", choices=sorted(COOLERS), help="another cooler than the board's own")
    parser.add_argument("--worked", type=float, default=0.0, metavar="SHARE", help="how busy it was before, 0..1")
    parser.add_argument("--follow", type=int, metavar="PID", help="the work is that of this process and all it starts")
    parser.add_argument(
        "--memory-scale", type=float, default=1.0, help="of the board's memory, for a byte a build holds"
    )
    parser.add_argument("--nvml", action="store_true", help="the GPU's share from a real GPU's power, if there is one")
    parser.add_argument("--accelerate", type=float, default=1.0, metavar="N", help="seconds of the board in a second")
    parser.add_argument("--trace", type=Path, help="write what the board does to this file, a JSON object a tick")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    if not die_with_parent(os.getppid(), signal.SIGTERM):
        return 0
    try:
        board = load_board(options.root)
    except EdgeAgentError as error:
        sys.stderr.write(f"{error.line()}\n")
        return 2
    period_s = PERIOD_S if options.follow is None else FOLLOW_PERIOD_S
    settings = Settings(options.ambient, options.load or options.root / LOAD_FILE, period_s, options.accelerate)
    cooler = COOLERS[options.cooler] if options.cooler else None
    plant = Plant(board, options.ambient, options.seed, cooler, options.worked)
    with contextlib.ExitStack() as closing:
        source = open_source(closing, options.follow, options.memory_scale, use_gpu=options.nvml)
        trace = closing.enter_context(Trace(options.trace, board.spec.memory_kb / 1024)) if options.trace else None
        run(board, plant, source, settings, trace)
    return 0


if __name__ == "__main__":
    sys.exit(main())
