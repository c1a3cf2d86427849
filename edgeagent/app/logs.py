"""Logging of the agent: one line an event on stderr, as logfmt, with the priority prefix that journald understands."""

from __future__ import annotations

import logging
import os
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure_logs(level: str = "info") -> None:
    """Set up structlog for this process. Under systemd the time is journald's; elsewhere it is written out."""
    under_journal = "JOURNAL_STREAM" in os.environ
    stamp = [] if under_journal else [structlog.processors.TimeStamper(fmt="iso", utc=True)]
    keys = ["level", "event"] if under_journal else ["timestamp", "level", "event"]
    render = structlog.processors.LogfmtRenderer(key_order=keys, drop_missing=True)
    processors: list[structlog.typing.Processor] = [structlog.processors.add_log_level, *stamp, _without_empty, render]
    if under_journal:
        processors.insert(1, _remember_priority)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _without_empty(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {key: value for key, value in event.items() if value not in (None, "")}


def _remember_priority(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["event"] = f"<{PRIORITIES.get(method, 6)}>{event['event']}"
    return event
