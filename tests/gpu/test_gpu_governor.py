"""Real builds of TensorRT at less than full pace: the board stays below its limit, and the engine is as fast.

Five pairs of builds, one free and one steered; with more GPUs than one, two pairs go on at once, each on its own GPU.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import onnx
import pytest

sys.path.append(str(Path(__file__).parent))
from gpu_kit import report, require_gpu
from test_gpu_speed import microseconds

from edgeagent.engine.graft import graft_bundle
from edgeagent.inference.session import open_session

pytestmark = pytest.mark.timeout(900)
PAIRS = int(os.environ.get("EDGEAGENT_GPU_PAIRS", "5"))
ROUNDS = 40


@dataclass(frozen=True)
class Pair:
    free: Any
    steered: Any
    plans: dict[str, Path]
    gpu: int


def make_pair(network: Path, folder: Path, number: int, gpu: int, nvml: Any) -> Pair:
    import governed

    handle = nvml.nvmlDeviceGetHandleByIndex(gpu)
    plans = {name: folder / f"{number}-{name}" for name in ("free", "steered")}
    power = governed.Power(nvml, handle, nvml.nvmlDeviceGetPowerUsage(handle) / 1000)

    async def one(name: str, known: Any) -> Any:
        command = governed.build_command(network, plans[name])
        return await governed.build(command, gpu, known, steered=name == "steered")

    first = anyio.run(one, "free", power)
    # a whole build's power is its start, in which the GPU rests, and its work: full load is the work's
    known = replace(power, full_w=float(np.percentile(first.watts, 90)))
    free = governed.Run(first.seconds, watts=first.watts)
    governed_alone = replay(first.watts, first.seconds, known)
    free.hottest_c, free.alerts = governed_alone.hottest_c, governed_alone.alerts
    return Pair(free, anyio.run(one, "steered", known), plans, gpu)


def replay(watts: list[float], seconds: float, power: Any) -> Any:
    """The board under a free build's power, which is known as a share of full load only after that build."""
    import governed

    run, (board, air) = governed.Run(), governed.warm_board()
    for value in watts:
        load = governed.Load(cpu=0.5, gpu=max(governed.RESTING.gpu, power.load(value)), memory_mb=800)
        board = governed.step(board, load, seconds / len(watts), air)
        governed._note(run, board, value, seconds / len(watts))
    return run


def launch_times(pair: Pair) -> dict[str, float]:
    """Microseconds a launch of both engines, measured in turns on one GPU."""
    sessions: dict[str, Any] = {name: open_session("tensorrt", plan, 1) for name, plan in pair.plans.items()}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            times[name].append(microseconds(session))
    for session in sessions.values():
        session.close()
    return {name: float(np.median(values[5:])) for name, values in times.items()}


def test_a_steered_build_stays_below_the_limit_and_makes_as_fast_an_engine(tmp_path: Path) -> None:
    require_gpu()
    nvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: the GPU's power cannot be read")
    import governed
    from engine_kit import write_bundle

    nvml.nvmlInit()
    net = governed.Detector(width=640, height=640, strides=(8,))
    network = tmp_path / "network.onnx"
    onnx.save(graft_bundle(write_bundle(tmp_path / "bundle", net)), str(network))
    gpus = min(2, nvml.nvmlDeviceGetCount())
    lanes = [range(PAIRS)[gpu::gpus] for gpu in range(gpus)]
    with ThreadPoolExecutor(gpus) as pool:
        made = list(
            pool.map(
                lambda gpu: [make_pair(network, tmp_path, number, gpu, nvml) for number in lanes[gpu]], range(gpus)
            )
        )
    ratios = []
    for pair in (pair for lane in made for pair in lane):
        times = launch_times(pair)
        ratios.append(times["steered"] / times["free"])
        report(
            "governed", gpu=pair.gpu, ratio=round(ratios[-1], 4), free_us=round(times["free"], 2),
            steered_us=round(times["steered"], 2), free_s=round(pair.free.seconds, 1),
            steered_s=round(pair.steered.seconds, 1), stopped_s=round(pair.steered.stopped_s, 1),
            stops=pair.steered.stops, watts=[round(float(np.percentile(pair.free.watts, q)), 1) for q in (5, 50, 90)],
            free_hottest_c=round(pair.free.hottest_c, 2), free_alerts=pair.free.alerts,
            steered_hottest_c=round(pair.steered.hottest_c, 2), steered_above_s=round(pair.steered.above_s, 2),
            steered_alerts=pair.steered.alerts, duties=pair.steered.duties[::4],
            reasons=sorted(set(pair.steered.reasons)),
        )  # fmt: skip
    pairs, trip_c = [pair for lane in made for pair in lane], governed.warm_board()[0].spec.throttle_c
    too_hot_c = trip_c - governed.RULES.set_point_below_c + 2.0
    assert all(pair.steered.alerts == 0 and pair.steered.stopped_s > 1 for pair in pairs)
    assert all(pair.steered.hottest_c < too_hot_c < pair.free.hottest_c for pair in pairs), "free, it gets too hot"
    assert 0.97 <= float(np.median(ratios)) <= 1.03
