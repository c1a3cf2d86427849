"""What several frames at once are worth on ONNX Runtime: `python tests/bench/bench_batches.py [--max-batch N]`.

The sample model in FP32 and in INT8, one thread: milliseconds a frame by the number of frames that go through together,
median of the rounds, each number in turn in every round. And what the network costs to be made one for several: the
rewriting, and the check that a build begins with.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx

from edgeagent.bench.pictures import drawn_frames
from edgeagent.engine.batching import check_batching, with_batch
from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.quantise import quantise
from edgeagent.inference.onnxruntime_session import OnnxRuntimeSession

SIDE, ROUNDS = 320, 40


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def measure(name: str, network: onnx.ModelProto, most: int, folder: Path) -> None:
    plans = {1: folder / f"{name}-1.onnx", most: folder / f"{name}-{most}.onnx"}
    for batch, plan in plans.items():
        plan.write_bytes(with_batch(network, batch, fixed=False).SerializeToString())
    frames = list(drawn_frames(most, SIDE, SIDE))
    with closing(OnnxRuntimeSession(plans[1], 1)) as one, closing(OnnxRuntimeSession(plans[most], 1)) as several:
        ways = [("engine for one", one, 1), *((str(count), several, count) for count in range(1, most + 1))]
        taken: dict[str, list[float]] = {way: [] for way, _, _ in ways}
        for number in range(ROUNDS + 3):
            for way, session, count in ways:
                began = time.perf_counter()
                session.submit(frames[:count])
                session.collect()
                if number >= 3:
                    taken[way].append((time.perf_counter() - began) * 1e3 / count)
    tell(model=name, ms_a_frame={way: round(statistics.median(each), 3) for way, each in taken.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-batch", type=int, default=4)
    most = parser.parse_args().max_batch
    network = graft_bundle(load_bundle("sample:conveyor"))
    began = time.perf_counter()
    with_batch(network, most, fixed=False)
    rewritten = time.perf_counter()
    check_batching(network, most, threads=1)
    tell(rewriting_s=round(rewritten - began, 3), check_s=round(time.perf_counter() - rewritten, 3))
    frames = np.stack(list(drawn_frames(4, SIDE, SIDE)))
    with tempfile.TemporaryDirectory() as folder:
        measure("fp32", network, most, Path(folder))
        int8 = quantise(network, list(frames), 1, lambda percent: None, "unsigned")
        measure("int8", int8, most, Path(folder))


if __name__ == "__main__":
    main()
