"""A paho client for one connection: made from the settings, connected, its MQTT 5 properties. Knows paho; no threads.

Credentials and certificates are read here, at every attempt: whoever exchanges a file needs no restart. Invariant:
passwords are never logged, and neither is an error that could hold one.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgeagent.clock import Clock
from edgeagent.fleet.attempts import Ending
from edgeagent.fleet.credentials import CredentialError, read_password
from edgeagent.fleet.link_types import (
    INBOUND_BYTES,
    PACKET_BYTES,
    WINDOW,
    Address,
    LinkSettings,
    Protocol,
    ServerLimits,
    Will,
)
from edgeagent.fleet.tls import tls_context, tls_ending

_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_INBOUND_PACKET_BYTES: Final = INBOUND_BYTES + 4096
"""A payload of the largest size, its topic and its properties."""


def properties_of(packet_type: int, **values: int) -> Properties:
    """MQTT 5 properties. Raises paho's MQTTException for one that this packet cannot have."""
    properties = Properties(packet_type)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


class _Expiry(Properties):
    """A message's expiry, packed once: paho looks through all of MQTT 5's properties at every packing."""

    def __init__(self, seconds: int) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.MessageExpiryInterval = seconds
        object.__setattr__(self, "_packed", super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        packed: bytes = object.__getattribute__(self, "_packed")
        return packed


def answer_properties(correlation: bytes, seconds: int | None) -> Properties:
    """Of an answer to one who has sent correlation data."""
    properties = properties_of(PacketTypes.PUBLISH)
    properties.CorrelationData = correlation
    if seconds is not None:
        properties.MessageExpiryInterval = seconds
    return properties


@lru_cache(maxsize=64)
def expiry_properties(seconds: int) -> Properties:
    """Shared between messages: nothing in them is the message's own."""
    return _Expiry(seconds)


def read_limits(properties: Properties | None) -> ServerLimits:
    """What the CONNACK says; defaults where it says nothing."""
    return ServerLimits(
        window=min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW)),
        max_packet_bytes=min(PACKET_BYTES, getattr(properties, "MaximumPacketSize", PACKET_BYTES)),
        max_qos=min(1, getattr(properties, "MaximumQoS", 1)),
        retain=bool(getattr(properties, "RetainAvailable", 1)),
    )


def make_client(settings: LinkSettings, address: Address, protocol: Protocol, client_id: str, *, clean: bool) -> Client:
    """Not connected yet, without callbacks. `clean`: the broker keeps no session for it."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if protocol == "5" else clean,
        protocol=_VERSIONS[protocol],
        transport="tcp" if address.path is None else "websockets",
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = settings.connect_timeout_s
    if address.path is not None:
        client.ws_set_options(path=address.path)
        client.on_socket_open = _mend_websocket
    return client


def set_will(client: Client, will: Will, protocol: Protocol) -> None:
    v5 = protocol == "5"
    properties = properties_of(PacketTypes.WILLMESSAGE, WillDelayInterval=will.delay_s) if v5 else None
    client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)


def subscription(filters: Mapping[str, int], protocol: Protocol) -> list[tuple[str, Any]]:
    """Filters with their QoS, as paho wants them. With MQTT 5 a message keeps its publisher's retain flag: otherwise a
    command that is retained by mistake would look like any other to those who are connected."""
    if protocol == "5":
        return [(name, SubscribeOptions(qos=qos, retainAsPublished=True)) for name, qos in filters.items()]
    return list(filters.items())


def _mend_websocket(_client: Client, _userdata: object, sock: Any) -> None:  # noqa: ANN401
    """paho drops a packet of which its WebSocket could send a part only, and mixes the rest with the next packet: its
    `send` says 0 then. Told that the socket would block, paho keeps the packet and sends on."""
    send: Callable[[bytes], int] = sock.send

    def whole_or_blocked(data: bytes) -> int:
        count = send(data)
        if data and not count:
            raise BlockingIOError
        return count

    sock.send = whole_or_blocked


def connect_client(
    client: Client, settings: LinkSettings, address: Address, protocol: Protocol, clock: Clock, *, clean: bool
) -> Ending | None:
    """Blocks for DNS, TCP, TLS and WebSocket, then sends CONNECT. None, or why there is no connection."""
    try:
        _set_secrets(client, settings, address)
        _connect(client, settings, address, protocol, clean=clean)
    except CredentialError as error:
        return Ending("files", error.line())
    except ssl.SSLError as error:
        return tls_ending(error, clock.wall_ms())
    except (OSError, ValueError, LookupError) as error:
        return Ending("unreachable", plain_reason(error))
    return None


def _set_secrets(client: Client, settings: LinkSettings, address: Address) -> None:
    if address.tls is not None:
        client.tls_set_context(tls_context(address.tls))
    if settings.username is not None:
        from_file = None if settings.password_file is None else read_password(settings.password_file)
        client.username_pw_set(settings.username, from_file or settings.password)


def _connect(client: Client, settings: LinkSettings, address: Address, protocol: Protocol, *, clean: bool) -> None:
    if protocol == "3.1.1":
        client.connect(address.host, address.port, settings.keepalive_s)
        return
    properties = properties_of(
        PacketTypes.CONNECT,
        SessionExpiryInterval=0 if clean else settings.session_expiry_s,
        ReceiveMaximum=WINDOW,
        MaximumPacketSize=_INBOUND_PACKET_BYTES,
    )
    client.connect(address.host, address.port, settings.keepalive_s, clean_start=clean, properties=properties)


def plain_reason(error: Exception) -> str:
    """What the system said, without its number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def no_delay(sock: Any) -> None:  # noqa: ANN401
    """Small packets go at once. By a second handle: paho's WebSocket hides the socket in it."""
    with socket.socket(fileno=os.dup(sock.fileno())) as twin:
        twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
