"""A scenario with real processes and real signals, closed through the virtual board's files.

A build that is a process of its own, stopped and continued in slices by `supervise.pace`; pipelines that are another;
the plant's process, which follows what both really run and writes the board's files; and this process, which reads
those files as an agent does and steers. `speed` lets all of it but the work itself live faster than the wall clock.

When the build is done is the plant's to say: a board whose clocks have fallen does less of it in the same time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import anyio

from edgeagent.board.evidence import read_identity
from edgeagent.board.telemetry import BoardReader
from edgeagent.errors import EdgeAgentError
from edgeagent.simulate.board import VirtualBoard, make_board
from edgeagent.simulate.demo_processes import Processes
from edgeagent.simulate.heat_clock import FastClock, loop_options
from edgeagent.simulate.heat_control import LOOK_S
from edgeagent.simulate.heat_model import Point, Run, is_stuck
from edgeagent.simulate.heat_scenarios import Scenario
from edgeagent.simulate.heat_steer import SteerMaker
from edgeagent.simulate.plant_child import LOAD_FILE
from edgeagent.simulate.tools import power_modes
from edgeagent.supervise.pace import Pace, signal_group

WORKER = "edgeagent.simulate.heat_worker"
WHOLE_S = 2.0
"""How often the whole board is read, as for telemetry: its alerts and its power."""


def run_real(scenario: Scenario, name: str, make: SteerMaker, speed: float) -> Run:
    """Until the build is done, or never ends. Nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="edgeagent-heat-") as folder, (Path(folder) / "log").open("wb") as log:
        board = make_board(scenario.board, Path(folder) / "board", seed=7)
        _set_mode(board.root, scenario.mode)
        processes = Processes(log)
        try:
            course = _Course(scenario, make, speed, board, processes, Path(folder) / "trace")
            anyio.run(course.run, backend_options=dict(loop_options(speed)))
        finally:
            processes.stop()
        return course.result(name)


def _set_mode(root: Path, mode: str) -> None:
    conf = power_modes.load_conf(root)
    number = next(number for number, model in conf.models.items() if model.name == mode)
    power_modes.apply_mode(root, conf, number)


