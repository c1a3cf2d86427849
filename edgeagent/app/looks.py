"""How many frames a pipeline looks at, where not each of them has a result. Pure.

The infer child says so once a second, in totals since it started. What is looked at a second is counted between two of
its own words, never against another clock's second: two that are a little apart would now and then count a second
twice, and the governor would learn a rate that nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.inference.messages import InferStats


@dataclass
class Looks:
    """`unchanged`: results left out in this session because they would have said nothing new."""

    unchanged: int = 0
    fps: float | None = None
    _before: int = 0
    _told: int = 0
    _looked: int | None = None
    _heard_ns: int = 0

    def child_started(self) -> None:
        """A new child counts from 0 again."""
        self._before, self._looked, self.fps = self.unchanged, None, None

    def heard(self, word: InferStats, pipeline: str, now_ns: int) -> None:
        """Take one word of the child."""
        self.unchanged = self._before + word.unchanged.get(pipeline, 0)
        looked = word.looked.get(pipeline, 0)
        if self._looked is not None and now_ns > self._heard_ns:
            self.fps = (looked - self._looked) * 1e9 / (now_ns - self._heard_ns)
        self._looked, self._heard_ns = looked, now_ns

    def tell(self) -> dict[str, object]:
        """For the pipeline's summary: what is new since this was last asked."""
        new, self._told = self.unchanged - self._told, self.unchanged
        told: dict[str, object] = {"unchanged": new}
        return told if self.fps is None else {**told, "looked_fps": round(self.fps, 2)}
