"""The place of the MQTT link: who publishes keeps the place, and another link may be put there."""

from __future__ import annotations

from edgeagent.app.publisher import Link
from edgeagent.fleet.link_types import LinkStats, Outcome


class LinkSeat:
    """A link for a publisher: whichever is seated now. For the event loop only."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def attach(self, link: Link) -> None:
        """From now on everything goes through this one."""
        self._link = link

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        return self._link.publish(topic, payload, qos=qos, retain=retain, expiry_s=expiry_s)

    def stats(self) -> LinkStats:
        return self._link.stats()
