"""The short way of a QoS 0 message: onto the connection's socket at once, on the thread that publishes it.

A result a frame and camera is what a link mostly carries. By way of the link's thread each costs two changes of thread
and paho's bookkeeping, several times what its bytes cost. So where nothing waits and the socket takes it, the
publisher writes the packet itself. It never waits: when the link's thread is at work on the connection, when something
is to be sent before, or when the socket is full, the message goes the long way, through the queue.

Invariants: packets are never mixed. Whoever writes, paho for the link's thread included, holds `lock`; and while
`rest` holds the end of a packet that the socket did not take, nothing else is written. What TLS could not send it may
have encrypted already, and wants again as it was: then the whole packet is the rest. WebSocket has no short way. No
paho in here.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable

from edgeagent.fleet.link_types import Protocol

_PUBLISH, _RETAIN, _EXPIRY = 0x30, 0x01, b"\x02"


def publish_packet(topic: str, payload: bytes, *, retain: bool, expiry_s: int | None, protocol: Protocol) -> bytes:
    """A PUBLISH packet of QoS 0: MQTT 5.0, section 3.3; 3.1.1, the same section. `expiry_s` means nothing to 3.1.1."""
    name = topic.encode()
    properties = b""
    if protocol == "5":
        properties = b"\x00" if expiry_s is None else b"\x05" + _EXPIRY + expiry_s.to_bytes(4, "big")
    length = 2 + len(name) + len(properties) + len(payload)
    first = _PUBLISH | (_RETAIN if retain else 0)
    return b"%c%b%b%b%b%b" % (first, variable_length(length), len(name).to_bytes(2, "big"), name, properties, payload)


def variable_length(value: int) -> bytes:
    """A Variable Byte Integer: MQTT 5.0, section 1.5.5."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


class Wire:
    """A connection's socket, which does not block. `busy`: paho still has something of its own to write."""

    def __init__(self, sock: socket.socket, busy: Callable[[], bool]) -> None:
        self._sock = sock
        self._busy = busy
        self.lock = threading.Lock()
        self.rest = b""

    def send(self, packet: bytes) -> bool:
        """True when it is on its way, whole or begun; False when nothing of it is, and it has to take the long way."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self.rest or self._busy():
                return False
            count = self._begun(packet)
            self.rest = b"" if count is None else packet[count:]
            return count is not None
        finally:
            self.lock.release()

    def flush(self) -> None:
        """The rest of a packet. By the link's thread, which holds the lock."""
        if self.rest:
            self.rest = self.rest[self._taken(self.rest) :]

    def _begun(self, packet: bytes) -> int | None:
        """How much of it is on its way; None when it has not been begun."""
        return self._taken(packet) or None

    def _taken(self, data: bytes) -> int:
        """How much of it the socket takes. Nothing where the connection is broken: the link's thread finds out."""
        try:
            return self._sock.send(data)
        except OSError:
            return 0


class TlsWire(Wire):
    """The same over TLS. Reading needs `lock` too: OpenSSL's object is for one thread at a time."""

    def _begun(self, packet: bytes) -> int | None:
        try:
            return self._sock.send(packet)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError:
            return None
