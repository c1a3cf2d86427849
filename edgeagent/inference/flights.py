"""Batches under way: handed to engines, and taken back in the order in which they were handed over.

One order over all engines of a child, so that a pipeline's results stay in order when its engine changes. A batch
without seats is the engine's canary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgeagent.errors import EngineError
from edgeagent.inference.engine import Engine
from edgeagent.inference.pipeline import Times
from edgeagent.inference.stream import Seat
from edgeagent.vision.detections import Candidates

NO_TIMES = Times(0, 0)


@dataclass
class Flight:
    """`answers`: one for each seat (for the canary: one), none where `error` says why."""

    engine: Engine
    seats: Sequence[Seat]
    submitted_ns: int
    answers: list[Candidates] = field(default_factory=list)
    error: EngineError | None = None
    times: Times = NO_TIMES


class Flights:
    """`batches` count since the start, and `unused` places in them that the engine computes all the same."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._under_way: deque[Flight] = deque()
        self._landed_ns = 0
        self.batches = 0
        self.unused = 0

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self, engine: Engine, seats: Sequence[Seat]) -> None:
        """Hand these frames to the engine, or its canary. One that refuses them is told of when its turn comes."""
        flight = Flight(engine, seats, self._now_ns())
        self._under_way.append(flight)
        try:
            engine.submit([seat.frame for seat in seats] or [engine.canary])
        except EngineError as error:
            flight.error = error
            return
        if engine.session.copies:
            _check(seats)
        self.batches += bool(seats)
        if seats and engine.session.pads:
            self.unused += engine.session.batch - len(seats)

    def land(self) -> Flight:
        """Wait for the oldest. There must be one."""
        flight = self._under_way.popleft()
        if flight.error is None:
            try:
                flight.answers = flight.engine.collect()
            except EngineError as error:
                flight.error = error
        ran_ns = self._now_ns()
        flight.times = Times(max(flight.submitted_ns, self._landed_ns), ran_ns)
        self._landed_ns = ran_ns
        if flight.error is None and not flight.engine.session.copies:  # what has failed is counted as that
            _check(flight.seats)
        return flight


def _check(seats: Sequence[Seat]) -> None:
    for seat in seats:
        seat.check()
