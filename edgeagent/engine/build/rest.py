"""Rest between a builder's own steps: the pace of a build that is called back often enough to keep it itself.

A step that took two seconds at half pace is followed by two seconds of rest. Nothing is timed while a thread rests, so
a builder's measurements of kernels are not disturbed, as they are by a process that is stopped in the middle of one.
Safe from any thread: the builder's threads rest, the one that listens to the agent says how long.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

LONGEST_REST_S: Final = 30.0  # after one step, while the pace is not zero


class StepRest:
    """`active` while a builder is at work that calls `step`; `rested_s` is the time that any thread has rested."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._duty = 1.0
        self._slowed_s = math.inf
        self._worked_since: dict[int, float] = {}
        self._resting = 0
        self._rest_began_s = 0.0
        self._rested_s = 0.0
        self._over = False
        self.active = False

    @property
    def resting(self) -> bool:
        return self._resting > 0

    @property
    def rested_s(self) -> float:
        with self._changed:
            return self._rested_s + (self._clock() - self._rest_began_s if self._resting else 0.0)

    def set_duty(self, duty: float) -> None:
        """Work for this share of the time, 0..1; what rests now is looked at again."""
        with self._changed:
            if self._duty >= 1.0 > duty:
                self._slowed_s = self._clock()
            self._duty = duty
            self._changed.notify_all()

    def end(self) -> None:
        """Nobody rests any more: the build is wanted no longer."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def step(self) -> None:
        """A step of the builder has ended on this thread: rest as long as its work and the pace ask for."""
        me, now_s = threading.get_ident(), self._clock()
        with self._changed:
            began_s = max(self._worked_since.get(me, now_s), self._slowed_s)
            self._rest(worked_s=max(0.0, now_s - began_s), since_s=now_s)
            self._worked_since[me] = self._clock()

    def _rest(self, *, worked_s: float, since_s: float) -> None:
        self._enter()
        while (left_s := since_s + self._due_s(worked_s) - self._clock()) > 0:
            self._changed.wait(None if math.isinf(left_s) else left_s)
        self._leave()

    def _due_s(self, worked_s: float) -> float:
        if self._over or self._duty >= 1.0:
            return 0.0
        if self._duty <= 0.0:
            return math.inf
        return min(worked_s * (1.0 - self._duty) / self._duty, LONGEST_REST_S)

    def _enter(self) -> None:
        if self._resting == 0:
            self._rest_began_s = self._clock()
        self._resting += 1

    def _leave(self) -> None:
        self._resting -= 1
        if self._resting == 0:
            self._rested_s += self._clock() - self._rest_began_s
