"""A build on the terminal: a progress bar where somebody looks, plain lines elsewhere. Everything on stderr.

Plain lines come at each change of phase and at each tenth of the way, not for every step.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from edgeagent.fleet.results import FactValue
from edgeagent.fleet.states import Severity
from edgeagent.health.book import Word

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

TENTHS = 10.0
LINE = 110
WAITS = ("waiting", "failed")
STEERING = ("build-prepared", "build-slowed", "build-paused", "build-resumed", "build-cancelled")


class BuildScreen:
    """A `Teller` for one build. `plain`: no bar, whatever the terminal is."""

    def __init__(self, *, plain: bool) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said = ""
        self._tenth = -1
        self._percent = 0.0
        self.failure: tuple[str, str] | None = None  # code and reason of the last one
        self.on_camera_failed: Callable[[str], bool] = lambda reason: False  # True: somebody else says it
        self._wants_bar = not plain and sys.stderr.isatty() and importlib.util.find_spec("rich") is not None

    def __enter__(self) -> BuildScreen:
        if self._wants_bar:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("wanted", total=100)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def engine(self, pipeline: str, **values: object) -> None:
        """A state of the engine: the bar moves, or a line is printed."""
        state = str(values.get("state", ""))
        if state == "failed":  # how far it came stays
            values = {**values, "percent": self._percent}
        percent = self._percent = float(str(values.get("percent") or 0.0))
        text = str(values.get("phase") or values.get("reason") or state)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=percent, description=text[:LINE])
            if state == "failed":
                self._bar.console.print(self._line(state, text, values), highlight=False, markup=False)
            return
        tenth = int(percent / TENTHS)
        if state != self._said or tenth != self._tenth or state in ("failed", "waiting"):
            self._said, self._tenth = state, tenth
            sys.stderr.write(self._line(state, text, values) + "\n")

    def _line(self, state: str, text: str, values: dict[str, object]) -> str:
        reason = str(values.get("reason") or "")
        told = (reason or text) if state in WAITS else text
        if state == "failed" and reason and text != reason:
            told = f"{reason}; {text}"
        eta = f", about {float(str(values['eta_s'])):.0f} s left" if values.get("eta_s") is not None else ""
        percent = f"{float(str(values.get('percent') or 0)):3.0f}%"
        return f"{percent}  {state:<10}  {told if told != state else ''}{eta}".rstrip()

    def note(self, name: str, health: Word, reason: str = "") -> None:
        """Health is told by the engine's states; of a camera only its failure is."""
        if name.startswith("camera/") and health == "failed" and not self.on_camera_failed(reason):
            self._say(f"      {reason}")

    def event(self, kind: str, severity: Severity, text: str, **facts: FactValue | None) -> None:
        """Events stand in the states already, but for a failure's code and for how a build is steered."""
        if kind in STEERING:
            self._say(f"      {kind:<15}  {text}")
        if kind == "engine-failed":
            self.failure = (str(facts.get("code") or ""), text)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            sys.stderr.write(text + "\n")
