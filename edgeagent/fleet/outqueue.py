"""What waits for the broker, in memory. Pure: no locks, no clock, no sockets; the desk locks around every call.

Three queues. State (QoS 1, retained): one message a topic, the newest; it goes first, so that after a reconnection the
status is not behind a backlog. History (QoS 1, not retained): in order, the oldest dropped when full. Passing (QoS 0):
waits for a slow socket only, never for a connection. Between topics no order is promised.
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
    correlation: bytes | None = None

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
    """`limit` bounds the history, and the topics of the state; `limit_qos0` what a slow socket holds up."""

    def __init__(self, limit: int, limit_qos0: int = 100) -> None:
        self._limit = limit
        self._limit_qos0 = limit_qos0
        self._state: OrderedDict[str, Outgoing] = OrderedDict()
        self._history: deque[Outgoing] = deque()
        self._passing: deque[Outgoing] = deque()
        self.counts = QueueCounts()

    def __len__(self) -> int:
        return len(self._state) + len(self._history) + len(self._passing)

    def put(self, message: Outgoing, *, online: bool) -> Outcome:
        """Takes the message in, or says that it is dropped."""
        if message.qos == 0 and not online:
            self.counts.dropped_offline += 1
            return Outcome.DROPPED
        if message.qos == 0:
            self._append(self._passing, message, self._limit_qos0)
        elif not message.retain:
            self._append(self._history, message, self._limit)
        elif message.topic in self._state:
            self._state[message.topic] = message
            self.counts.superseded += 1
        elif len(self._state) < self._limit:
            self._state[message.topic] = message
        else:
            self.counts.dropped_full += 1
            return Outcome.DROPPED
        return Outcome.ACCEPTED if online else Outcome.QUEUED

    def put_first(self, message: Outgoing) -> None:
        """Retained state ahead of everything, whatever the limits say: the last word before the link stops."""
        self._state[message.topic] = message
        self._state.move_to_end(message.topic, last=False)

    def take(self, now_ns: int, *, room: int) -> Outgoing | None:
        """The next to send: QoS 1 while the in-flight window has `room`, then QoS 0. None when nothing may go."""
        while (message := self._next(room)) is not None:
            if message.expires_ns is None or message.expires_ns > now_ns:
                return message
            self.counts.expired += 1
        return None

    def give_back(self, unacknowledged: Sequence[Outgoing]) -> None:
        """After a lost connection: what was sent and never acknowledged goes first again, in its order."""
        for message in reversed(unacknowledged):
            if not message.retain:
                self._history.appendleft(message)
            elif message.topic in self._state:
                self.counts.superseded += 1
            else:
                self.put_first(message)

    def drop_passing(self) -> None:
        """After a lost connection: QoS 0 does not outlive it."""
        self.counts.dropped_offline += len(self._passing)
        self._passing.clear()

    def _append(self, queue: deque[Outgoing], message: Outgoing, limit: int) -> None:
        if len(queue) >= limit:
            queue.popleft()
            self.counts.dropped_full += 1
        queue.append(message)

    def _next(self, room: int) -> Outgoing | None:
        if self._state and room > 0:
            return self._state.popitem(last=False)[1]
        if self._history and room > 0:
            return self._history.popleft()
        return self._passing.popleft() if self._passing else None
