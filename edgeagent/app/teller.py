"""Whom the desks tell how things are: the publisher in the agent, a terminal for a command."""

from __future__ import annotations

from typing import Protocol

from edgeagent.fleet.results import FactValue
from edgeagent.fleet.states import Severity
from edgeagent.health.book import Word


class Teller(Protocol):
    """Engine states, the health of components, events."""

    def engine(self, pipeline: str, **values: object) -> None: ...

    def note(self, name: str, health: Word, reason: str = "") -> None: ...

    def event(self, kind: str, severity: Severity, text: str, **facts: FactValue | None) -> None: ...
