"""Time as a parameter: durations are monotonic, wall time appears in messages only."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds: the same clock in every process of one boot."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970, for messages. May jump; never used for a duration."""
        ...


class SystemClock:
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is moved: for tests and simulations."""

    def __init__(self, monotonic_ns: int = 1_000_000_000, wall_ms: int = 1_700_000_000_000) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ms = wall_ms

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def wall_ms(self) -> int:
        return self._wall_ms

    def set_wall(self, wall_ms: int) -> None:
        """As a time server does: the monotonic clock goes on."""
        self._wall_ms = wall_ms

    def advance(self, seconds: float) -> None:
        self._monotonic_ns += round(seconds * 1e9)
        self._wall_ms += round(seconds * 1e3)
