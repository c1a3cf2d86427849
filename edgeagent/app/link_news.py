"""What the MQTT link tells, on the agent's loop: logged when it changes, told as the health of `link`."""

from __future__ import annotations

import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.fleet.link_types import Connected, LinkEvent, Lost, Refused, TooLarge

log = structlog.get_logger("agent")


class LinkNews:
    """Remembers the trouble that was told last, so that each is told once and not at every attempt."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._trouble = ""

    def take(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            log.info("link", state="connected", protocol=event.protocol)
            self._trouble = ""
            self._publisher.note("link", "ok")
            self._publisher.again()
        elif isinstance(event, Refused):
            self._no_link("refused", f"the broker refused: {event.reason}")
        elif isinstance(event, Lost):
            self._no_link("lost", event.reason)
        elif isinstance(event, TooLarge):
            log.warning("link", state="too_large", topic=event.topic, bytes=event.size_bytes, limit=event.limit_bytes)

    def _no_link(self, state: str, reason: str) -> None:
        if reason != self._trouble:
            log.warning("link", state=state, reason=reason)
            self._trouble = reason
        self._publisher.note("link", "failed", reason)
