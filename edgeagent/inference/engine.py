"""A loaded engine: opened, warmed and asked for its canary's answer; then batches go in and come out, in order.

`open_engine` may run on a thread of its own; afterwards an engine is used by one thread. Knows nothing of rings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgeagent.errors import EngineError
from edgeagent.inference.canary import Answer, answer_of, canary_frame, difference, is_known
from edgeagent.inference.messages import PipelineStart
from edgeagent.inference.session import Frames, InferenceSession, open_session
from edgeagent.inference.trial import Trial
from edgeagent.vision.detections import Candidates

_numbers = count(1)


class EngineKey(NamedTuple):
    """What makes two engines the same one: pipelines with equal keys share what is loaded."""

    engine: str
    backend: str
    plan: str
    dla_core: int | None
    plugins: tuple[str, ...]

    @classmethod
    def of(cls, start: PipelineStart) -> EngineKey:
        return cls(start.engine, start.backend, start.plan, start.dla_core, start.plugins)


@dataclass(eq=False)
class Engine:
    """`canary` is the frame, `answer` what this engine said of it when it was opened. `lent`: the rings it knows."""

    key: EngineKey
    session: InferenceSession
    canary: Frames
    answer: Answer
    trial: Trial = field(default_factory=lambda: Trial(0))
    under_way: int = 0
    canary_ns: int = 0
    lent: set[str] = field(default_factory=set)
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def size(self) -> tuple[int, int]:
        return self.session.height, self.session.width

    @property
    def has_room(self) -> bool:
        return self.under_way < self.session.depth

    @property
    def known_answer(self) -> Answer:
        """What it said of the canary; empty where that is nothing to compare with."""
        return self.answer if is_known(self.answer) else ()

    def submit(self, frames: Sequence[Frames]) -> None:
        self.session.submit(frames)
        self.under_way += 1

    def collect(self) -> list[Candidates]:
        self.under_way -= 1
        return self.session.collect()

    def canary_difference(self, candidates: Candidates) -> str:
        """In what it answers otherwise than when it was opened; "" where it does not, or gave nothing to compare."""
        known = self.known_answer
        return difference(answer_of(candidates, *self.size), known) if known else ""


def open_engine(key: EngineKey, threads: int, known: Sequence[float] = ()) -> Engine:
    """Load it and run it, so that the first frame need not wait for what an engine does at its first run. `known`: what
    it said of the canary in an earlier process. Raises EngineError, also when it says something else now."""
    plugins = [Path(path) for path in key.plugins]
    session = open_session(key.backend, Path(key.plan), threads, dla_core=key.dla_core, plugins=plugins)
    try:
        session.run(np.zeros((session.batch, session.height, session.width, 3), np.uint8))
        canary = canary_frame(session.height, session.width)
        session.submit([canary])
        answer = answer_of(session.collect()[0], session.height, session.width)
        if known and (why := difference(answer, known)):
            raise EngineError(f"the engine is not what it was: {why}", code="engine_canary")
    except EngineError:
        session.close()
        raise
    return Engine(key, session, canary, answer)
