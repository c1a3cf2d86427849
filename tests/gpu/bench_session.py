"""How near the session comes to the engine: `bench_session.py [CONVOLUTIONS ...]`, one line of JSON a measurement.

For each engine, in turns and on one GPU, so that its mood meets all of them alike; medians over ROUNDS:

    engine limit     the graph launched over and over on what is in its tensors: no copies, one wait at the end
    enqueue limit    the same by TensorRT's own enqueue
    session          a frame of a ring goes in and its candidates come out: submit and collect with so many under way,
                     or `run`; CPU time is that of the whole process
    idle             one frame at a time with nothing else to do: what a frame of a slow camera waits
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))
from session_kit import Ring, detector_plan, distinct_frames, ring, sharing_gpu

from edgeagent.inference.cuda import open_gpu
from edgeagent.inference.tensorrt_session import TensorRtSession

ROUNDS, FRAMES = 15, 400
GAP_S = 0.002


@dataclass
class Measured:
    """Of one way: us a frame, and us of CPU a frame, each round."""

    wall_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def add(self, frames: int, work: Callable[[], None]) -> None:
        cpu, began = time.process_time(), time.perf_counter()
        work()
        self.wall_us.append((time.perf_counter() - began) * 1e6 / frames)
        self.cpu_us.append((time.process_time() - cpu) * 1e6 / frames)


def stream(session: TensorRtSession, frames: list[np.ndarray]) -> None:
    under_way = 0
    for number in range(FRAMES):
        if under_way == session.depth:
            session.collect()
            under_way -= 1
        session.submit([frames[number % len(frames)]])
        under_way += 1
    for _ in range(under_way):
        session.collect()


def one_by_one(session: TensorRtSession, frames: list[np.ndarray]) -> None:
    for number in range(FRAMES):
        session.run(frames[number % len(frames)][None])


def idle(session: TensorRtSession, frames: list[np.ndarray]) -> list[float]:
    """us a frame, one every GAP_S."""
    taken = []
    for number in range(FRAMES // 4):
        time.sleep(GAP_S)
        began = time.perf_counter()
        session.submit([frames[number % len(frames)]])
        session.collect()
        taken.append((time.perf_counter() - began) * 1e6)
    return taken


def opened(stack: ExitStack, plan: Path, lent: Ring | None, **options: object) -> TensorRtSession:
    session = stack.enter_context(closing(TensorRtSession(plan, **options)))  # type: ignore[arg-type]
    if lent is not None:
        session.lend(lent.memory)
    return session


def measure(plan: Path, convolutions: int) -> None:
    with ExitStack() as stack:
        slots = stack.enter_context(ring(4))
        for slot, picture in zip(slots.frames, distinct_frames(4), strict=True):
            slot[:] = picture
        sessions = {
            "depth 1, lent": opened(stack, plan, slots, depth=1),
            "depth 2, lent": opened(stack, plan, slots),
            "depth 3, lent": opened(stack, plan, slots, depth=3),
            "depth 2, lent, spinning": opened(stack, plan, slots, spin=True),
            "depth 2, not lent": opened(stack, plan, None),
            "depth 2, lent, enqueue": opened(stack, plan, slots, graphs=False),
            "depth 2, lent, results copied": opened(stack, plan, slots, mapped=False),
            "depth 2, in place": opened(stack, plan, slots, gpu=sharing_gpu()),
        }
        ways: dict[str, Callable[[], None]] = {
            "engine limit": lambda: sessions["depth 2, lent"].replay(FRAMES),
            "enqueue limit": lambda: sessions["depth 2, lent, enqueue"].replay(FRAMES),
            "run, not lent": lambda: one_by_one(sessions["depth 2, not lent"], slots.frames),
            **{name: lambda one=one: stream(one, slots.frames) for name, one in sessions.items()},  # type: ignore[misc]
        }
        found = {name: Measured() for name in ways}
        waited: dict[str, list[float]] = {"depth 2, lent": [], "depth 2, lent, spinning": []}
        for turn in range(ROUNDS + 2):
            for name, work in ways.items():
                found[name].add(FRAMES, work)
                if turn < 2:  # the first ones warm the clocks up
                    found[name] = Measured()
        for name, kept in waited.items():
            kept.extend(idle(sessions[name], slots.frames))
        stages(convolutions, sessions["depth 2, lent"], slots.frames)
        say(convolutions, found, waited, {name: session.how for name, session in sessions.items()})


def stages(convolutions: int, session: TensorRtSession, frames: list[np.ndarray]) -> None:
    """Where the time of one batch goes, one after the other: us by the clock, and us of CPU of this thread."""
    plan, io, gpu = session._plan, session._free[0], session._gpu
    assert plan is not None
    names = ("context", "bring", "start", "fetch", "wait", "candidates")
    wall, cpu = np.zeros((FRAMES, len(names))), np.zeros((FRAMES, len(names)))
    for number in range(FRAMES):
        frame = [frames[number % len(frames)]]
        marks = [(time.perf_counter(), time.thread_time())]

        def mark(marks: list[tuple[float, float]] = marks) -> None:
            marks.append((time.perf_counter(), time.thread_time()))

        with gpu:
            mark()
            address = session._bring(io, frame)
            mark()
            session._start(plan, io, address, 1)
            mark()
            io.fetch(session._streams)
            mark()
            io.wait()
            mark()
        io.candidates(1)
        mark()
        wall[number], cpu[number] = (np.diff([one[kind] for one in marks]) * 1e6 for kind in (0, 1))
    by_clock = dict(zip(names, np.median(wall, 0).round(1).tolist(), strict=True))
    of_cpu = dict(zip(names, np.mean(cpu, 0).round(1).tolist(), strict=True))
    tell(convolutions, way="stages", us=by_clock, thread_cpu_us=of_cpu)


def say(convolutions: int, found: dict[str, Measured], waited: dict[str, list[float]], how: dict[str, str]) -> None:
    limit = statistics.median(found["engine limit"].wall_us)
    for name, one in found.items():
        wall, cpu = statistics.median(one.wall_us), statistics.median(one.cpu_us)
        ratio = round(limit / wall, 3)
        tell(convolutions, way=name, us=round(wall, 1), of_engine_limit=ratio, cpu_us=round(cpu, 1), how=how.get(name))
    for name, times in waited.items():
        p50, p99 = np.percentile(times, [50, 99])
        tell(convolutions, way=f"idle, {name}", p50_us=round(float(p50), 1), p99_us=round(float(p99), 1))


def tell(convolutions: int, **facts: object) -> None:
    print(json.dumps({"convolutions": convolutions, **facts}), flush=True)


def main(convolutions: list[int]) -> None:
    print(json.dumps({"gpu": open_gpu().name(), "rounds": ROUNDS, "frames": FRAMES}))
    with tempfile.TemporaryDirectory() as folder:
        for count in convolutions:
            measure(detector_plan(Path(folder), count), count)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [7, 40, 80])
