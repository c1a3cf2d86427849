"""The desk between the link's thread and everyone else: what to send, subscribe and acknowledge, and the counts.

Every method may be called from any thread; each takes the one lock for a moment and none waits for the network. No
paho.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from edgeagent.clock import Clock
from edgeagent.fleet.link_types import (
    AckHandle,
    LinkSettings,
    LinkStats,
    Outcome,
    Protocol,
    ServerLimits,
    TooLarge,
)
from edgeagent.fleet.outqueue import Outgoing, OutQueue
from edgeagent.fleet.wire import Wire, publish_packet

NS: Final = 1_000_000_000
_PUBLISH_OVERHEAD_BYTES: Final = 15
"""Fixed header, topic length, packet id and expiry property at their largest."""
_FOR_THE_THREAD: Final = (Outcome.ACCEPTED, Outcome.TOO_LARGE)


def packet_size(topic: str, payload: bytes) -> int:
    """An upper bound of the PUBLISH packet's size in bytes."""
    return _PUBLISH_OVERHEAD_BYTES + len(topic.encode()) + len(payload)


class Waker:
    """Ends the link thread's wait. Woken without the desk's lock: the thread would wake up only to wait for it."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)

    def wake(self) -> None:
        with suppress(OSError):  # full: the thread is awake already; closed: there is no thread
            self._writer.send(b"w")

    def clear(self) -> None:
        with suppress(BlockingIOError):
            self.reader.recv(4096)

    def close(self) -> None:
        self.reader.close()
        self._writer.close()


@dataclass
class Line:
    """What the desk sees of a connection that the broker has accepted."""

    protocol: Protocol
    limits: ServerLimits
    session_present: bool
    heard_ns: int
    in_flight: dict[int, Outgoing] = field(default_factory=dict)
    wire: Wire | None = None
    broker: str = ""

    @property
    def room(self) -> int:
        """How many more QoS 1 messages may be in flight."""
        return self.limits.window - len(self.in_flight)


@dataclass
class Tasks:
    """What other threads have asked of the link's thread since it last looked."""

    filters: dict[str, int]
    acks: tuple[AckHandle, ...]
    oversized: tuple[TooLarge, ...]


@dataclass
class _Counts:
    published: int = 0
    published_bytes: int = 0
    rejected: int = 0
    too_large: int = 0
    connects: int = 0
    losses: int = 0
    refusals: int = 0
    faults: int = 0


