"""A link that only remembers, and a publisher over it. No tests in here."""

from __future__ import annotations

from dataclasses import fields, replace

from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import LinkStats, Outcome
from edgeagent.fleet.topics import Topics

_OTHERWISE = {"connected": False, "protocol": None, "heard_age_s": None}
NOTHING_YET = LinkStats(**{each.name: _OTHERWISE.get(each.name, 0) for each in fields(LinkStats)})  # type: ignore[arg-type]


class Remembering:
    """Takes every message: (topic, payload, qos, retain, expiry_s)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int, bool, float | None]] = []
        self.now = NOTHING_YET

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        self.sent.append((topic, payload, qos, retain, expiry_s))
        return Outcome.ACCEPTED

    def stats(self) -> LinkStats:
        return self.now

    def come_up(self) -> None:
        self.now = replace(NOTHING_YET, connected=True)

    def on(self, topic: str) -> list[bytes]:
        return [sent[1] for sent in self.sent if sent[0] == topic]


def publisher_over(link: Remembering, topics: Topics, clock: ManualClock) -> Publisher:
    return Publisher(link, topics, Stamp("boot-1", clock.wall_ms), clock, results_qos=0)
