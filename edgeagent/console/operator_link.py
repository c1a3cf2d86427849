"""A short visit to the broker: connect, ask, listen, leave. Every trouble is a LinkError in plain words.

Stands on the same link as the devices, so the same TLS, protocol versions and limits hold. For one thread.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Final, TypeVar

from edgeagent.console.broker import Address
from edgeagent.errors import LinkError
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, Lost, Message, Published, Refused, Subscribed, TooLarge

CONNECT_S: Final = 15.0
ANSWER_S: Final = 15.0
Event = TypeVar("Event", bound=LinkEvent)


def client_id() -> str:
    """Unlike any other, and short enough for MQTT 3.1.1's 23 characters."""
    return f"edgeagent-ops-{uuid.uuid4().hex[:9]}"


def why_not(address: Address, event: Refused | Lost) -> LinkError:
    """No connection, in plain words, with what to do about it."""
    if isinstance(event, Refused):
        who = f"user {address.username}" if address.username else "a client without a user name"
        return LinkError(
            f"the broker {address.broker} refuses {who}: {event.reason}",
            mend="check --username and --password-file",
            code="broker-refused",
        )
    return LinkError(
        f"the broker {address.broker} cannot be reached: {event.reason}",
        mend=_mend(event.reason),
        retry=True,
        code="broker-unreachable",
    )


def _mend(reason: str) -> str:
    if "certificate" in reason.lower():
        return "name the authority with --ca-file, and the broker as its certificate does"
    return "check --broker, and that the broker runs"


class OperatorLink:
    """Connected while the `with` lasts."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        self._messages: deque[Message] = deque()
        self._link = MqttLink(address.link_settings(client_id()), self._events.put)
        self._tag = 0

    def __enter__(self) -> OperatorLink:
        self._link.start()
        try:
            self._connect()
        except BaseException:
            self._link.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.stop()

    def _connect(self) -> None:
        deadline_s = time.monotonic() + CONNECT_S
        while (event := self._next(deadline_s)) is not None:
            if isinstance(event, Connected):
                return
            if isinstance(event, Refused) or (isinstance(event, Lost) and event.retry_in_s > 0):
                raise why_not(self._address, event)
        raise LinkError(f"the broker {self._address.broker} does not answer", retry=True, code="broker-unreachable")

    def subscribe(self, filters: Iterable[str]) -> None:
        """With QoS 1; returns when the broker has said yes. What it keeps on these topics may have come by then."""
        wanted = set(filters)
        self._link.subscribe(dict.fromkeys(wanted, 1))
        deadline_s = time.monotonic() + ANSWER_S
        while wanted:
            event = self._wait_for(Subscribed, deadline_s, "to a subscription")
            if event.refused:
                name, reason = event.refused[0]
                raise LinkError(
                    f"the broker does not let us read {name}: {reason}",
                    mend="ask for the rights of an operator",
                    code="not-authorised",
                )
            wanted -= set(event.granted)

    def publish(self, topic: str, payload: bytes, *, retain: bool, expiry_s: float | None = None) -> None:
        """With QoS 1; returns when the broker has it."""
        self._tag += 1
        self._link.publish(topic, payload, qos=1, retain=retain, expiry_s=expiry_s, tag=self._tag)
        deadline_s = time.monotonic() + ANSWER_S
        while True:
            event = self._wait_for(Published, deadline_s, f"to a message on {topic}")
            if event.tag == self._tag and not event.ok:
                raise LinkError(
                    f"the broker does not take {topic}: {event.reason}",
                    mend="ask for the rights of an operator",
                    code="not-authorised",
                )
            if event.tag == self._tag:
                return

    def hear(self, timeout_s: float) -> Message | None:
        """The next message on what is subscribed to, acknowledged; None when none comes in that time."""
        deadline_s = time.monotonic() + timeout_s
        while not self._messages:
            event = self._next(deadline_s)
            if event is None:
                return None
            self._keep(event)
        return self._messages.popleft()

    def _keep(self, event: LinkEvent) -> None:
        if isinstance(event, Message):
            if event.ack is not None:
                self._link.ack(event.ack)
            self._messages.append(event)
        elif isinstance(event, TooLarge):
            raise LinkError(
                f"the message on {event.topic} has {event.size_bytes} bytes; the broker takes {event.limit_bytes}",
                mend="say less at once",
            )
        elif isinstance(event, Refused):
            raise why_not(self._address, event)

    def _wait_for(self, kind: type[Event], deadline_s: float, what: str) -> Event:
        while (event := self._next(deadline_s)) is not None:
            if isinstance(event, kind):
                return event
            self._keep(event)
        raise LinkError(f"the broker {self._address.broker} does not answer {what}", retry=True, code="broker-silent")

    def _next(self, deadline_s: float) -> LinkEvent | None:
        try:
            return self._events.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            return None
