"""A link that only remembers, and a publisher over it. No tests in here."""

from __future__ import annotations

from dataclasses import replace

from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import LinkStats, Outcome
from edgeagent.fleet.topics import Topics

NOTHING_YET = LinkStats(
    connected=False,
    protocol=None,
    waiting=0,
    in_flight=0,
    heard_age_s=None,
    published=0,
    published_bytes=0,
    dropped_offline=0,
    dropped_full=0,
    expired=0,
    superseded=0,
    too_large=0,
    rejected=0,
    connects=0,
    losses=0,
    refusals=0,
    faults=0,
)


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
