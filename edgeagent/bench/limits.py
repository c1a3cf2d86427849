"""The engine alone, and the session: what the loop is held against. In this process, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgeagent.bench.pictures import drawn_frames
from edgeagent.bench.subject import Subject
from edgeagent.inference.session import Frames, InferenceSession

WARM_S = 0.3
PICTURES = 4
AT_ONCE = 10
"""Batches between two looks at the clock."""


@dataclass(frozen=True)
class Rate:
    """Frames in so many seconds, and the CPU seconds that they took of one process."""

    frames: int
    seconds: float
    cpu_s: float

    @property
    def fps(self) -> float:
        return self.frames / self.seconds

    @property
    def ms(self) -> float:
        """A frame's share of the time."""
        return 1000 * self.seconds / self.frames

    @property
    def cpu_us(self) -> float:
        """A frame's share of the CPU time."""
        return 1e6 * self.cpu_s / self.frames


def measure_limits(subject: Subject, seconds: float) -> tuple[Rate, Rate]:
    """Engine and session limit, each over `seconds`. Raises EngineError."""
    with subject.session() as session:
        frames = drawn_frames(max(PICTURES, session.batch), session.width, session.height)
        return _engine(session, frames, seconds), _through_halves(session, frames, seconds)


def _engine(session: InferenceSession, frames: Frames, seconds: float) -> Rate:
    """The session's `run` back to back on one batch."""
    batch = np.ascontiguousarray(frames[: session.batch])
    return _timed(lambda: session.run(batch), session.batch, seconds)


def _through_halves(session: InferenceSession, frames: Frames, seconds: float) -> Rate:
    """Different frames from lent memory through `submit` and `collect`, as many under way as the session takes."""
    session.lend(frames.data.cast("B"))
    batches = [list(frames[at : at + session.batch]) for at in range(len(frames) - session.batch + 1)]
    for ahead in range(session.depth - 1):
        session.submit(batches[ahead % len(batches)])
    turn = 0

    def one() -> None:
        nonlocal turn
        session.submit(batches[turn % len(batches)])
        session.collect()
        turn += 1

    rate = _timed(one, session.batch, seconds)
    for _ in range(session.depth - 1):
        session.collect()
    return rate


def _timed(one: Callable[[], object], batch: int, seconds: float) -> Rate:
    """`one` runs a batch. What it does in its first moments is left out."""
    _repeat(one, min(WARM_S, seconds))
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    times = _repeat(one, seconds)
    return Rate(times * batch, time.monotonic() - began_s, time.process_time() - began_cpu_s)


def _repeat(one: Callable[[], object], seconds: float) -> int:
    """How often it ran in that time, AT_ONCE at least."""
    times, until_s = 0, time.monotonic() + seconds
    while True:
        for _ in range(AT_ONCE):
            one()
        times += AT_ONCE
        if time.monotonic() >= until_s:
            return times
