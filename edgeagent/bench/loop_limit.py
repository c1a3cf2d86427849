"""The infer child alone, over rings that are never empty: how fast the loop goes when no camera holds it back.

The rings are in lossless mode, so the child reads frame after frame; a thread a ring writes as fast as it reads. The
frames lie in the ring already, and writing one is a matter of its header: the CPU is the child's.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager

import anyio

from edgeagent.bench.limits import Rate
from edgeagent.bench.pictures import drawn_frames
from edgeagent.bench.processor_time import used_by
from edgeagent.bench.subject import Subject
from edgeagent.camera.ring import RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.errors import ChildError, EngineError
from edgeagent.inference.messages import INFER_WORDS, InferStart, LoadFailed, RingInput
from edgeagent.inference.result_line import is_result
from edgeagent.supervise.child import Child, ChildSpec
from edgeagent.supervise.messages import Fault
from edgeagent.vision.letterbox import fit_letterbox

RING, SLOTS, PICTURES = "bench", 16, 4
POLL_S = 0.0002
WARM_RESULTS = 30


def measure_loop(subject: Subject, seconds: float, cameras: int = 1) -> Rate:
    """`cameras`: so many rings, whose frames share batches where the engine takes several. Raises EngineError when the
    engine does not load, ChildError when the child ends."""
    return anyio.run(_measure, subject, seconds, cameras)


async def _measure(subject: Subject, seconds: float, cameras: int) -> Rate:
    with full_rings(subject, cameras) as rings:
        async with infer_child(subject, rings) as child:
            results = Results(child)
            await results.count(at_least=WARM_RESULTS * cameras)
            began_s, began_cpu_s = time.monotonic(), used_by(child.pid)
            frames = await results.count(until_s=began_s + seconds)
            return Rate(frames, time.monotonic() - began_s, used_by(child.pid) - began_cpu_s)


@contextmanager
def full_rings(subject: Subject, count: int = 1) -> Iterator[list[tuple[int, int]]]:
    """So many rings with a frame always there: the descriptors of each ring and of what wakes its reader."""
    with ExitStack() as stack:
        rings = [stack.enter_context(_ring(subject)) for _ in range(count)]
        for fd, wake_fd in rings:
            stack.enter_context(_never_empty(fd, wake_fd, subject))
        yield rings


@contextmanager
def _ring(subject: Subject) -> Iterator[tuple[int, int]]:
    fd, wake_fd = create_ring(RING, RingLayout(subject.width, subject.height, SLOTS)), os.eventfd(0, os.EFD_CLOEXEC)
    os.set_blocking(wake_fd, False)
    try:
        yield fd, wake_fd
    finally:
        os.close(fd)
        os.close(wake_fd)


@contextmanager
def _never_empty(fd: int, wake_fd: int, subject: Subject) -> Iterator[None]:
    """Frames in every slot, and a thread that lets the reader have the next one."""
    stop = threading.Event()
    with RingWriter(fd, [wake_fd]) as writer:
        frames = drawn_frames(PICTURES, subject.width, subject.height)
        for number in range(SLOTS):
            writer.start()[:] = frames[number % PICTURES]
            _publish(writer, subject)
        writer.begin_pass()
        thread = threading.Thread(target=_write, args=(writer, subject, stop), name="bench-writer")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _write(writer: RingWriter, subject: Subject, stop: threading.Event) -> None:
    while not stop.wait(POLL_S):
        while writer.backlog() < SLOTS - 1:
            writer.start()
            _publish(writer, subject)


def _publish(writer: RingWriter, subject: Subject) -> None:
    box = fit_letterbox(subject.width, subject.height, subject.width, subject.height)
    writer.publish(time.monotonic_ns(), time.time_ns() // 1_000_000, box)


@asynccontextmanager
async def infer_child(subject: Subject, rings: Sequence[tuple[int, int]]) -> AsyncIterator[Child]:
    """An infer child with a pipeline for each ring."""
    names = [f"{RING}{number}" for number in range(len(rings))]
    first = InferStart(
        rings=[RingInput(id=name, fd=fd, wake_fd=wake_fd) for name, (fd, wake_fd) in zip(names, rings, strict=True)],
        pipelines=[subject.pipeline(name, name) for name in names],
        threads=subject.threads,
    )
    environment = {"OMP_NUM_THREADS": str(subject.threads)}
    fds = [fd for pair in rings for fd in pair]
    child = Child(ChildSpec("infer", "edgeagent.inference.infer_child", first, fds, environment=environment))
    try:
        await child.send(first)
        yield child
    finally:
        child.close()  # kills it: it would first want to be rid of its results


class Results:
    """Counts what the child says."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def count(self, at_least: int = 0, until_s: float = 0.0) -> int:
        """The results until there are so many, and until that time has come."""
        found = 0
        while found < at_least or time.monotonic() < until_s:
            await anyio.wait_readable(self._child.fileno())
            lines = self._child.read_lines()
            if lines is None:
                raise ChildError("the infer child ended while it was measured", mend="see what it said above")
            found += sum(map(is_result, lines))
            for line in lines:
                _check(line)
        return found


def _check(line: bytes) -> None:
    """Raises for a word that says that there will be no results."""
    if line.startswith(b'{"kind":"fault"'):
        fault = Fault.model_validate_json(line)
        raise ChildError(fault.text, mend=fault.mend)
    if line.startswith(b'{"kind":"load_failed"'):
        word = INFER_WORDS.validate_json(line)
        raise EngineError(word.text if isinstance(word, LoadFailed) else "the engine does not load")
