"""How near the loop comes to the engine on a real GPU:
`bench_loop.py [--cameras N,N] [--max-batch N,N] [--max-delay-ms MS] [--frames N] [CONVOLUTIONS ...]`.

For each engine, one line of JSON a measurement: the engine alone (its graph launched over and over, no copies); the
infer child as the agent starts it, over a ring that is never empty; and cameras of 30 frames a second through capture
children, infer child, publisher and broker to a subscriber. Beside those runs a process that tells when the machine
itself was slow (`steadiness.py`): `steady` is of the results that were on their way at no such time. With --max-batch
the same for engines of so many frames at once: the engine's time is a frame's part of a whole batch, and the child has
as many rings. With --frames the first engine's child runs through so many frames, and its resident memory and the GPU's
are told on the way.
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

from edgeagent.bench.arrivals import Arrivals
from edgeagent.bench.end_to_end import measure_end_to_end
from edgeagent.bench.loop_limit import Results, full_rings, infer_child, measure_loop
from edgeagent.bench.power import Meter
from edgeagent.bench.subject import Subject
from edgeagent.inference.messages import PipelineStart
from edgeagent.inference.tensorrt_session import TensorRtSession

ROUNDS, PASSES, SECONDS, FPS = 5, 2000, 4.0, 30.0
MEMORY_STEPS = 10
SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}
MIN_SCORE = float(os.environ.get("EDGEAGENT_GPU_MIN_SCORE", "0.9"))


def engine_us(plan: Path) -> float:
    """A frame's part of a whole batch by the graph alone; the median of some rounds."""
    with closing(TensorRtSession(plan)) as session:
        session.replay(PASSES)
        taken = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            session.replay(PASSES)
            taken.append((time.perf_counter() - began) * 1e6 / PASSES / session.batch)
    return statistics.median(taken)


class Sparing(Subject):
    """A network of random weights is sure of hundreds of things a frame; a trained one is of some."""

    def pipeline(self, name: str, ring: str) -> PipelineStart:
        return super().pipeline(name, ring).model_copy(update={"min_score": MIN_SCORE})


def subject_of(plan: Path, convolutions: int, batch: int) -> Subject:
    name = f"{convolutions} convolutions" + (f", {batch} frames at once" if batch > 1 else "")
    return Sparing(name, "tensorrt", plan, name, "detector", [f"class{n}" for n in range(80)], SIDE, SIDE)


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def measure(subject: Subject, cameras: list[int], batch: int, max_delay_ms: float) -> None:
    before_us = engine_us(subject.plan)
    loops = [measure_loop(subject, SECONDS, cameras=batch) for _ in range(3)]
    engine = statistics.median([before_us, engine_us(subject.plan)])
    loop = statistics.median(1e6 / rate.fps for rate in loops)
    cpu = statistics.median(rate.cpu_us for rate in loops)
    share = round(engine / loop, 3)
    tell(engine=subject.name, way="loop", engine_us=round(engine, 1), us=round(loop, 1), share=share, cpu_us=round(cpu))
    for count in cameras:
        with watched() as machine:
            whole = measure_end_to_end(subject, count, FPS, SECONDS, None, Meter(Path("/nowhere")), max_delay_ms)
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
    with full_rings(subject) as rings:
        async with infer_child(subject, rings) as child:
            results, done = Results(child), 0
            for _ in range(MEMORY_STEPS):
                done += await results.count(at_least=frames // MEMORY_STEPS)
                pages = int(Path(f"/proc/{child.pid}/statm").read_text(encoding="ascii").split()[1])
                resident = round(pages * os.sysconf("SC_PAGESIZE") / 2**20, 1)
                tell(engine=subject.name, way="memory", frames=done, resident_mb=resident, gpu_mb=gpu_used_mb())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("convolutions", type=int, nargs="*", default=[7, 40, 80])
    parser.add_argument("--cameras", default="4,16")
    parser.add_argument("--max-batch", default="1")
    parser.add_argument("--max-delay-ms", type=float, default=0.0)
    parser.add_argument("--frames", type=int, default=0)
    options = parser.parse_args()
    cameras = [int(count) for count in options.cameras.split(",") if count]
    with tempfile.TemporaryDirectory() as folder:
        wanted = [(count, int(batch)) for count in options.convolutions for batch in options.max_batch.split(",")]
        for count, batch in wanted:
            subject = subject_of(detector_plan(Path(folder), count, batch), count, batch)
            measure(subject, cameras, batch, options.max_delay_ms)
        if options.frames:
            count, batch = wanted[0]
            anyio.run(memory, subject_of(detector_plan(Path(folder), count, batch), count, batch), options.frames)


if __name__ == "__main__":
    main()
