"""Where a build stands: written by the builder's threads, read by the one that asked for the build."""

from __future__ import annotations

import threading
import time

from edgeagent.engine.build.messages import Phase
from edgeagent.engine.build.tensorrt.journal import Journal
from edgeagent.engine.build.tensorrt.progress import LogProgress, PhaseProgress

USUAL_S = 240.0  # a small detector on an Orin; counts only where the log tells nothing of progress


class Abandoned(Exception):
    """The build is no longer wanted, and ended for that reason."""


class Board:
    """`unwanted` is set by the one that asked, and ends the build where TensorRT can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._word: tuple[Phase, float, str] = ("preparing", 0.0, "starting TensorRT")
        self._phases: PhaseProgress | None = None
        self._building_since: float | None = None
        self.unwanted = threading.Event()
        self.journal = Journal()

    def say(self, phase: Phase, percent: float, text: str) -> None:
        with self._lock:
            self._word = (phase, percent, text)

    def building(self, phases: PhaseProgress | None) -> None:
        """The builder is being started, with or without a monitor."""
        with self._lock:
            self._phases, self._building_since = phases, time.monotonic()
            self.journal.steps = LogProgress()  # the lines of a calibration before it do not count

    def word(self) -> tuple[Phase, float, str]:
        """The phase, how many percent of it are done, and a line for a person."""
        with self._lock:
            word, phases, since = self._word, self._phases, self._building_since
        if since is None:
            return word
        if phases is not None:
            return "building", phases.percent(), phases.text()
        steps = self.journal.steps
        return "building", steps.percent(time.monotonic() - since, USUAL_S), steps.text()
