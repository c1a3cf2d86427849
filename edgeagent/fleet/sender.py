"""Between whoever publishes and the link: what must arrive is kept until the broker has it, everything else passes.

For one thread, the event loop's; nothing here waits. What must arrive (`outbox_policy.kind_of`) is put into the backlog
and the file, and handed to the link while there is a connection, at most `WINDOW` at a time, so that the link's own
queue never drops any of it. The link sends what it was handed in that order, again after a lost connection too, and
tells with the tag what the broker answered; then it is forgotten here. A message does not wait for the disk before it
is sent: what the broker has acknowledged need not be on it.

The link may be exchanged (`attach`) when the broker's settings change: what the old one had not delivered goes to the
new one. What the old one tells after that is not listened to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final, Protocol

from edgeagent.clock import Clock
from edgeagent.fleet.link_desk import packet_size
from edgeagent.fleet.link_types import (
    PACKET_BYTES,
    Connected,
    LinkEvent,
    LinkStats,
    Lost,
    Outcome,
    Published,
    Refused,
    ServerLimits,
)
from edgeagent.fleet.outbox import Outbox
from edgeagent.fleet.outbox_backlog import Backlog, Losses
from edgeagent.fleet.outbox_keeper import LATE_BASE
from edgeagent.fleet.outbox_policy import Budget, Entry, kind_of, on_disk, outdated

WINDOW: Final = 50
"""Messages that the link may have at once: enough for its own window of 20, far below its queue's limit."""
_SUMMED: Final = (
    "published", "published_bytes", "dropped_offline", "dropped_full", "expired", "superseded", "too_large", "rejected",
    "connects", "losses", "refusals", "faults",
)  # fmt: skip


class TaggedLink(Protocol):
    """What the sender needs of a link."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: float | None = None,
        tag: int | None = None,
    ) -> Outcome: ...

    def stats(self) -> LinkStats: ...


@dataclass(frozen=True)
class SenderStats:
    """What waits for the broker, and what was given up since the start."""

    waiting: int
    bytes: int
    share: float
    """Of the budget, 0 to 1."""
    losses: Losses


@dataclass(frozen=True)
class Refusal:
    """A message that the broker, or this broker's limit, will never let through."""

    topic: str
    reason: str


