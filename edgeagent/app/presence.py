"""Keeps the device's retained `status` true: a `lost` that stands there while the device is connected is answered.

A will may speak late: of the connection before, which the broker gives up only now, or of an earlier run whose session
ran out. It replaces the retained status, and nobody would correct that. So the agent listens to its own status, and
publishes it again when it sees a `lost`, of whichever session, or that it was taken away.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edgeagent.app.inbox import Received
from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.messages import parse_message
from edgeagent.fleet.states import Status

log = structlog.get_logger("presence")


class Presence:
    """`again` publishes the status once more. For the event loop only."""

    def __init__(self, again: Callable[[], None]) -> None:
        self._again = again

    def take(self, received: Received) -> None:
        received.acknowledge()
        reason = _wrong(received)
        if reason:
            log.info("presence", state="corrected", reason=reason)
            self._again()


def _wrong(received: Received) -> str:
    """Why that status is not ours; empty where it is, and for what cannot be read: whoever wrote that may have more to
    say, and two that correct each other never end."""
    if not received.payload:
        return "the status was taken away"
    try:
        said = parse_message(received.topic, received.payload)
    except MessageError:
        return ""
    return f"lost of session {said.session}" if isinstance(said, Status) and said.state == "lost" else ""