class _Course:
    """One run: what was started, what was seen, what it cost."""

    def __init__(
        self,
        scenario: Scenario,
        make: SteerMaker,
        speed: float,
        board: VirtualBoard,
        processes: Processes,
        trace: Path,
    ) -> None:
        self._scenario, self._speed = scenario, speed
        self._board, self._processes = board, processes
        self._clock = FastClock(speed)
        self._steer = make(self._clock)
        self._trace_path = trace
        self._duty, self._reason = 1.0, ""
        self._points: list[Point] = []
        self._said: Mapping[str, float] = {}
        self._before_s = 0.0
        self._cost_s = 0.0
        self._late_s = 0.0
        self._finished = False

    async def run(self) -> None:
        self._weather(0.0)
        self._start_plant()
        with self._trace_path.open(encoding="utf-8") as file:
            trace = Tail(file)
            trace.take()
            group = self._start_work()
            pace = Pace(self._counted(signal_group(group)), self._clock)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pace.run)
                with open_reader(self._board.root) as reader:
                    await self._drive(pace, reader, trace)
                tasks.cancel_scope.cancel()

    def result(self, name: str) -> Run:
        wall_s = self._points[-1].at_s if self._points else 1.0
        cost_ms_per_s = 1000 * self._cost_s / wall_s
        return Run(self._scenario.name, name, tuple(self._points), self._finished, cost_ms_per_s, self._late_s)

    def _start_plant(self) -> None:
        places = ["--root", str(self._board.root), "--trace", str(self._trace_path)]
        options = ["--ambient", str(self._scenario.air(0.0).ambient_c), "--follow", str(os.getpid()), "--seed", "3"]
        cooler = ["--cooler", self._scenario.cooler] if self._scenario.cooler else []
        arguments = ["-m", "edgeagent.simulate.plant_child", *places, *options, *cooler]
        self._processes.start_ready("plant", [*arguments, "--accelerate", str(self._speed)])

    def _start_work(self) -> int:
        """The process group of the build."""
        if self._scenario.infer:
            self._processes.start("infer", ["-m", WORKER, "infer", str(self._scenario.infer)])
        return self._processes.start("build", ["-m", WORKER, "build"])

    async def _drive(self, pace: Pace, reader: BoardReader, trace: Tail) -> None:
        """Until the build is done: look, steer, and let the weather change."""

        def apply(duty: float, reason: str, cancel: str) -> None:
            self._duty, self._reason = duty, reason
            pace.set_duty(duty)

        steer, began_s, told_s = self._steer, self._now_s(), 0.0
        steer.whole(reader.read())
        if self._scenario.infer:
            steer.learn(1.0)
        pace.on_ran = self._look
        with steer.steering(reader, apply):
            while not self._finished and not is_stuck(self._points):
                at_s = self._now_s() - began_s
                if at_s - told_s >= WHOLE_S:
                    told_s = at_s
                    self._tell_frames()
                    steer.whole(reader.read())
                self._look()
                self._weather(at_s)
                await self._wait()
                self._take_in(trace)

    async def _wait(self) -> None:
        """Until the next look. On a machine that has other work it comes late."""
        due_s = self._now_s() + LOOK_S
        await anyio.sleep(LOOK_S)
        self._late_s = max(self._late_s, self._now_s() - due_s)

    def _look(self) -> None:
        """A look: reading, deciding, applying."""
        before_s = time.thread_time()
        self._steer.look()
        self._cost_s += time.thread_time() - before_s

    def _counted(self, send: Callable[[signal.Signals], None]) -> Callable[[signal.Signals], None]:
        """Signals, with what they cost; a look that sends one counts it already, and then it counts twice."""

        def counted(sig: signal.Signals) -> None:
            before_s = time.thread_time()
            send(sig)
            self._cost_s += time.thread_time() - before_s

        return counted

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def _tell_frames(self) -> None:
        """What the pipelines kept of their frames in each of the last seconds."""
        if not self._scenario.infer or not self._points:
            return
        for second in range(int(WHOLE_S), 0, -1):
            from_s = self._points[-1].at_s - second
            kept = [point.frames for point in self._points[-100:] if from_s <= point.at_s < from_s + 1]
            if kept:
                self._steer.frames(sum(kept) / len(kept))

    def _weather(self, at_s: float) -> None:
        """Bring the load file to what the scenario says of that moment."""
        says = self._scenario.load_file(at_s)
        if says != self._said:
            self._said = says
            path = self._board.root / LOAD_FILE
            path.with_suffix(".new").write_text(json.dumps(says))
            path.with_suffix(".new").replace(path)

    def _take_in(self, trace: Tail) -> None:
        """What the plant has written since; the run is over once it has done the build's work."""
        for told in trace.take():
            if not self._points and not told["build"]:
                self._before_s = told["at_s"]
                continue
            at_s = told["at_s"] - self._before_s
            self._points.append(self._point(at_s, told))
            if told["done_s"] >= self._scenario.work_s:
                self._finished = True
                return
        if (code := self._processes.exited("plant")) is not None:
            raise EdgeAgentError(f"the plant has ended with {code}", code="plant_ended")

    def _point(self, at_s: float, told: Mapping[str, float]) -> Point:
        return Point(
            at_s,
            told["hottest_c"],
            told["ambient_c"],
            self._duty,
            told["frames"],
            told["done_s"],
            int(told["alerts"]),
            told["clock"],
            self._reason,
        )


class Tail:
    """A file of JSON lines that another process is writing."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._half = ""

    def take(self) -> list[dict[str, float]]:
        """The whole lines since the last call; half a line waits for its end."""
        *lines, self._half = (self._half + self._file.read()).split("\n")
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def open_reader(root: Path) -> Iterator[BoardReader]:
    with BoardReader(root, soc=read_identity(root).soc) as reader:
        reader.read()
        yield reader
