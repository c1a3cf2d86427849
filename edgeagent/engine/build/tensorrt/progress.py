"""How far a builder is: from its log lines, or from the phases of its progress monitor.

Both only ever grow and stay below 100 until the builder has returned: neither the number of phases nor their length
is known before, and a percentage that falls is worse than one that waits.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

MOST = 98.0
ROOT_SHARE = 0.7  # of what is left, for each outermost phase: how many there will be is never said
LAYERS = re.compile(r"^After .*?: (\d+) layers")
TIMED = "=============== Computing costs for"


class LogProgress:
    """For releases without a monitor: at VERBOSE the builder tells how many layers are left after fusing, and each
    one that it begins to time. Without such lines the share of time spent against what is usual decides."""

    def __init__(self) -> None:
        self._layers = 0
        self._costed = 0
        self._best = 0.0

    def note(self, text: str) -> None:
        """Take a VERBOSE line. Called a hundred thousand times a build: cheap first."""
        if text.startswith(TIMED):
            self._costed += 1
        elif not self._costed and text.startswith("After "):
            found = LAYERS.match(text)  # once timing has begun, layers that only change formats are counted in
            if found:
                self._layers = int(found.group(1))

    def percent(self, elapsed_s: float, usual_s: float) -> float:
        """0 to 98: layers begun of all, where the log tells; else time, ever more slowly towards the end."""
        if self._layers and self._costed:
            share = min(1.0, self._costed / self._layers)
        else:
            share = elapsed_s / (elapsed_s + usual_s) if elapsed_s > 0 else 0.0
        self._best = max(self._best, MOST * share)
        return self._best

    def text(self) -> str:
        if not self._costed:
            return "the builder fuses layers"
        return f"layer {min(self._costed, self._layers)} of {self._layers} timed" if self._layers else "timing layers"


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class PhaseProgress:
    """For releases with a monitor: phases in phases, each of so many steps. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._left = 1.0  # what finished outermost phases have not used up
        self._best = 0.0
        self._name = ""

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._phases[name] = _Phase(parent if parent in self._phases else None, max(1, steps))
            self._name = name

    def step(self, name: str, step: int) -> None:
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None:
                phase.done = max(phase.done, min(step + 1, phase.steps))
                self._note()

    def finish(self, name: str) -> None:
        with self._lock:
            phase = self._phases.get(name)
            if phase is None:
                return
            phase.done = phase.steps
            self._note()
            del self._phases[name]
            if phase.parent is None:
                self._left *= 1 - ROOT_SHARE

    def percent(self) -> float:
        with self._lock:
            return min(MOST, 100.0 * self._best)

    def text(self) -> str:
        with self._lock:
            return self._name or "the builder begins"

    def _note(self) -> None:
        roots = [self._share(name) for name, phase in self._phases.items() if phase.parent is None]
        share = 1 - self._left + self._left * ROOT_SHARE * max(roots, default=0.0)
        self._best = max(self._best, share)

    def _share(self, name: str) -> float:
        """How much of a phase is done, the steps of phases inside its current step counted in."""
        phase = self._phases[name]
        inner = [self._share(child) for child, one in self._phases.items() if one.parent == name]
        return min(1.0, (phase.done + max(inner, default=0.0)) / phase.steps)
