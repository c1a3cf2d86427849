"""Logging of the agent: one line an event on stderr, as logfmt, with the priority prefix that journald understands."""

from __future__ import annotations

import logging
import os
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from edgeagent.app.log_memory import LogLevel, LogMemory
from edgeagent.clock import SystemClock

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

MEMORY = LogMemory(SystemClock().wall_ms)
LEVEL = LogLevel()


def configure_logs(level: str = "info") -> None:
    """Set up structlog for this process. Under systemd the time is journald's; elsewhere it is written out."""
    under_journal = "JOURNAL_STREAM" in os.environ
    stamp = [] if under_journal else [structlog.processors.TimeStamper(fmt="iso", utc=True)]
    keys = ["level", "event"] if under_journal else ["timestamp", "level", "event"]
    render = structlog.processors.LogfmtRenderer(key_order=keys, drop_missing=True)
    LEVEL.start(level)
    first: list[structlog.typing.Processor] = [LEVEL, MEMORY, structlog.processors.add_log_level]
    processors: list[structlog.typing.Processor] = [*first, *stamp, _without_empty, render]
    if under_journal:
        processors.insert(len(first), _remember_priority)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # LEVEL drops what is not wanted now
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _without_empty(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {key: value for key, value in event.items() if value not in (None, "")}


def _remember_priority(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["event"] = f"<{PRIORITIES.get(method, 6)}>{event['event']}"
    return event
