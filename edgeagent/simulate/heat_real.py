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
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import anyio

from edgeagent.board.evidence import read_identity
from edgeagent.board.reading import Reading
from edgeagent.board.telemetry import BoardReader
from edgeagent.errors import EdgeAgentError
from edgeagent.simulate.board import VirtualBoard, make_board
from edgeagent.simulate.demo_processes import Processes
from edgeagent.simulate.heat_clock import FastClock, loop_options
from edgeagent.simulate.heat_control import LOOK_S, Controller
from edgeagent.simulate.heat_model import LONGEST_S, Point, Run
from edgeagent.simulate.heat_scenarios import Scenario
from edgeagent.simulate.plant_child import LOAD_FILE
from edgeagent.simulate.tools import power_modes
from edgeagent.supervise.pace import Pace, signal_group
from edgeagent.thermal.sense import Sense, ZoneSense

WORKER = "edgeagent.simulate.heat_worker"
ALERTS_S = 2.0
"""How often the whole board is read, as for telemetry, for its alerts."""
FRAMES_S = 3.0
GIVEN_UP_S = 1800.0


def run_real(scenario: Scenario, name: str, controller: Controller, speed: float) -> Run:
    """Until the build is done, `GIVEN_UP_S` of the board's time at most. Nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="edgeagent-heat-") as folder, (Path(folder) / "log").open("wb") as log:
        board = make_board(scenario.board, Path(folder) / "board", seed=7)
        _set_mode(board.root, scenario.mode)
        processes = Processes(log)
        try:
            course = _Course(scenario, controller, speed, board, processes, Path(folder) / "trace")
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
        controller: Controller,
        speed: float,
        board: VirtualBoard,
        processes: Processes,
        trace: Path,
    ) -> None:
        self._scenario, self._controller, self._speed = scenario, controller, speed
        self._board, self._processes = board, processes
        self._clock = FastClock(speed)
        self._trace_path = trace
        self._duties: list[tuple[float, float, str]] = []
        self._points: list[Point] = []
        self._said: Mapping[str, float] = {}
        self._before_s = 0.0
        self._cost_s = 0.0
        self._finished = False

    async def run(self) -> None:
        self._weather(0.0)
        self._start_plant()
        with self._trace_path.open(encoding="utf-8") as file:
            trace = _Tail(file)
            trace.take()
            group = self._start_work()
            pace = Pace(signal_group(group), self._clock)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pace.run)
                with _reader(self._board.root) as reader:
                    await self._steer(pace, reader, trace)
                tasks.cancel_scope.cancel()

    def result(self, name: str) -> Run:
        wall_s = self._points[-1].at_s if self._points else 1.0
        return Run(self._scenario.name, name, tuple(self._points), self._finished, 1000 * self._cost_s / wall_s)

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

    async def _steer(self, pace: Pace, reader: BoardReader, trace: _Tail) -> None:
        began_s = self._clock.monotonic_ns() / 1e9
        alerts: tuple[str, ...] | None = None
        alerts_s = -ALERTS_S
        while not self._finished:
            at_s = self._clock.monotonic_ns() / 1e9 - began_s
            if at_s - alerts_s >= ALERTS_S:
                alerts, alerts_s = reader.read().throttle_alerts, at_s
            with self._counted():
                sense = sense_of_reading(reader.read_quick(), at_s, alerts, self._frames(at_s))
                duty = self._controller.look(sense)
                pace.set_duty(duty)
            self._duties.append((at_s, duty, getattr(self._controller, "reason", "")))
            self._weather(at_s)
            await anyio.sleep(LOOK_S)
            self._take_in(trace)
            if at_s > min(GIVEN_UP_S, LONGEST_S):
                return

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """What the governor does costs this processor time."""
        before_s = time.thread_time()
        yield
        self._cost_s += time.thread_time() - before_s

    def _frames(self, at_s: float) -> float | None:
        """The share of their frames that the pipelines kept lately."""
        if not self._scenario.infer:
            return None
        lately = [point.frames for point in self._points[-60:] if point.at_s > at_s - FRAMES_S]
        return sum(lately) / len(lately) if lately else 1.0

    def _weather(self, at_s: float) -> None:
        """Bring the load file to what the scenario says of that moment."""
        says = self._scenario.load_file(at_s)
        if says != self._said:
            self._said = says
            path = self._board.root / LOAD_FILE
            path.with_suffix(".new").write_text(json.dumps(says))
            path.with_suffix(".new").replace(path)

    def _take_in(self, trace: _Tail) -> None:
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
        _, duty, reason = self._duties[-1]
        return Point(
            at_s,
            told["hottest_c"],
            told["ambient_c"],
            duty,
            told["frames"],
            told["done_s"],
            int(told["alerts"]),
            told["clock"],
            reason,
        )


class _Tail:
    """A file of JSON lines that another process is writing."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._half = ""

    def take(self) -> list[dict[str, float]]:
        """The whole lines since the last call; half a line waits for its end."""
        *lines, self._half = (self._half + self._file.read()).split("\n")
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def _reader(root: Path) -> Iterator[BoardReader]:
    with BoardReader(root, soc=read_identity(root).soc) as reader:
        reader.read()
        yield reader


def sense_of_reading(reading: Reading, at_s: float, alerts: tuple[str, ...] | None, frames_kept: float | None) -> Sense:
    """What the governor looks at, from what the board's files say."""
    zones = tuple(ZoneSense(zone.name, zone.temperature_c, zone.throttle_c) for zone in reading.zones)
    return replace(Sense(at_s, zones, alerts), frames_kept=frames_kept)
