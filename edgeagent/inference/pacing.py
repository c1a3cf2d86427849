"""Which frames a pipeline looks at: those that its settings want, less those that it sheds. Pure.

What the settings leave out (`max_results_per_s`) is nobody's loss and is not counted. What is left out of the rest,
because the board must do less, is counted as shed: it is meant, and is no drop.
"""

from __future__ import annotations

import math

from edgeagent.camera.pace import Spacing, Turnstile
from edgeagent.inference.messages import Pace


class Limit:
    """What a pipeline may do for now. Outlives its engines. `shed` counts since the child started."""

    def __init__(self) -> None:
        self.shed = 0
        self.set(1.0, None)

    def set(self, share: float, per_s: float | None) -> None:
        """Let `share` of the frames through, and at most `per_s` a second (None: as many as come)."""
        self._turnstile = Turnstile(share)
        self._spacing = Spacing(1.0 / per_s if per_s else 0.0)

    def take(self, pace: Pace) -> None:
        self.set(pace.share, pace.per_s)

    @property
    def paused(self) -> bool:
        return self._turnstile.share == 0.0

    @property
    def due_ns(self) -> float:
        """From which capture time on it may let one through; infinite for a pause."""
        return math.inf if self.paused else self._spacing.due_ns

    def would(self, capture_ns: int) -> bool:
        """What `lets_through` would say, without counting."""
        return self._spacing.is_due(capture_ns) and self._turnstile.would()

    def lets_through(self, capture_ns: int) -> bool:
        """Whether the pipeline looks at this frame, which it would look at without a limit."""
        if self._spacing.is_due(capture_ns) and self._turnstile.lets_through():
            self._spacing.passed(capture_ns)
            return True
        self.shed += 1
        return False
