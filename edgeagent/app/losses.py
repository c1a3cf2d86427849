"""Frames of a pipeline that went to its engine and came to nothing. Pure.

The infer child says so once a second, in totals since it started. A frame counts once: as failed when its batch failed,
else as torn when the camera had begun to overwrite it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.inference.messages import InferStats


@dataclass
class Losses:
    """`failed` and `torn`: in this session. What is torn is counted for the ring, as what is dropped."""

    failed: int = 0
    torn: int = 0
    _before: tuple[int, int] = (0, 0)
    _told: tuple[int, int] = (0, 0)

    def child_started(self, torn: int = 0) -> None:
        """A new child counts from 0 again; another one that is up has counted `torn` in the ring already."""
        self._before = (self.failed, self.torn - torn)

    def heard(self, word: InferStats, pipeline: str, ring: str) -> None:
        """Take one word of the child."""
        failed, torn = self._before
        self.failed = failed + word.failed.get(pipeline, 0)
        self.torn = torn + word.torn.get(ring, 0)

    def tell(self) -> dict[str, object]:
        """For the pipeline's summary: what is new since this was last asked."""
        failed, torn = self._told
        self._told = (self.failed, self.torn)
        return {"failed": self.failed - failed, "torn": self.torn - torn}
