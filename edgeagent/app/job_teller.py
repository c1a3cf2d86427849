"""What an engine desk tells while it works for a command: to the world as always, and as the command's progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from edgeagent.app.command_kind import Progress
from edgeagent.app.publisher import Publisher
from edgeagent.fleet.results import FactValue
from edgeagent.fleet.states import Severity
from edgeagent.health.book import Word


class JobTeller:
    """`failure`: the code and the reason that were told last, empty where none was."""

    def __init__(self, publisher: Publisher, pipeline: str, progress: Progress) -> None:
        self._publisher = publisher
        self._pipeline = pipeline
        self._progress = progress
        self.failure = ("", "")

    def engine(self, pipeline: str, **values: object) -> None:
        self._publisher.engine(pipeline, **values)
        percent = values.get("percent")
        text = values.get("phase") or values.get("reason") or values.get("state") or ""
        self._progress(f"{pipeline}: {text}", float(percent) if isinstance(percent, int | float) else None)

    def note(self, name: str, health: Word, reason: str = "") -> None:
        self._publisher.note(name, health, reason)

    def event(self, kind: str, severity: Severity, text: str, **facts: FactValue | None) -> None:
        if kind == "engine-failed":
            self.failure = str(facts.get("code") or ""), text
        self._publisher.event(kind, severity, text, **facts)

    @contextmanager
    def told_as_before_when_cancelled(self) -> Iterator[None]:
        """A build that was ended by a command leaves the engine's state and health as they were before it."""
        state = self._publisher.engine_told(self._pipeline)
        health = self._publisher.health_told(f"engine/{self._pipeline}")
        try:
            yield
        except anyio.get_cancelled_exc_class():
            if state is not None:
                self._publisher.engine(self._pipeline, **state)
            if health is not None:
                self._publisher.note(f"engine/{self._pipeline}", *health)
            raise
