"""`edgeagent simulate memory`: builds that want more memory than a board has, beside a pipeline that must live on.

Real processes: a build that really takes memory, at a rate of its own, and an inference; the plant's process makes of
what the build holds, `SCALE` times, the board's memory; and the agent's desk looks at the board's files. What ends a
build is the governor's verdict; what comes next is the agent's table of moves (`engine/build/policy.py`): a smaller
workspace, a lower level, or a wait, which is the refusal. A build's memory follows from both: what the network itself
takes, and the workspace.

There is a kernel, too: when nothing is available it kills, as Linux does, the process with the highest score: what it
holds, and its oom_score_adj. The build has the agent's.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import anyio

from edgeagent.board.telemetry import BoardReader
from edgeagent.engine.build.outcome import Kind
from edgeagent.engine.build.policy import START_LEVEL, Course, begin_attempt, decide_next
from edgeagent.engine.choice import Candidate
from edgeagent.engine.variant import Variant
from edgeagent.simulate.board import VirtualBoard, make_board
from edgeagent.simulate.demo_processes import Processes
from edgeagent.simulate.heat_clock import FastClock
from edgeagent.simulate.heat_control import LOOK_S
from edgeagent.simulate.heat_real import WORKER, Tail, open_reader
from edgeagent.simulate.heat_steer import Steer, SteerMaker
from edgeagent.supervise.lifeline import environment_for_child

BOARD = "orin-nano-r36"
SCALE = 25.0
BUILD_OOM_SCORE = 800
"""As the agent starts its builds (app/build_start.py)."""
OWN_MB = 14.0
"""What a worker holds before it takes anything: the interpreter."""
KERNEL_S = 0.1
_CANDIDATES = (Candidate(Variant("int8", "qdq", "gpu")),)
LEVEL_SHARE = 0.9
"""What a level less is taken to save."""


@dataclass(frozen=True)
class Hunger:
    """What a build wants of the board's memory: for the network, for its workspace, and how fast, MB."""

    network_mb: float
    workspace_mb: float
    mb_per_s: float

    def at(self, course: Course) -> float:
        levels = START_LEVEL - (START_LEVEL if course.level is None else course.level)
        return self.network_mb + self.workspace_mb / course.workspace_divisor * LEVEL_SHARE**levels


@dataclass(frozen=True)
class MemoryRun:
    """How one build went. `endings`: of its attempts, in order; `lowest_mb`: the least memory that was available."""

    number: int
    wanted_mb: float
    mb_per_s: float
    outcome: str
    attempts: int
    got_mb: float
    endings: tuple[str, ...]
    lowest_mb: float
    infer_survived: bool
    text: str

    @property
    def ok(self) -> bool:
        return self.outcome in ("built smaller", "refused") and self.infer_survived


def hungers(count: int, seed: int) -> list[Hunger]:
    """Builds that exceed the board, each in its own way; every fourth cannot be made to fit."""
    rng = Random(seed)  # noqa: S311  which builds, no secrets
    found = []
    for number in range(count):
        network_mb = rng.uniform(6500, 9000) if number % 4 == 3 else rng.uniform(800, 3000)
        found.append(Hunger(network_mb, rng.uniform(6000, 12_000), rng.uniform(800, 4000)))
    return found


def run_memory(count: int, as_json: bool, make: SteerMaker, tell: Callable[[str], None]) -> tuple[int, str]:
    """Exit code and text; 1 when a run ends in anything but a smaller build or a refusal, or the inference died."""
    runs = []
    for number, hunger in enumerate(hungers(count, 5), start=1):
        runs.append(run_one(number, hunger, make))
        tell(_line(runs[-1]))
    good = sum(run.ok for run in runs)
    code = 0 if good == count else 1
    if as_json:
        return code, json.dumps([asdict(run) for run in runs], indent=2)
    smaller = sum(run.outcome == "built smaller" for run in runs)
    kills = sum(run.endings.count("out_of_memory") for run in runs)
    return code, (
        f"{good} of {count} right: {smaller} smaller builds, {count - smaller} refusals; "
        f"the inference survived {sum(run.infer_survived for run in runs)}; {kills} builds ended by the kernel"
    )


def _line(run: MemoryRun) -> str:
    return (
        f"{run.number:3} wants {run.wanted_mb:6.0f} MB at {run.mb_per_s:4.0f} MB/s: {run.outcome}"
        f" with {run.got_mb:.0f} MB after {run.attempts} builds ({', '.join(run.endings)});"
        f" at least {run.lowest_mb:.0f} MB were free; inference {'lives' if run.infer_survived else 'DIED'}"
    )


