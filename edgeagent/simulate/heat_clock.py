"""Time that runs faster than the wall clock, for whoever steers a plant that does: a clock and an event loop.

Everything that waits in this loop waits a `speed`-th of what it asks for. What it does takes as long as ever, and so
does the kernel: a slice of 50 ms of the board's time at ten times the speed is one of 5 ms.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Mapping
from typing import Any


class FastClock:
    """Monotonic time at `speed` times its pace; wall time as it is."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def monotonic_ns(self) -> int:
        return round(time.monotonic_ns() * self._speed)

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class _FastSelector(selectors.DefaultSelector):
    """Waits a `speed`-th of what it is asked to."""

    speed = 1.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self.speed)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run `speed` times as fast."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        selector = _FastSelector()
        selector.speed = speed
        super().__init__(selector)

    def time(self) -> float:
        return time.monotonic() * self._speed


def loop_options(speed: float) -> Mapping[str, Any]:
    """The backend options with which `anyio.run` uses such a loop."""
    return {"loop_factory": lambda: FastLoop(speed)}
