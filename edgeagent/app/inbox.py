"""What comes in over MQTT, brought to whoever it is for, on the agent's loop.

`deliver` is called on the link's thread, everything else on the loop. A message goes to the callback of its kind, which
acknowledges it once it is stored durably, or will never be; until then the broker keeps it, and sends it again over the
next connection. An acknowledgement goes to the link that brought the message, whichever link there is by then.

Invariants: at most MOST messages and MOST_BYTES wait for an acknowledgement or for the loop. What comes beyond that is
left to the broker (QoS 1) or gone (QoS 0), and counted. A topic that is not this device's never reaches a callback.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import structlog

from edgeagent.fleet.inbound import Inbound, filters, parse_inbound
from edgeagent.fleet.link_types import AckHandle, Message
from edgeagent.fleet.topics import TopicError, Topics

log = structlog.get_logger("inbox")

Kind = Literal["config_desired", "command", "status", "other"]
MOST: Final = 64
MOST_BYTES: Final = 4 * 1024 * 1024


class Acknowledging(Protocol):
    """What the inbox needs of a link."""

    def ack(self, handle: AckHandle) -> None: ...


@dataclass(frozen=True)
class Received:
    """A message for this device. `inbound` says what its topic says; None for the device's own status and for others.

    The last three are MQTT 5's, as the broker sent them. `acknowledge` may be called more than once, from any thread.
    """

    kind: Kind
    topic: str
    payload: bytes = field(repr=False)
    retain: bool
    inbound: Inbound | None
    acknowledge: Callable[[], None] = field(repr=False, default=lambda: None)
    response_topic: str = ""
    correlation: bytes | None = None
    expiry_s: int | None = None


Callback = Callable[[Received], None]


class Inbox:
    """Routes what comes in. One for the life of the agent, whichever links come and go.

    `others` are topics of other programs, of kind "other": Home Assistant's, for example.
    """

    def __init__(self, topics: Topics, groups: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
        self._topics = topics
        self._groups = groups
        self._others = others
        self._callbacks: dict[Kind, Callback] = {}
        self._lock = threading.Lock()
        self._held = 0
        self._held_bytes = 0
        self._full = False
        self._strange: set[str] = set()
        self.left_out = 0
        """Messages that were not taken, because too much waited."""

    def on(self, kind: Kind, callback: Callback) -> None:
        """From now on messages of that kind go there."""
        self._callbacks[kind] = callback

    def listen_to(self, groups: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
        """The device's groups have changed, or who else is listened to; subscribe to `filters` anew."""
        self._groups, self._others = groups, others

    @property
    def filters(self) -> dict[str, int]:
        """What the link shall subscribe to, with the QoS: what is said to this device, and its own status."""
        ours = (*filters(self._topics, self._groups), self._topics.status)
        return {**dict.fromkeys(ours, 1), **dict.fromkeys(self._others, 0)}

    def deliver(self, message: Message, link: Acknowledging, loop: asyncio.AbstractEventLoop) -> None:
        """On the link's thread: takes it in, or leaves it to the broker."""
        if self._admit(message):
            loop.call_soon_threadsafe(self._take, message, link)

    def _admit(self, message: Message) -> bool:
        with self._lock:
            room = self._held < MOST and self._held_bytes + len(message.payload) <= MOST_BYTES
            if room:
                self._held += 1
                self._held_bytes += len(message.payload)
            else:
                self.left_out += 1
            news = not room and not self._full
            self._full = not room
        if news:
            log.warning("inbox", state="full", topic=message.topic, held=self._held)
        return room

    def _release(self, message: Message) -> None:
        with self._lock:
            self._held -= 1
            self._held_bytes -= len(message.payload)

    def _take(self, message: Message, link: Acknowledging) -> None:
        acknowledge = _Once(lambda: self._done(message, link))
        received = self._received(message, acknowledge)
        callback = None if received is None else self._callbacks.get(received.kind)
        try:
            if received is not None and callback is not None:
                callback(received)
        finally:
            if callback is None or message.ack is None:
                acknowledge()

    def _done(self, message: Message, link: Acknowledging) -> None:
        self._release(message)
        if message.ack is not None:
            link.ack(message.ack)

    def _received(self, message: Message, acknowledge: Callable[[], None]) -> Received | None:
        """None for what is not for this device."""
        kind, inbound = self._parsed(message.topic)
        if kind is None:
            return None
        return Received(
            kind,
            message.topic,
            message.payload,
            message.retain,
            inbound,
            acknowledge,
            message.response_topic,
            message.correlation,
            message.expiry_s,
        )

    def _parsed(self, topic: str) -> tuple[Kind | None, Inbound | None]:
        if topic == self._topics.status:
            return "status", None
        if topic in self._others:
            return "other", None
        try:
            inbound = parse_inbound(topic, self._topics, self._groups)
        except TopicError as error:
            if topic not in self._strange and len(self._strange) < MOST:
                self._strange.add(topic)
                log.warning("inbox", state="not_ours", reason=error.line())
            return None, None
        return inbound.kind, inbound


class _Once:
    """A call that is made once, however often it is asked for."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            call, self._call = self._call, None
        if call is not None:
            call()
