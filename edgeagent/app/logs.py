"""Logging of the agent: one line an event, as logfmt.

Under systemd the lines go into the journal, each value of an event in a field of its own (`journalctl
EDGEAGENT_CAMERA=belt`) where systemd-python is installed, else on stderr with the priority prefix that journald
understands. Elsewhere they go to stderr with the time in front.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from edgeagent.app.log_memory import LogLevel, LogMemory
from edgeagent.clock import SystemClock
from edgeagent.supervise.systemd import SendEntry, journal_entries

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
IDENTIFIER = "edgeagent"
PREFIX = "EDGEAGENT_"
MAX_NAME = 64
"""The journal takes no longer names of fields."""

MEMORY = LogMemory(SystemClock().wall_ms)
LEVEL = LogLevel()


def configure_logs(level: str = "info") -> None:
    """Set up structlog for this process."""
    under_journal = "JOURNAL_STREAM" in os.environ
    send = journal_entries() if under_journal else None
    LEVEL.start(level)
    structlog.configure(
        processors=[LEVEL, MEMORY, *(_with_fields() if send else _as_lines(under_journal))],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # LEVEL drops what is not wanted now
        logger_factory=_factory(send),
        cache_logger_on_first_use=True,
    )


def _as_lines(under_journal: bool) -> list[structlog.typing.Processor]:
    """For stderr. The time is journald's where that reads along."""
    add_level: list[structlog.typing.Processor] = [structlog.processors.add_log_level]
    if under_journal:
        return [*add_level, _without_empty, _logfmt("level", "event"), _prefix_priority]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    return [*add_level, stamp, _without_empty, _logfmt("timestamp", "level", "event")]


def _with_fields() -> list[structlog.typing.Processor]:
    return [structlog.processors.add_log_level, _without_empty, journal_fields]


def _logfmt(*keys: str) -> structlog.processors.LogfmtRenderer:
    return structlog.processors.LogfmtRenderer(key_order=list(keys), drop_missing=True)


def _factory(send: SendEntry | None) -> Any:  # noqa: ANN401  structlog's own type for it
    if send is None:
        return structlog.PrintLoggerFactory(sys.stderr)
    return lambda *names: JournalLogger(send)


class JournalLogger:
    """Where structlog's events end: each becomes an entry of the journal."""

    def __init__(self, send: SendEntry) -> None:
        self.msg = self.debug = self.info = self.warning = self.error = self.critical = self.log = send


def journal_fields(logger: WrappedLogger, method: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """An event as the journal's fields: the line as MESSAGE, and each value by its name."""
    line = _logfmt("level", "event")(logger, method, dict(event))
    values = {_field(key): _one_line(value) for key, value in event.items() if key not in ("level", "event")}
    own = {
        "PRIORITY": str(PRIORITIES.get(method, 6)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        f"{PREFIX}EVENT": event["event"],
    }
    return ({**values, **own, "MESSAGE": line},), {}


def _field(key: str) -> str:
    """The name of a key's field: the journal wants capitals, digits and underscores."""
    return f"{PREFIX}{re.sub('[^A-Z0-9_]', '_', key.upper())}"[:MAX_NAME]


def _one_line(value: object) -> str:
    return str(value).replace("\n", " ")


def _without_empty(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {key: value for key, value in event.items() if value not in (None, "")}


def _prefix_priority(logger: WrappedLogger, method: str, line: Any) -> str:  # noqa: ANN401  what a processor may get
    """journald takes the priority from the very start of a line, sd-daemon(3)."""
    return f"<{PRIORITIES.get(method, 6)}>{line}"
