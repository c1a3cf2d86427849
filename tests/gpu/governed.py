"""Builds of real TensorRT under the governor, on a virtual board whose GPU draws what the real one does. No tests here.

The board is an Orin Nano without a working fan in hot air: it stands a little below its set point while nothing is
built, and is well above it after a quarter of a minute of full work. The real GPU's power
(NVML) is its load: 0 is what the GPU takes at rest, 1 what it took in a build that nobody steered. The virtual board
does not slow anything down; the governor does, with SIGSTOP and SIGCONT, as in the agent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from engine_kit import Net

from edgeagent.clock import SystemClock
from edgeagent.simulate.board_list import find_spec
from edgeagent.simulate.plant import Air, Load, PlantState, settle, step
from edgeagent.supervise.pace import Pace, signal_group
from edgeagent.thermal.governor import GovernorRules, begin, govern
from edgeagent.thermal.sense import Sense, ZoneSense

TICK_S, LOOK_S = 0.1, 0.5
RULES = GovernorRules()
RESTING = Load(cpu=0.25, gpu=0.2, memory_mb=800)
BELOW_AT_START_C = 4.0


class Detector(Net):
    """A detector that keeps a large GPU busy: `CONVS` convolutions over half a quarter of a megapixel, two heads."""

    CONVS = int(os.environ.get("EDGEAGENT_GPU_CONVS", "5"))
    WIDTHS = (32, 64, 128)

    def _level(self, stem: str, stride: int) -> tuple[str, str]:
        rows, columns = self.height // stride, self.width // stride
        n, name, channels, body = rows * columns, f"p{stride}", 8, stem
        for index in range(self.CONVS):
            wide = self.WIDTHS[min(index, len(self.WIDTHS) - 1)]
            body = self._conv(body, f"{name}_c{index}", channels, wide, 3, stride=2 if index < 2 else 1)
            body, channels = self._op("Relu", [body], f"{name}_r{index}"), wide
        scores = self._flat(self._conv(body, f"{name}_s", channels, self.classes, 1), self.classes, n, f"{name}_scores")
        sides = self._flat(self._conv(body, f"{name}_b", channels, 4, 1), 4, n, f"{name}_sides")
        y, x = np.mgrid[:rows, :columns].reshape(2, 1, n) * stride + stride / 2
        centres = np.concatenate([x, y, np.full((2, n), stride)])[None].astype(np.float32)
        return self._op("Add", [sides, self._constant(f"{name}_grid", centres)], f"{name}_boxes"), scores


@dataclass
class Run:
    """What came of one build. `above_s`: the board's hottest zone was more than 1 C above the set point."""

    seconds: float = 0.0
    stopped_s: float = 0.0
    stops: int = 0
    hottest_c: float = 0.0
    above_s: float = 0.0
    alerts: int = 0
    watts: list[float] = field(default_factory=list)
    duties: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Power:
    """A GPU's power reading, and what the virtual board makes of it. W."""

    nvml: Any
    handle: Any
    rest_w: float
    full_w: float = 0.0

    def watts(self) -> float:
        return float(self.nvml.nvmlDeviceGetPowerUsage(self.handle)) / 1000

    def load(self, watts: float) -> float:
        return min(1.0, max(0.0, (watts - self.rest_w) / max(1.0, self.full_w - self.rest_w)))


def warm_board() -> tuple[PlantState, Air]:
    """An Orin Nano at rest, `BELOW_AT_START_C` below its set point: its fan has failed and the air is that hot."""
    found = find_spec("orin-nano")
    assert found is not None
    low_c, high_c = 0.0, 90.0
    for _ in range(40):
        air = Air((low_c + high_c) / 2, fan_failed=True)
        board = settle(found.plant, RESTING, air)
        too_hot = board.hottest_c > board.spec.throttle_c - RULES.set_point_below_c - BELOW_AT_START_C
        low_c, high_c = (low_c, air.ambient_c) if too_hot else (air.ambient_c, high_c)
    return board, air


def look(board: PlantState, at_s: float) -> Sense:
    zones = tuple(ZoneSense(f"{name}-thermal", round(c, 2), board.spec.throttle_c) for name, c in board.parts_c.items())
    return Sense(at_s, zones, alerts=tuple(sorted(board.alerts)), over_current=0)


async def build(command: list[str], gpu: int, power: Power, *, steered: bool) -> Run:
    """Run the command, which builds; steered or not, the board warms up by what the GPU draws."""
    run, clock = Run(), SystemClock()
    board, air = warm_board()
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.PIPE)
    pace = Pace(signal_group(process.pid), clock)
    state, began_s = begin(RULES), time.monotonic()
    ticked_s = looked_s = began_s
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pace.run)
            while process.poll() is None:
                await anyio.sleep(TICK_S)
                now_s, watts = time.monotonic(), power.watts()
                gpu_load = power.load(watts) if power.full_w else 0.0
                load = Load(cpu=0.5, gpu=max(RESTING.gpu, gpu_load), memory_mb=800)
                board = step(board, load, now_s - ticked_s, air)
                _note(run, board, watts, now_s - ticked_s)
                ticked_s = now_s
                if steered and now_s - looked_s >= LOOK_S:
                    looked_s = now_s
                    state, verdict = govern(RULES, state, look(board, now_s), building=True)
                    pace.set_duty(0.0 if verdict.cancel else verdict.build_duty)
                    run.duties.append(round(pace.duty, 3))
                    run.reasons.append(verdict.reason.code)
            tasks.cancel_scope.cancel()
    finally:
        process.kill()
    run.seconds, run.stopped_s, run.stops = time.monotonic() - began_s, pace.stopped_s, pace.stops
    assert process.stdout is not None
    told = process.stdout.read().decode()
    assert process.wait() == 0 and '"built"' in told, told
    return run


def _note(run: Run, board: PlantState, watts: float, dt_s: float) -> None:
    run.watts.append(watts)
    run.hottest_c = max(run.hottest_c, board.hottest_c)
    if board.hottest_c > board.spec.throttle_c - RULES.set_point_below_c + 1.0:
        run.above_s += dt_s
    run.alerts += bool(board.alerts)


def build_command(network: Path, plan: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).parent / "build_once.py"), str(network), "fp16", str(plan)]
