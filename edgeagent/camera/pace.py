"""Letting through a share of what comes, evenly. Pure.

A share is held by counting, not by the clock: half of the frames is every second one, however unevenly they come.
"""

from __future__ import annotations

_ROUNDING = 1e-9


class Turnstile:
    """Lets `share` (0..1) of those that come through. The first one after a change of the share goes through, unless
    the share is 0."""

    def __init__(self, share: float = 1.0) -> None:
        self.share = share
        self._credit = 1.0 - share if share else 0.0

    def would(self) -> bool:
        """Whether the next one goes through."""
        return self._credit + self.share >= 1.0 - _ROUNDING

    def lets_through(self) -> bool:
        """One more has come: whether it goes through."""
        self._credit += self.share
        if self._credit < 1.0 - _ROUNDING:
            return False
        self._credit -= 1.0
        return True


class Spacing:
    """Lets through one an interval, on average, whatever the interval is at which they come. 0 lets all through."""

    def __init__(self, interval_s: float = 0.0) -> None:
        self._step_ns = int(interval_s * 1e9)
        self._due_ns = 0

    @property
    def due_ns(self) -> int:
        """When the next one may go through; 0 before the first."""
        return self._due_ns

    def is_due(self, at_ns: int) -> bool:
        return at_ns >= self._due_ns

    def passed(self, at_ns: int) -> None:
        """One has gone through: sets when the next one is due. Falling behind an interval starts anew."""
        step = self._step_ns
        self._due_ns = self._due_ns + step if self._due_ns + step > at_ns else at_ns + step
