"""What waits for the broker, in memory. Pure: no locks, no clock, no sockets; the desk locks around every call.

QoS 1 keeps the order within a topic. A retained topic has at most one waiting message, the newest. When the queue is
full the oldest message that is not retained goes, because a retained one is state and the others are history. QoS 0
waits only for a slow socket, never for a connection.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.fleet.link_types import Outcome

_NS = 1_000_000_000


@dataclass(frozen=True)
class Outgoing:
    """One message on its way. `expires_ns` is on the monotonic clock, None for never."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expires_ns: int | None = None
    tag: int | None = None

    def remaining_s(self, now_ns: int) -> int | None:
        """Whole seconds to live, rounded up; 0 or less when it is too late."""
        return None if self.expires_ns is None else -((now_ns - self.expires_ns) // _NS)


@dataclass
class QueueCounts:
    dropped_offline: int = 0
    dropped_full: int = 0
    expired: int = 0
    superseded: int = 0


class OutQueue:
    """`limit` bounds the QoS 1 messages, `limit_qos0` those of QoS 0 that a slow socket holds up."""

    def __init__(self, limit: int, limit_qos0: int = 100) -> None:
        self._limit = limit
        self._limit_qos0 = limit_qos0
        self._kept: OrderedDict[str | int, Outgoing] = OrderedDict()
        self._passing: deque[Outgoing] = deque()
        self._next_key = 0
        self.counts = QueueCounts()

    def __len__(self) -> int:
        return len(self._kept) + len(self._passing)

    def put(self, message: Outgoing, *, online: bool) -> Outcome:
        """Takes the message in, or says that it is dropped."""
        if message.qos == 0:
            return self._put_passing(message, online)
        key = self._key(message)
        if key in self._kept:
            self.counts.superseded += 1
        elif len(self._kept) >= self._limit and not self._make_room():
            self.counts.dropped_full += 1
            return Outcome.DROPPED
        self._kept[key] = message
        return Outcome.ACCEPTED if online else Outcome.QUEUED

    def put_first(self, message: Outgoing) -> None:
        """Ahead of everything, whatever the limits say: the last word before the link stops."""
        key = self._key(message)
        self._kept[key] = message
        self._kept.move_to_end(key, last=False)

    def take(self, now_ns: int, *, room: int) -> Outgoing | None:
        """The next to send: QoS 1 while the in-flight window has `room`, then QoS 0. None when nothing may go."""
        while self._kept and room > 0:
            _, message = self._kept.popitem(last=False)
            if self._alive(message, now_ns):
                return message
        while self._passing:
            message = self._passing.popleft()
            if self._alive(message, now_ns):
                return message
        return None

    def give_back(self, unacknowledged: Sequence[Outgoing]) -> None:
        """After a lost connection: what was sent and never acknowledged goes first again, in its order."""
        for message in reversed(unacknowledged):
            key = self._key(message)
            if key in self._kept:
                self.counts.superseded += 1
                continue
            self._kept[key] = message
            self._kept.move_to_end(key, last=False)

    def drop_passing(self) -> None:
        """After a lost connection: QoS 0 does not outlive it."""
        self.counts.dropped_offline += len(self._passing)
        self._passing.clear()

    def _put_passing(self, message: Outgoing, online: bool) -> Outcome:
        if not online:
            self.counts.dropped_offline += 1
            return Outcome.DROPPED
        if len(self._passing) >= self._limit_qos0:
            self._passing.popleft()
            self.counts.dropped_full += 1
        self._passing.append(message)
        return Outcome.ACCEPTED

    def _key(self, message: Outgoing) -> str | int:
        if message.retain:
            return message.topic
        self._next_key += 1
        return self._next_key

    def _make_room(self) -> bool:
        """Drops the oldest message that is not retained; False when there is none."""
        for key in self._kept:
            if isinstance(key, int):
                del self._kept[key]
                self.counts.dropped_full += 1
                return True
        return False

    def _alive(self, message: Outgoing, now_ns: int) -> bool:
        if message.expires_ns is None or message.expires_ns > now_ns:
            return True
        self.counts.expired += 1
        return False
