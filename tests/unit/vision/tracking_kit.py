"""Films of things that move, for tests of trackers: what a perfect detector would see of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeagent.vision.tracking import Tracker

FRAME_NS = 33_333_333


@dataclass(frozen=True)
class Thing:
    """A box of one size in straight motion: its centre at time 0 and its velocity, in pixels and pixels a frame."""

    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0
    side: float = 40.0
    class_id: int = 0
    score: float = 0.9

    def box(self, frame: float) -> list[float]:
        x, y, half = self.x + self.dx * frame, self.y + self.dy * frame, self.side / 2
        return [x - half, y - half, x + half, y + half]


def look(tracker: Tracker, things: list[Thing], frame: float, *, least: float = 0.35) -> list[int]:
    """The numbers of these things in that frame, in their order."""
    boxes = np.array([thing.box(frame) for thing in things], np.float32).reshape(-1, 4)
    scores = np.array([thing.score for thing in things], np.float32)
    class_ids = np.array([thing.class_id for thing in things], np.int32)
    return list(tracker.follow(boxes, scores, class_ids, scores >= least, int(frame * FRAME_NS)).tolist())
