"""How an event looks: on a terminal, for journald that reads along, and in the journal itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from edgeagent.app.logs import JournalLogger, journal_fields

SPEAK = """
import sys
for name in ("systemd", "systemd.journal"):
    sys.modules[name] = None
import structlog
from edgeagent.app.logs import configure_logs
configure_logs("warning")
log = structlog.get_logger("test")
log.info("unheard")
log.error("camera", camera="belt", reason="no frames", empty="", nothing=None)
"""


def spoken(**environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", SPEAK],
        env={"PATH": "/usr/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stderr


def test_a_line_on_a_terminal_has_its_time() -> None:
    line = spoken()
    assert line.startswith("timestamp=2")
    assert line.endswith('level=error event=camera camera=belt reason="no frames"\n')


def test_a_line_for_journald_starts_with_its_priority() -> None:
    """At the very start, or journald takes it for text."""
    assert spoken(JOURNAL_STREAM="8:1") == '<3>level=error event=camera camera=belt reason="no frames"\n'


def test_an_event_in_the_journal_has_a_field_for_each_value() -> None:
    event: dict[str, Any] = {"level": "warning", "event": "link", "code": 7, "reason": "two\nlines", "a-b.c": True}
    (fields,), _ = journal_fields(None, "warning", event)
    assert fields == {
        "MESSAGE": "level=warning event=link code=7 reason=two\\nlines a-b.c",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edgeagent",
        "EDGEAGENT_EVENT": "link",
        "EDGEAGENT_CODE": "7",
        "EDGEAGENT_REASON": "two lines",
        "EDGEAGENT_A_B_C": "True",
    }


def test_a_name_that_the_journal_would_refuse_is_cut() -> None:
    (fields,), _ = journal_fields(None, "info", {"level": "info", "event": "x", "k" * 100: 1})
    assert max(len(name) for name in fields) == 64


def test_every_level_ends_in_the_journal() -> None:
    sent: list[Any] = []
    logger = JournalLogger(sent.append)
    for level in ("debug", "info", "warning", "error", "critical", "msg"):
        getattr(logger, level)({"MESSAGE": level})
    assert len(sent) == 6
