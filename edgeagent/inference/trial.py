"""When an engine has failed too often. Pure.

An engine is on trial for its first minute: the one before it is kept that long, to go back to. FAILURES batches in a
row that raised, or that gave no numbers, are too many; after its trial, only those that raised count, because with
nothing to go back to a frame's other rows are still worth having.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FAILURES = 3
TRIAL_S = 60.0

Outcome = Literal["good", "no_numbers", "raised"]


@dataclass(frozen=True)
class Trial:
    """How an engine has done since it began to serve. Failures are counted in a row."""

    since_ns: int
    raised: int = 0
    bad: int = 0

    @property
    def spotless(self) -> bool:
        """Another good batch changes nothing."""
        return not self.raised and not self.bad

    def after(self, outcome: Outcome) -> Trial:
        """One more batch."""
        raised = self.raised + 1 if outcome == "raised" else 0
        return Trial(self.since_ns, raised, 0 if outcome == "good" else self.bad + 1)

    def over(self, now_ns: int) -> bool:
        return now_ns - self.since_ns >= TRIAL_S * 1e9

    def failed(self, *, way_back: bool) -> bool:
        """Whether it has failed too often. `way_back`: there is an engine to go back to."""
        return self.raised >= FAILURES or (way_back and self.bad >= FAILURES)
