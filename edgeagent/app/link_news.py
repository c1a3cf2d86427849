"""What the MQTT link tells, on the agent's loop: logged when it changes, told as the health of `link`.

A broker that takes the connection but not all that is said over it is a trouble of its own, `broker-rights`.
"""

from __future__ import annotations

import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.fleet.link_types import (
    Connected,
    LinkEvent,
    Lost,
    Oversized,
    Refused,
    Rejected,
    Subscribed,
    TooLarge,
)

log = structlog.get_logger("agent")

_MOST_DENIED = 16
_PUBLISHING = "publishing on"


class LinkNews:
    """Remembers the trouble that was told last, so that each is told once and not at every attempt."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._trouble = ""
        self._told: set[str] = set()
        self._denied: dict[str, str] = {}

    def take(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            self._connected(event)
        elif isinstance(event, Refused):
            self._no_link("refused", f"the broker refused: {event.reason}", event.broker)
        elif isinstance(event, Lost):
            self._lost(event)
        elif isinstance(event, TooLarge):
            log.warning("link", state="too_large", topic=event.topic, bytes=event.size_bytes, limit=event.limit_bytes)
        elif isinstance(event, Oversized):
            self._oversized(event)
        elif isinstance(event, Rejected):
            self._deny(f"{_PUBLISHING} {event.topic}", event.reason)
        elif isinstance(event, Subscribed):
            self._subscribed(event)

    def _connected(self, event: Connected) -> None:
        log.info("link", state="connected", protocol=event.protocol, broker=event.broker, preferred=event.preferred)
        self._trouble = ""
        reason = "" if event.preferred else f"on the fallback broker {event.broker}"
        self._publisher.note("link", "ok", reason)
        for what in [each for each in self._denied if each.startswith(_PUBLISHING)]:
            del self._denied[what]  # what is still not allowed is told again over this connection
        self._settle_denials()
        self._publisher.again()

    def _lost(self, event: Lost) -> None:
        if event.kind == "moved":
            log.info("link", state="moved", reason=event.reason, broker=event.broker)
        else:
            self._no_link(event.kind, event.reason, event.broker)

    def _no_link(self, state: str, reason: str, broker: str) -> None:
        """With several brokers the troubles alternate: each is logged once until there is a connection."""
        if not self._trouble:
            self._told.clear()
        trouble = f"{broker}: {reason}" if broker else reason
        if trouble not in self._told:
            log.warning("link", state=state, reason=reason, broker=broker)
            self._told.add(trouble)
        self._trouble = trouble
        self._publisher.note("link", "failed", trouble)

    def _oversized(self, event: Oversized) -> None:
        log.warning("link", state="oversized", topic=event.topic, bytes=event.size_bytes)
        text = f"a message of {event.size_bytes} bytes on {event.topic} was dropped: that is too large"
        self._publisher.event("message-dropped", "warning", text, topic=event.topic, bytes=event.size_bytes)

    def _subscribed(self, event: Subscribed) -> None:
        for name in event.granted:
            self._denied.pop(f"subscribing to {name}", None)
        for name, reason in event.refused:
            self._deny(f"subscribing to {name}", reason)
        self._settle_denials()

    def _settle_denials(self) -> None:
        if not self._denied and self._publisher.component("broker-rights") is not None:
            self._publisher.note("broker-rights", "ok")

    def _deny(self, what: str, reason: str) -> None:
        if what in self._denied or len(self._denied) >= _MOST_DENIED:
            return
        log.warning("link", state="denied", what=what, reason=reason)
        self._denied[what] = reason
        listed = "; ".join(f"{each}: {why}" for each, why in self._denied.items())
        self._publisher.note("broker-rights", "degraded", f"the broker does not allow {listed}")
