"""How near the loop comes to the engine on a real GPU: `bench_loop.py [--cameras N,N] [--frames N] [CONVOLUTIONS ...]`.

For each engine, one line of JSON a measurement: the engine alone (its graph launched over and over, no copies); the
infer child as the agent starts it, over a ring that is never empty; and cameras of 30 frames a second through capture
children, infer child, publisher and broker to a subscriber. Beside those runs a process that tells when the machine
itself was slow (`steadiness.py`): `steady` is of the results that were on their way at no such time. With --frames the
first engine's child runs through so many frames, and its resident memory and the GPU's are told on the way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import anyio

sys.path.append(str(Path(__file__).parent))
from session_kit import SIDE, detector_plan, gpu_used_mb
from steadiness import Steadiness, outside, watched

from edgeagent.bench import loop_limit
from edgeagent.bench.arrivals import Arrivals
from edgeagent.bench.end_to_end import measure_end_to_end
from edgeagent.bench.loop_limit import measure_loop
from edgeagent.bench.power import Meter
from edgeagent.bench.subject import Subject
from edgeagent.inference.messages import PipelineStart
from edgeagent.inference.tensorrt_session import TensorRtSession

ROUNDS, PASSES, SECONDS, FPS = 5, 2000, 4.0, 30.0
MEMORY_STEPS = 10
SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}
MIN_SCORE = float(os.environ.get("EDGEAGENT_GPU_MIN_SCORE", "0.9"))


def engine_us(plan: Path) -> float:
    """A pass of the graph alone; the best of some rounds, as a GPU that sleeps between them is no limit."""
    with closing(TensorRtSession(plan)) as session:
        session.replay(PASSES)
        taken = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            session.replay(PASSES)
            taken.append((time.perf_counter() - began) * 1e6 / PASSES)
    return statistics.median(taken)


class Sparing(Subject):
    """A network of random weights is sure of hundreds of things a frame; a trained one is of some."""

    def pipeline(self, name: str, ring: str) -> PipelineStart:
        return super().pipeline(name, ring).model_copy(update={"min_score": MIN_SCORE})


def subject_of(plan: Path, convolutions: int) -> Subject:
    name = f"{convolutions} convolutions"
    return Sparing(name, "tensorrt", plan, name, "detector", [f"class{n}" for n in range(80)], SIDE, SIDE)


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def measure(subject: Subject, cameras: list[int]) -> None:
    before_us = engine_us(subject.plan)
    loops = [measure_loop(subject, SECONDS) for _ in range(3)]
    engine = statistics.median([before_us, engine_us(subject.plan)])
    loop = statistics.median(1e6 / rate.fps for rate in loops)
    cpu = statistics.median(rate.cpu_us for rate in loops)
    share = round(engine / loop, 3)
    tell(engine=subject.name, way="loop", engine_us=round(engine, 1), us=round(loop, 1), share=share, cpu_us=round(cpu))
    for count in cameras:
        with watched() as machine:
            whole = measure_end_to_end(subject, count, FPS, SECONDS, None, Meter(Path("/nowhere")))
        arrivals = whole.arrivals
        tell(
            engine=subject.name,
            way=f"{count} cameras",
            broker=whole.broker,
            results_per_s=round(arrivals.results / whole.seconds, 1),
            lost=arrivals.lost,
            detections=round(arrivals.detections / arrivals.results, 1),
            latency_ms=arrivals.latency_ms(),
            steady=steady_ms(arrivals, machine),
            piece_ms=machine.facts(),
        )


def steady_ms(arrivals: Arrivals, machine: Steadiness) -> dict[str, float]:
    """From capture to message, of the results that were on their way while the machine was steady."""
    slow = machine.slow_stretches()
    kept = sorted(took for at, took in arrivals.spans if outside(slow, at / 1e3, (at + took) / 1e3))
    return {"results": len(kept)} | {
        name: round(kept[min(len(kept) - 1, int(len(kept) * share))], 2) for name, share in SHARES.items() if kept
    }


async def memory(subject: Subject, frames: int) -> None:
    with loop_limit._ring(subject) as (fd, wake_fd), loop_limit._never_empty(fd, wake_fd, subject):
        async with loop_limit._child(subject, fd, wake_fd) as child:
            results, done = loop_limit._Results(child), 0
            for _ in range(MEMORY_STEPS):
                done += await results.count(at_least=frames // MEMORY_STEPS)
                pages = int(Path(f"/proc/{child.pid}/statm").read_text(encoding="ascii").split()[1])
                resident = round(pages * os.sysconf("SC_PAGESIZE") / 2**20, 1)
                tell(engine=subject.name, way="memory", frames=done, resident_mb=resident, gpu_mb=gpu_used_mb())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("convolutions", type=int, nargs="*", default=[7, 40, 80])
    parser.add_argument("--cameras", default="4,16")
    parser.add_argument("--frames", type=int, default=0)
    options = parser.parse_args()
    cameras = [int(count) for count in options.cameras.split(",") if count]
    with tempfile.TemporaryDirectory() as folder:
        subjects = [subject_of(detector_plan(Path(folder), count), count) for count in options.convolutions]
        for subject in subjects:
            measure(subject, cameras)
        if options.frames:
            anyio.run(memory, subjects[0], options.frames)


if __name__ == "__main__":
    main()
