"""The rhythm of a source that hands out frames as fast as it is asked: a file, a drawn picture."""

from __future__ import annotations

import time


class Timetable:
    """When the next frame of a paced source is due. Falling half a second behind starts a new timetable."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._period_s = 1.0 / fps
        self._due_s = time.monotonic()

    def wait_s(self) -> float:
        return max(0.0, self._due_s - time.monotonic())

    def passed(self) -> None:
        self._due_s += self._period_s
        if time.monotonic() - self._due_s > 0.5:
            self._due_s = time.monotonic()
