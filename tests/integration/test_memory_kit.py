"""A device with little memory: the real desk, governor, policy and ledger; a build that takes real memory; an infer
child beside it. What the board shows as available is the limit without what these processes really hold. No tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import anyio
from test_supervisor_kit import TESTS, environment

from edgeagent.app.build_start import BuildMaker
from edgeagent.app.engine_forms import Site
from edgeagent.app.engine_job import Job, Wanted
from edgeagent.app.engine_look import Ready
from edgeagent.app.engines import EngineDesk
from edgeagent.app.governor import GovernorDesk
from edgeagent.board.telemetry import BoardReader
from edgeagent.clock import SystemClock
from edgeagent.config.engine_tables import EngineSettings, RegistrySettings
from edgeagent.config.schema import ThermalSettings
from edgeagent.engine.build.gate import Go
from edgeagent.fleet.results import FactValue
from edgeagent.fleet.states import Severity
from edgeagent.health.book import Word
from edgeagent.inference.messages import InferStart
from edgeagent.simulate.board import make_board
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.supervisor import Supervisor

sys.path.append(str(TESTS / "unit" / "engine"))
from engine_kit import Net, write_bundle

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
SHOWN_EVERY_S = 0.1


@dataclass(frozen=True)
class Appetite:
    """What a build takes: MB however small its workspace is, MB a MB of workspace, and how fast, MB a second."""

    base_mb: float
    factor: float
    rate_mb_s: float

    def __str__(self) -> str:
        return f"{self.base_mb} {self.factor} {self.rate_mb_s}"


@dataclass
class Told:
    """A `Teller` that keeps what it is told."""

    states: list[dict[str, object]] = field(default_factory=list)
    events: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def engine(self, pipeline: str, **values: object) -> None:
        self.states.append(values)

    def note(self, name: str, health: Word, reason: str = "") -> None:
        """Health follows from the states."""

    def event(self, kind: str, severity: Severity, text: str, **facts: FactValue | None) -> None:
        self.events.append((kind, text, dict(facts)))


@dataclass
class Ended:
    """How a run came out: `built`, or the last refusal's code. `least_mb`: the least that was left of the limit."""

    built: bool
    attempts: int
    cancels: int
    codes: list[str]
    least_mb: float
    infer_survived: bool


class HungryMaker(BuildMaker):
    """Starts the stand-in that takes memory in place of the build child; everything else of the start is real."""

    appetite: Appetite
    group: str = ""

    def spec(self, job: Job, go: Go) -> ChildSpec:
        more = environment(BUILDER_PART="hungry", APPETITE=str(self.appetite), MEMORY_GROUP=self.group)
        return replace(super().spec(job, go), module="children.builder", environment=more)


class SmallDevice:
    """One run: a limit of memory, an infer child, one engine wanted."""

    def __init__(self, folder: Path, limit_mb: float, appetite: Appetite, group: Path | None = None) -> None:
        self._limit_mb = limit_mb
        self._group = group
        self._board = make_board("orin-nano", folder / "board", seed=1).root
        self._state_dir = folder / "state"
        self._clock = SystemClock()
        self._governor = GovernorDesk(ThermalSettings(), self._clock)
        self.told = Told()
        self.least_mb = limit_mb
        settings = EngineSettings(precision="fp16", placement="gpu", max_attempts=4)
        site = Site("tensorrt", {"tensorrt": "10.3.0"}, tensorrt=(10, 3, 0))
        self._desk = EngineDesk(
            settings, RegistrySettings(), self._state_dir, site, self.told, self._clock, patient=False,
            governor=self._governor,
        )  # fmt: skip
        maker = HungryMaker(settings, RegistrySettings(), self._state_dir, site)
        maker.appetite, maker.group = appetite, str(group or "")
        self._desk._maker = maker
        bundle = write_bundle(folder / "model", Net(width=64, height=64, classes=3, strides=(4, 8)))
        self._wanted = Wanted("p", str(folder / "model"), bundle, folder / "calibration", None, str(folder))
        self._infer = Supervisor(
            "infer", self._infer_spec, lambda line: None, lambda state: None, self._clock, Random(1)
        )

    def _infer_spec(self) -> ChildSpec:
        return ChildSpec("infer", "edgeagent.inference.infer_child", InferStart(rings=[], pipelines=[], threads=1))

    async def run(self) -> Ended:
        found: list[Ready] = []

        async def take(wanted: Wanted, ready: Ready) -> None:
            found.append(ready)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._infer.run)
            tasks.start_soon(self._governor.run)
            with BoardReader(self._board) as reader:
                self._show()
                self._governor.read = reader.read_quick
                tasks.start_soon(self._sample, reader)
                await anyio.sleep(0)
                self._limit_infer()
                built = await self._desk.provide(self._wanted, take)
                survived = self._infer.pid is not None and self._infer.restarts == 0
                tasks.cancel_scope.cancel()
        failed = [facts for kind, _, facts in self.told.events if kind == "engine-failed"]
        attempts = max((int(str(state.get("attempt") or 0)) for state in self.told.states), default=0)
        codes = [str(facts["code"]) for facts in failed]
        return Ended(built, attempts, codes.count("memory_falling"), codes, self.least_mb, survived)

    def _limit_infer(self) -> None:
        if self._group is not None and self._infer.pid is not None:
            (self._group / "cgroup.procs").write_text(f"{self._infer.pid}\n")

    async def _sample(self, reader: BoardReader) -> None:
        looks = 0
        while True:
            self._show()
            if looks % 10 == 0:
                reading = reader.read()
                self._desk.surroundings.look(reading)
                self._governor.take(reading)
            looks += 1
            await anyio.sleep(SHOWN_EVERY_S)

    def _show(self) -> None:
        """The board's meminfo, as the limit and the processes make it."""
        left_mb = self._limit_mb - sum(map(_rss_mb, self._processes()))
        self.least_mb = min(self.least_mb, left_mb)
        total_kb, left_kb = round(self._limit_mb * 1000), max(0, round(left_mb * 1000))
        lines = f"MemTotal: {total_kb} kB\nMemFree: {left_kb} kB\nMemAvailable: {left_kb} kB\n"
        (self._board / "proc/meminfo").write_text(lines)

    def _processes(self) -> Iterator[int]:
        if self._infer.pid is not None:
            yield self._infer.pid
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        yield from (int(pid) for pid in children if b"children.builder" in _command(int(pid)))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _rss_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MB
    except (OSError, IndexError):
        return 0.0


@contextmanager
def memory_group(limit_mb: float) -> Iterator[Path | None]:
    """A control group whose memory the kernel itself limits; None where none can be made (not root, or another
    layout)."""
    folder = Path(f"/sys/fs/cgroup/memory/edgeagent-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(round(limit_mb * 1e6)))
    except OSError:
        yield None
        return
    try:
        yield folder
    finally:
        folder.rmdir()