def run_one(number: int, hunger: Hunger, make: SteerMaker) -> MemoryRun:
    """One build, through as many attempts as it takes."""
    with tempfile.TemporaryDirectory(prefix="edgeagent-memory-") as folder, (Path(folder) / "log").open("wb") as log:
        board = make_board(BOARD, Path(folder) / "board", seed=number)
        processes = Processes(log)
        try:
            site = _Site(board, processes, Path(folder) / "trace", make(FastClock(1.0)))
            return anyio.run(site.run, number, hunger)
        finally:
            processes.stop()


class _Site:
    """The board, the inference, and one attempt after the other."""

    def __init__(self, board: VirtualBoard, processes: Processes, trace: Path, steer: Steer) -> None:
        self._board, self._processes, self._trace_path, self._steer = board, processes, trace, steer
        self._lowest_mb = float("inf")
        self._cancel = ""

    async def run(self, number: int, hunger: Hunger) -> MemoryRun:
        self._start_plant()
        self._processes.start("infer", ["-m", WORKER, "infer", "0.3"])
        course, endings, text = Course(), [], ""
        with self._trace_path.open(encoding="utf-8") as file, open_reader(self._board.root) as reader:
            tail = Tail(file)
            while True:
                course = begin_attempt(course)
                kind = await self._attempt(hunger.at(course), hunger.mb_per_s, reader, tail)
                endings.append(kind or "built")
                if kind is None:
                    outcome = "built smaller" if course.attempts > 1 else "built"
                    break
                decision = decide_next(course, kind, _CANDIDATES, tunable=True, max_attempts=3)
                course, text = decision.course, decision.text
                if decision.move not in ("smaller_workspace", "lower_level"):
                    outcome = "refused"
                    break
        alive = self._processes.exited("infer") is None
        wanted_mb, got_mb = hunger.at(Course()), hunger.at(course) if outcome != "refused" else 0.0
        took = (course.attempts, got_mb, tuple(endings), self._lowest_mb)
        return MemoryRun(number, wanted_mb, hunger.mb_per_s, outcome, *took, alive, text)

    def _start_plant(self) -> None:
        places = ["--root", str(self._board.root), "--trace", str(self._trace_path)]
        options = ["--follow", str(os.getpid()), "--memory-scale", str(SCALE)]
        self._processes.start_ready("plant", ["-m", "edgeagent.simulate.plant_child", *places, *options])

    async def _attempt(self, wanted_mb: float, mb_per_s: float, reader: BoardReader, tail: Tail) -> Kind | None:
        """One build; None when it came to its end."""
        self._cancel = ""

        def apply(duty: float, reason: str, cancel: str) -> None:
            self._cancel = self._cancel or cancel

        self._steer.whole(reader.read())
        with _build(wanted_mb, mb_per_s) as build, self._steer.steering(reader, apply):
            since_s = LOOK_S
            while (code := build.poll()) is None:
                if since_s >= LOOK_S:
                    since_s = 0.0
                    self._steer.look()
                if self._cancel:
                    return "memory_falling"
                await anyio.sleep(KERNEL_S)
                since_s += KERNEL_S
                self._kernel(tail, build)
        return None if code == 0 else "out_of_memory"

    def _kernel(self, tail: Tail, build: subprocess.Popen[bytes]) -> None:
        """What the board's kernel does with the memory that is left."""
        for told in tail.take():
            self._lowest_mb = min(self._lowest_mb, told["available_mb"])
            if told["available_mb"] <= 0 and build.poll() is None:
                os.kill(worst([build.pid, *self._workers()]), signal.SIGKILL)
                return

    def _workers(self) -> list[int]:
        return [process.pid for name, process in self._processes.running if name == "infer" and process.poll() is None]


def worst(pids: Sequence[int]) -> int:
    """The process that the kernel would kill: by what it holds and by its oom_score_adj (proc(5))."""
    total_mb = 7600.0

    def score(pid: int) -> float:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            adjusted = int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii"))
        except (OSError, IndexError):
            return -1.0
        return 1000 * pages * os.sysconf("SC_PAGE_SIZE") / 2**20 / total_mb + adjusted

    return max(pids, key=score)


@contextlib.contextmanager
def _build(wanted_mb: float, mb_per_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """A build that wants so much of the board's memory; whatever ends the block ends it."""
    real_mb, rate = max(0.0, wanted_mb / SCALE - OWN_MB), mb_per_s / SCALE
    arguments = [sys.executable, "-m", WORKER, "build", f"{real_mb:.0f}", f"{rate:.1f}"]
    process = subprocess.Popen(arguments, env=environment_for_child(), start_new_session=True)
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(BUILD_OOM_SCORE))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