class Desk:
    """Owns the queue, the subscriptions and the counts."""

    def __init__(self, settings: LinkSettings, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._queue = OutQueue(settings.queue_limit)
        self._counts = _Counts()
        self._line: Line | None = None
        self._filters: dict[str, int] = {}
        self._requested: set[str] = set()
        self._confirmed: set[str] = set()
        self._acks: deque[AckHandle] = deque()
        self._oversized: deque[TooLarge] = deque(maxlen=16)
        self._final: Outgoing | None = None
        self._final_arrived = False
        self._closed = False
        self.waker = Waker()
        self.asked = False
        """Read without the lock by the link's thread: something is there to take, at the latest in the next round."""

    # Called by the owner's threads.

    def put(self, message: Outgoing) -> Outcome:
        """Takes it in, or puts it onto the wire at once."""
        plain = message.qos == 0 and message.tag is None and message.correlation is None
        if plain and self._at_once(message):
            return Outcome.ACCEPTED
        outcome = self._put(message)
        if outcome in _FOR_THE_THREAD:
            self.waker.wake()
        return outcome

    def _at_once(self, message: Outgoing) -> bool:
        """Whether it is on its way; the lock is held meanwhile, so that no other message overtakes it."""
        with self._lock:
            line = self._line
            if line is None or line.wire is None or len(self._queue) or self._closed:
                return False
            if packet_size(message.topic, message.payload) > line.limits.max_packet_bytes:
                return False
            remaining_s = message.remaining_s(self._clock.monotonic_ns())
            packet = publish_packet(
                message.topic,
                message.payload,
                retain=message.retain and line.limits.retain,
                expiry_s=None if remaining_s is None else max(1, remaining_s),
                protocol=line.protocol,
            )
            if not line.wire.send(packet):
                return False
            self._counts.published += 1
            self._counts.published_bytes += len(message.payload)
            begun = bool(line.wire.rest)
        if begun:
            self.waker.wake()  # the link's thread waits until the socket takes the rest
        return True

    def _put(self, message: Outgoing) -> Outcome:
        with self._lock:
            if self._closed:
                return Outcome.DROPPED
            if self._line is None:
                return self._queue.put(message, online=False)
            limit = self._line.limits.max_packet_bytes
            size = packet_size(message.topic, message.payload)
            if size <= limit:
                return self._queue.put(message, online=True)
            self._counts.too_large += 1
            self._oversized.append(TooLarge(message.topic, size, limit))
            self.asked = True
            return Outcome.TOO_LARGE

    def put_final(self, message: Outgoing) -> None:
        """The last word: ahead of everything, and `settled` waits for it."""
        with self._lock:
            self._final = message
            self._queue.put_first(message)

    def ask_filters(self, filters: Mapping[str, int]) -> None:
        with self._lock:
            self._filters.update(filters)
            self._requested.difference_update(filters)
            self._confirmed.difference_update(filters)
            self.asked = True
        self.waker.wake()

    def ask_ack(self, handle: AckHandle) -> None:
        with self._lock:
            self._acks.append(handle)
            self.asked = True
        self.waker.wake()

    def close(self) -> None:
        """No message is taken any more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self.waker.close()

    # Called by the link's thread.

    def online(self, line: Line) -> None:
        """The broker has accepted: publishing goes straight through from now on."""
        with self._lock:
            self._line = line
            self._counts.connects += 1
            if not line.session_present:
                self._confirmed.clear()
            self._requested = set(self._confirmed)
            self.asked = True

    def offline(self, *, lost: bool) -> None:
        """The connection is gone: what was not acknowledged waits again, in its order. `lost`: not by our own wish."""
        with self._lock:
            if self._line is not None:
                self._counts.losses += lost
                self._queue.give_back(tuple(self._line.in_flight.values()))
            self._line = None
            self._queue.drop_passing()
            self._acks.clear()

    def take_tasks(self) -> Tasks:
        with self._lock:
            due = {name: qos for name, qos in self._filters.items() if name not in self._requested}
            tasks = Tasks(due, tuple(self._acks), tuple(self._oversized))
            self._requested.update(due)
            self._acks.clear()
            self._oversized.clear()
            self.asked = False
            return tasks

    def take(self, now_ns: int, room: int) -> Outgoing | None:
        with self._lock:
            return self._queue.take(now_ns, room=room)

    def confirm_filters(self, names: tuple[str, ...]) -> None:
        with self._lock:
            self._confirmed.update(names)

    def count_arrived(self, message: Outgoing) -> None:
        with self._lock:
            self._counts.published += 1
            self._counts.published_bytes += len(message.payload)
            self._final_arrived |= message is self._final

    def count_rejected(self) -> None:
        with self._lock:
            self._counts.rejected += 1

    def count_too_large(self) -> None:
        with self._lock:
            self._counts.too_large += 1

    def count_refusal(self) -> None:
        with self._lock:
            self._counts.refusals += 1

    def count_fault(self) -> None:
        with self._lock:
            self._counts.faults += 1

    def drained(self) -> bool:
        """The broker has everything."""
        with self._lock:
            return not len(self._queue) and self._line is not None and not self._line.in_flight

    def last_word_arrived(self) -> bool:
        """The broker has the last word; without one, everything."""
        return self._final_arrived if self._final is not None else self.drained()

    def stats(self) -> LinkStats:
        with self._lock:
            line, counts, queued = self._line, self._counts, self._queue.counts
            return LinkStats(
                connected=line is not None,
                protocol=None if line is None else line.protocol,
                broker=None if line is None else line.broker,
                waiting=len(self._queue),
                in_flight=0 if line is None else len(line.in_flight),
                heard_age_s=None if line is None else (self._clock.monotonic_ns() - line.heard_ns) / NS,
                dropped_offline=queued.dropped_offline,
                dropped_full=queued.dropped_full,
                expired=queued.expired,
                superseded=queued.superseded,
                **vars(counts),
            )
