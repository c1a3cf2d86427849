"""The agent's last log lines, in memory, and a level that can be changed while it runs.

Two processors of structlog (app/logs.py puts them into its chain). Bounded by lines and by bytes; children write to
stderr themselves, so their words are in the journal only.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from edgeagent.app.redact import redact

LINES: Final = 2000
LINE_CHARS: Final = 1000
LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class LogLine:
    """One line; `text` has no secrets."""

    ts: int
    level: str
    text: str


class LogMemory:
    """Keeps the last lines. Any thread."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._lines: deque[LogLine] = deque(maxlen=LINES)
        self._lock = threading.Lock()
        self._render = structlog.processors.LogfmtRenderer(key_order=["event"], drop_missing=True, sort_keys=False)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        left_out = ("timestamp", "level", "exc_info")
        plain = {key: value for key, value in event.items() if key not in left_out and value not in (None, "")}
        text = redact(str(self._render(logger, method, {key: _plain(value) for key, value in plain.items()})))
        with self._lock:
            self._lines.append(LogLine(self._wall_ms(), method, text[:LINE_CHARS]))
        return event

    def last(self, count: int, level: str = "debug") -> list[LogLine]:
        """The newest lines of that level and above, oldest first."""
        with self._lock:
            every = list(self._lines)
        wanted = [line for line in every if _rank(line.level) >= _rank(level)]
        return wanted[max(0, len(wanted) - count) :]


class LogLevel:
    """Lets through what is as grave as the level of now, or graver."""

    def __init__(self, level: str = "info") -> None:
        self._standard = level
        self._level = level
        self._until_ns: int | None = None
        self._now_ns: Callable[[], int] = lambda: 0

    def start(self, level: str) -> None:
        """The level for good."""
        self._standard, self._level, self._until_ns = level, level, None

    def set_for(self, level: str, seconds: float, now_ns: Callable[[], int]) -> None:
        """Another level for a while."""
        self._now_ns = now_ns
        self._level, self._until_ns = level, now_ns() + round(seconds * 1e9)

    @property
    def now(self) -> str:
        if self._until_ns is not None and self._now_ns() >= self._until_ns:
            self._level, self._until_ns = self._standard, None
        return self._level

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if _rank(method) < _rank(self.now):
            raise structlog.DropEvent
        return event


def _rank(level: str) -> int:
    return int(getattr(logging, {"exception": "ERROR", "warn": "WARNING"}.get(level, level.upper()), logging.INFO))


def _plain(value: object) -> object:
    """logfmt knows no lists and dicts; spaces in a value are quoted by the renderer."""
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
