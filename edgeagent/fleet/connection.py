"""One connection to an MQTT broker through one paho client (`client.py` makes it).

Used by the link's thread alone (`link.py` says why there is one thread, and a fresh client for each connection). With
paho's documented calls for a foreign loop (`loop_read`, `loop_write`, `loop_misc`) a write happens at once and only
there, a slow socket shows as `want_write`, and every queue is ours and bounded. The socket is shared with whoever
publishes QoS 0 (`wire.py`), so paho is called with the wire's lock held.

Invariants: no more QoS 1 messages are in flight than the broker's Receive Maximum; passwords are never logged.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgeagent.clock import Clock
from edgeagent.fleet.attempts import TAKEN_OVER_CODE, Ending, kind_of_refusal
from edgeagent.fleet.client import (
    answer_properties,
    connect_client,
    expiry_properties,
    make_client,
    no_delay,
    read_limits,
    set_will,
    subscription,
)
from edgeagent.fleet.link_desk import NS, Desk, Line, packet_size
from edgeagent.fleet.link_types import (
    INBOUND_BYTES,
    AckHandle,
    Connected,
    EndKind,
    LinkEvent,
    LinkSettings,
    Message,
    Oversized,
    Protocol,
    Published,
    Rejected,
    Subscribed,
    TooLarge,
)
from edgeagent.fleet.outqueue import Outgoing
from edgeagent.fleet.tls import is_alert
from edgeagent.fleet.wire import TlsWire, Wire

_log = structlog.get_logger(__name__)
_TICK_S: Final = 1.0
_MOST_REJECTED_TOPICS: Final = 32


def survive(call: Callable[..., object], *args: object) -> bool:
    """The trampoline: whatever goes wrong in `call` is logged, and the link's thread lives on. False when it did.

    The trace is logged as text: a renderer that shows local variables could show a CONNECT packet with its password.
    """
    try:
        call(*args)
    except Exception:  # noqa: BLE001
        _log.error("link.fault", call=getattr(call, "__qualname__", repr(call)), trace=traceback.format_exc())
        return False
    return True


class Connection:
    """One paho client for one connection, used by the link's thread only.

    `line` is None until the broker has accepted; `ending` is None while the connection, or the hope for it, lives.
    """

    def __init__(
        self,
        settings: LinkSettings,
        desk: Desk,
        tell: Callable[[LinkEvent], None],
        *,
        protocol: Protocol,
        generation: int,
        clock: Clock,
        broker: int = 0,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._address = settings.brokers[broker]
        self._desk = desk
        self._tell = tell
        self._protocol = protocol
        self._generation = generation
        self._clock = clock
        self._opened_ns = self._ticked_ns = clock.monotonic_ns()
        self._selector = selectors.DefaultSelector()
        self._selector.register(desk.waker.reader, selectors.EVENT_READ)
        self._socket: Any = None
        self._writing = False
        self._wire: Wire | None = None
        self._lock: AbstractContextManager[object] = nullcontext()
        self._pending: Callable[[], int] = int  # bytes that TLS has read, and select does not see
        self._filters_of: dict[int, tuple[str, ...]] = {}
        self._rejected: set[str] = set()
        self.line: Line | None = None
        self.ending: Ending | None = None
        self._client = self._make_client()
        self._answer = self._guarded(self._on_publish)

    def _make_client(self) -> Client:
        client = make_client(
            self._settings,
            self._address,
            self._protocol,
            self._settings.client_id,
            clean=self._settings.session_expiry_s == 0,
        )
        if self._settings.will is not None:
            set_will(client, self._settings.will, self._protocol)
        client.on_connect = self._guarded(self._on_connect)
        client.on_disconnect = self._guarded(self._on_disconnect)
        client.on_message = self._guarded(self._on_message)
        client.on_subscribe = self._guarded(self._on_subscribe)
        if self._address.tls is not None:
            client.on_log = self._guarded(self._on_log)
        return client

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        def guarded(*args: object) -> None:
            if not survive(callback, *args):
                self._desk.count_fault()

        return guarded

    def open(self) -> None:
        """Blocks for DNS, TCP and TLS, then sends CONNECT. A failure becomes the ending."""
        ending = connect_client(
            self._client,
            self._settings,
            self._address,
            self._protocol,
            self._clock,
            clean=self._settings.session_expiry_s == 0,
        )
        if ending is not None:
            self.ending = ending
            return
        self._opened_ns = self._clock.monotonic_ns()
        self._socket = self._client.socket()
        if self._socket is None:
            return
        no_delay(self._socket)
        self._selector.register(self._socket, selectors.EVENT_READ)
        if not isinstance(self._socket, socket.socket) or isinstance(self._socket, ssl.SSLSocket):
            self._pending = self._socket.pending
        if isinstance(self._socket, socket.socket):
            kind = TlsWire if isinstance(self._socket, ssl.SSLSocket) else Wire
            self._wire = kind(self._socket, self._client.want_write)
            self._lock = self._wire.lock

    def pump(self, wait_s: float) -> None:
        """One round: waits at most `wait_s` for the socket or the waker, then reads, writes and minds the keepalive."""
        with self._lock:
            self._mind_writing()
            pending = self._client.socket() is not None and self._pending() > 0
        ready = self._selector.select(0 if pending else wait_s)
        with self._lock:
            self._serve(ready, pending)
            if self.line is not None:
                self._drain(self.line)

    def _serve(self, ready: list[tuple[selectors.SelectorKey, int]], pending: bool) -> None:
        for key, events in ready:
            if key.fileobj is not self._socket:
                self._desk.waker.clear()
                continue
            pending |= bool(events & selectors.EVENT_READ)
            if events & selectors.EVENT_WRITE:
                self._write()
        if pending:
            self._read()
        if not self._in_a_packet:
            self._mind_time()
        if self.ending is None and self._client.socket() is None:
            self._closed("connection closed")

    @property
    def _in_a_packet(self) -> bool:
        """Whether the socket has taken the beginning of a packet only: until its end nothing else may be written."""
        return self._wire is not None and bool(self._wire.rest)

    def _write(self) -> None:
        if self._wire is not None:
            self._wire.flush()
        if not self._in_a_packet:
            self._client.loop_write()

    def _read(self) -> None:
        if self.line is not None:
            self.line.heard_ns = self._clock.monotonic_ns()
        self._client.loop_read()

    def _mind_writing(self) -> None:
        wanted = self._in_a_packet or self._client.want_write()
        if wanted != self._writing and self._client.socket() is not None:
            self._selector.modify(self._socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0))
            self._writing = wanted

    def _mind_time(self) -> None:
        """Keepalive and the wait for CONNACK: once a tick, because rounds come with every message."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._ticked_ns < _TICK_S * NS:
            return
        self._ticked_ns = now_ns
        self._client.loop_misc()
        waited_s = (now_ns - self._opened_ns) / NS
        if self.line is None and waited_s > self._settings.connack_timeout_s:
            self._end("silent", f"the broker does not answer CONNECT with MQTT {self._protocol}")

    def _drain(self, line: Line) -> None:
        """Does what other threads have asked for, and sends what waits while the socket takes it."""
        if self._in_a_packet:
            return
        if self._desk.asked:
            self._do_tasks()
        while self.ending is None and not self._client.want_write():
            now_ns = self._clock.monotonic_ns()
            message = self._desk.take(now_ns, line.room)
            if message is None:
                return
            self._send(message, line, now_ns)

    def _do_tasks(self) -> None:
        tasks = self._desk.take_tasks()
        if tasks.filters:
            _, mid = self._client.subscribe(subscription(tasks.filters, self._protocol))
            self._filters_of[mid or 0] = tuple(tasks.filters)
        for handle in tasks.acks:
            if handle.generation == self._generation:
                self._client.ack(handle.mid, 1)
        for event in tasks.oversized:
            self._tell(event)

    def _send(self, message: Outgoing, line: Line, now_ns: int) -> None:
        """Hands a message to paho, without what this broker cannot do."""
        limits = line.limits
        size = packet_size(message.topic, message.payload) + len(message.correlation or b"") + 3
        if size > limits.max_packet_bytes:
            self._desk.count_too_large()
            self._tell(TooLarge(message.topic, size, limits.max_packet_bytes))
            return
        qos = min(message.qos, limits.max_qos)
        if qos:
            self._client.on_publish = self._answer
        info = self._client.publish(
            message.topic,
            message.payload,
            qos=qos,
            retain=message.retain and limits.retain,
            properties=self._properties(message, now_ns),
        )
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            line.in_flight[-info.mid] = message  # a key that no PUBACK has: the reconnection sends it again
            self._end("lost", "the broker left a message unacknowledged while 65 535 others passed")
        elif qos:
            line.in_flight[info.mid] = message
        elif info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._arrived(message)

    def _properties(self, message: Outgoing, now_ns: int) -> Properties | None:
        """MQTT 5's: for how long it is worth something, and what an answer belongs to."""
        remaining_s = message.remaining_s(now_ns)
        seconds = None if remaining_s is None else max(1, remaining_s)
        if self._protocol != "5":
            return None
        if message.correlation is not None:
            return answer_properties(message.correlation, seconds)
        return None if seconds is None else expiry_properties(seconds)

    def _arrived(self, message: Outgoing) -> None:
        self._desk.count_arrived(message)
        if message.tag is not None:
            self._tell(Published(message.tag, message.topic, ok=True))

    def move(self) -> None:
        """Ends this connection for another broker's."""
        self._end("moved", "goes back to the preferred broker")

    def close(self, *, clean: bool) -> None:
        """With `clean` sends DISCONNECT, which makes the broker forget the will; otherwise it publishes the will."""
        self._end("lost", "stopped")
        if clean and not self._in_a_packet:
            self._client.disconnect()
        self._selector.close()
        if self._socket is not None:
            self._socket.close()

    def _end(self, kind: EndKind, reason: str, code: int = 0) -> None:
        """The first ending counts: later ones are its consequences."""
        if self.ending is None:
            held_s = 0.0 if self.line is None else (self._clock.monotonic_ns() - self._opened_ns) / NS
            self.ending = Ending(kind, reason, code, held_s)

    def _closed(self, reason: str) -> None:
        if self.line is None:
            self._end("hung_up", f"the broker hung up on CONNECT with MQTT {self._protocol}")
        else:
            self._end("lost", reason)

    def _on_connect(self, _c: Client, _d: object, flags: ConnectFlags, reason: ReasonCode, props: Properties) -> None:
        if reason.is_failure:
            self._end(kind_of_refusal(reason.value), str(reason), reason.value)
            return
        self.line = Line(
            self._protocol,
            read_limits(props),
            flags.session_present,
            self._clock.monotonic_ns(),
            wire=self._wire,
            broker=str(self._address),
        )
        self._client.on_log = None
        self._desk.online(self.line)
        self._tell(
            Connected(self.line.session_present, self._protocol, self.line.limits, self.line.broker, self._broker == 0)
        )

    def _on_log(self, _c: Client, _d: object, _level: int, text: str) -> None:
        """Until CONNACK: with TLS 1.3 the broker says only after the handshake that it does not want our certificate,
        and paho says that here and nowhere else."""
        if "SSL" in text and is_alert(text):
            self._end("refused", "the broker ended TLS: it wants a client certificate that it trusts")

    def _on_disconnect(
        self, _c: Client, _d: object, flags: DisconnectFlags, reason: ReasonCode, _p: Properties
    ) -> None:
        if not flags.is_disconnect_packet_from_server:
            silent = reason.getName() == "Keep alive timeout"
            self._closed("no answer within the keepalive time" if silent else "connection closed")
        elif reason.value == TAKEN_OVER_CODE:
            self._end("displaced", f"another client connected as {self._settings.client_id}", reason.value)
        else:
            self._end("lost", f"the broker disconnected: {reason}", reason.value)

    def _on_publish(self, _c: Client, _d: object, mid: int, reason: ReasonCode, _p: Properties) -> None:
        message = None if self.line is None else self.line.in_flight.pop(mid, None)
        if message is None:
            return  # QoS 0, counted when it was sent
        if self.line is not None and not self.line.in_flight:
            self._client.on_publish = None  # paho calls it for QoS 0 too, and makes two costly objects for that
        if not reason.is_failure:
            self._arrived(message)
            return
        self._desk.count_rejected()
        self._tell_rejection(message.topic, str(reason))
        if message.tag is not None:
            self._tell(Published(message.tag, message.topic, ok=False, reason=str(reason)))

    def _tell_rejection(self, topic: str, reason: str) -> None:
        if topic not in self._rejected and len(self._rejected) < _MOST_REJECTED_TOPICS:
            self._rejected.add(topic)
            self._tell(Rejected(topic, reason))

    def _on_message(self, _c: Client, _d: object, message: MQTTMessage) -> None:
        size = len(message.payload)
        if size > INBOUND_BYTES:  # an MQTT 5 broker has been told, and sends nothing of that size
            if message.qos:
                self._client.ack(message.mid, 1)
            self._tell(Oversized(message.topic, size))
            return
        ack = AckHandle(self._generation, message.mid) if message.qos else None
        said = message.properties
        self._tell(
            Message(
                message.topic,
                bytes(message.payload),
                message.qos,
                message.retain,
                ack,
                response_topic=getattr(said, "ResponseTopic", ""),
                correlation=getattr(said, "CorrelationData", None),
                expiry_s=getattr(said, "MessageExpiryInterval", None),
            )
        )

    def _on_subscribe(self, _c: Client, _d: object, mid: int, reasons: list[ReasonCode], _p: Properties) -> None:
        """Refused ones are not confirmed: the next connection asks for them again."""
        answers = list(zip(self._filters_of.pop(mid, ()), reasons, strict=False))
        granted = tuple(name for name, reason in answers if not reason.is_failure)
        self._desk.confirm_filters(granted)
        self._tell(Subscribed(granted, tuple((name, str(reason)) for name, reason in answers if reason.is_failure)))