class Sender:
    """Implements the publisher's link. `open` comes before everything but `publish`."""

    def __init__(self, link: TaggedLink, outbox: Outbox, clock: Clock, max_bytes: int) -> None:
        self._link = link
        self._outbox = outbox
        self._clock = clock
        self._backlog = Backlog(Budget(max_bytes))
        self._limits: ServerLimits | None = None
        self._number = 0
        self._early: list[Entry] | None = []
        self._former: LinkStats | None = None
        self._refusals: list[Refusal] = []
        self._largest = 0  # packet since nothing waited: what no limit concerns need not be looked through

    def opened(self, left: Sequence[Entry]) -> None:
        """The outbox is open, and this is what an earlier run left: it goes before what was published meanwhile."""
        early, self._early = self._early or [], None
        self._restore(left)
        self._number = max((entry.number for entry in self._backlog), default=0)
        if not self._outbox.loaded:
            self._number = LATE_BASE
        for entry in early:
            self._number += 1
            self._put(replace(entry, number=self._number))
        self._pump()

    def _restore(self, entries: Sequence[Entry]) -> None:
        wall_ms = self._clock.wall_ms()
        good = [entry for entry in entries if not outdated(entry, wall_ms)]
        old = [entry for entry in entries if outdated(entry, wall_ms)]
        self._backlog.losses.expired += len(old)
        self._forget([*old, *self._backlog.restore(good)])
        self._forget(self._backlog.expire(self._clock.monotonic_ns()))
        self._largest = max((packet_size(entry.topic, entry.payload) for entry in self._backlog), default=0)

    @property
    def online(self) -> bool:
        return self._limits is not None

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        """As the link's, but that what must arrive is kept until it has."""
        kind = kind_of(topic, qos, retain=retain)
        if kind is None:
            return self._link.publish(topic, payload, qos=qos, retain=retain, expiry_s=expiry_s)
        now_ns, wall_ms = self._clock.monotonic_ns(), self._clock.wall_ms()
        entry = Entry(self._number + 1, kind, topic, payload, retain, now_ns, wall_ms, expiry_s)
        if packet_size(topic, payload) > (PACKET_BYTES if self._limits is None else self._limits.max_packet_bytes):
            self._backlog.losses.too_large += 1
            self._refusals.append(Refusal(topic, f"{len(payload)} bytes are more than the broker takes"))
            return Outcome.TOO_LARGE
        if self._early is not None:
            self._early.append(entry)
            return Outcome.QUEUED
        self._number = entry.number
        taken = self._put(entry)
        self._pump()
        return (Outcome.ACCEPTED if self.online else Outcome.QUEUED) if taken else Outcome.DROPPED

    def _put(self, entry: Entry) -> bool:
        self._largest = max(packet_size(entry.topic, entry.payload), self._largest if len(self._backlog) else 0)
        admission = self._backlog.put(entry)
        self._forget(admission.gone)
        if admission.taken and on_disk(entry):
            self._outbox.keep(entry)
        return admission.taken

    def _forget(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if on_disk(entry):
                self._outbox.forget(entry.number)

    def _pump(self) -> None:
        """Hands to the link what it may have now."""
        while self.online and self._backlog.out < WINDOW and (entry := self._backlog.next()) is not None:
            outcome = self._link.publish(
                entry.topic,
                entry.payload,
                qos=1,
                retain=entry.retain,
                expiry_s=entry.remaining_s(self._clock.monotonic_ns()),
                tag=entry.number,
            )
            if outcome not in (Outcome.ACCEPTED, Outcome.QUEUED):
                return  # its queue is full, or it is being stopped: the next second tries again
            self._backlog.hand_out(entry)

    def take(self, event: LinkEvent, link: TaggedLink | None = None) -> None:
        """What a link tells; with `link`, which one: a former one is not listened to."""
        if link is not None and link is not self._link:
            return
        if isinstance(event, Published):
            self._answered(event)
        elif isinstance(event, Connected):
            self._connected(event.limits)
        elif isinstance(event, (Lost, Refused)):
            self._set_limits(None)

    def _answered(self, event: Published) -> None:
        entry = self._backlog.remove(event.tag) if event.ok else self._backlog.reject(event.tag)
        if entry is not None:
            self._forget([entry])
            if not event.ok:
                self._refusals.append(Refusal(entry.topic, event.reason))
        self._pump()

    def _connected(self, limits: ServerLimits) -> None:
        self._set_limits(limits)
        if self._largest > limits.max_packet_bytes:
            self._give_up_too_large(limits.max_packet_bytes)
        self._pump()

    def _give_up_too_large(self, limit: int) -> None:
        for entry in self._backlog.too_large(limit, lambda each: packet_size(each.topic, each.payload)):
            self._forget([entry])
            self._refusals.append(Refusal(entry.topic, f"{len(entry.payload)} bytes are more than the broker takes"))
        self._largest = limit

    def _set_limits(self, limits: ServerLimits | None) -> None:
        self._limits = limits
        self._outbox.set_online(online=limits is not None)

    def attach(self, link: TaggedLink) -> None:
        """From now on everything goes over this link, which tells when it is connected."""
        self._former = _sum(self._former, self._link.stats())
        self._link = link
        self._set_limits(None)
        self._backlog.take_back()

    def resize(self, max_bytes: int) -> None:
        """Another budget from now on."""
        self._forget(self._backlog.resize(Budget(max_bytes)))

    def second(self) -> None:
        """Once a second: drops what is over, takes in what could be read only now, goes on after a full queue."""
        if self._early is not None:
            return
        self._forget(self._backlog.expire(self._clock.monotonic_ns()))
        late = self._outbox.take_late()
        if late:
            self._restore(late)
        self._pump()

    def flush(self) -> Future[bool]:
        """Done when all that was published before, and must arrive, is on the disk; False where it takes nothing."""
        return self._outbox.flush()

    def committed(self) -> Future[bool]:
        """The same for safe from the end of this process, which takes a millisecond and costs no sync."""
        return self._outbox.committed()

    def stats(self) -> LinkStats:
        """The link's, former ones included; what waits here waits for the broker too."""
        stats = _sum(self._former, self._link.stats())
        return replace(stats, waiting=stats.waiting + len(self._backlog) - self._backlog.out)

    def waiting(self) -> SenderStats:
        backlog = self._backlog
        share = backlog.bytes / max(1, backlog.budget.total)
        return SenderStats(len(backlog) + len(self._early or ()), backlog.bytes, share, replace(backlog.losses))

    def take_refusals(self) -> list[Refusal]:
        """Messages given up because the broker will not have them, since this was last asked."""
        refusals, self._refusals = self._refusals, []
        return refusals


def _sum(former: LinkStats | None, now: LinkStats) -> LinkStats:
    """The counts of both; what is `now` is the present link's."""
    if former is None:
        return now
    return replace(now, **{name: getattr(former, name) + getattr(now, name) for name in _SUMMED})
