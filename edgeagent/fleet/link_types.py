"""The link's vocabulary: its settings, what it tells its owner, what it counts. Pure values, no paho."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from edgeagent.fleet.backoff import CLOCK, FILES, LOST, REFUSED, Schedule
from edgeagent.fleet.url import Broker, broker_text

Protocol = Literal["5", "3.1.1"]
ProtocolWish = Literal["auto", "5", "3.1.1"]

WINDOW: Final = 20
"""QoS 1 messages that may be unacknowledged at once, unless the broker wants fewer."""

PACKET_BYTES: Final = 128 * 1024
"""The largest packet that we ever send: what the strictest of the large cloud brokers takes (AWS IoT Core). A QoS 1
message that the broker hangs up on would otherwise be sent again with every connection."""

INBOUND_BYTES: Final = 128 * 1024
"""The largest payload that is taken in; an MQTT 5 broker is told, and sends nothing that is larger."""

EndKind = Literal[
    "files",  # not tried: a certificate, a key or the password cannot be read
    "unreachable",  # no TCP or TLS connection
    "clock",  # the broker's certificate is not valid yet by our clock, which may be wrong after a boot
    "untrusted",  # the broker's certificate is not one that we trust for this name
    "hung_up",  # connected, then closed before any CONNACK
    "silent",  # connected, then no CONNACK in time
    "unsupported",  # the broker does not speak this protocol version
    "unavailable",  # CONNACK: not now
    "refused",  # CONNACK or TLS: not you, not like this
    "lost",  # was connected, is no longer
    "displaced",  # was connected, until another client came with our client id
    "moved",  # was connected to a fallback, and goes back to the preferred broker
]


@dataclass(frozen=True)
class TlsSettings:
    """PEM files: paths, or `credential:NAME` (`credentials.py`). Read at every attempt to connect, so that they may be
    exchanged at any time. Without `ca_file` the system's authorities count; a key may be in the certificate's file."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True)
class Will:
    """What the broker publishes, retained with QoS 1, when the device falls silent.

    `delay_s` (MQTT 5 only) leaves time to come back first; it has to be below the session expiry to have an effect.
    """

    topic: str
    payload: bytes
    delay_s: int = 15


@dataclass(frozen=True)
class Address:
    """Where a broker is. With a `path` MQTT goes over WebSocket."""

    host: str
    port: int
    tls: TlsSettings | None = None
    path: str | None = None

    def __str__(self) -> str:
        return broker_text(self.host, self.port, tls=self.tls is not None, path=self.path)


def address_of(broker: Broker, tls: TlsSettings) -> Address:
    """Where a parsed address leads; `tls` counts where its scheme asks for TLS."""
    return Address(broker.host, broker.port, tls if broker.tls else None, broker.path)


@dataclass(frozen=True)
class LinkSettings:
    """All that a link needs to know. `client_id` has to stay the same: the broker keeps the session under it.

    Host, port, tls and path are the preferred broker's; `fallbacks` come after it, in their order, with the same
    credentials. `password_file` (a path, or `credential:NAME`) is read at every attempt.
    """

    host: str
    port: int
    client_id: str
    tls: TlsSettings | None = None
    path: str | None = None
    fallbacks: tuple[Address, ...] = ()
    preferred_after_s: float = 600.0
    protocol: ProtocolWish = "auto"
    keepalive_s: int = 30
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str | None = None
    session_expiry_s: int = 4 * 3600
    will: Will | None = None
    queue_limit: int = 500
    drain_s: float = 1.0
    connect_timeout_s: float = 5.0
    connack_timeout_s: float = 5.0
    stable_s: float = 30.0
    lost: Schedule = LOST
    refused: Schedule = REFUSED
    clock: Schedule = CLOCK
    files: Schedule = FILES

    @property
    def brokers(self) -> tuple[Address, ...]:
        """In order of preference; never empty."""
        return (Address(self.host, self.port, self.tls, self.path), *self.fallbacks)


@dataclass(frozen=True)
class ServerLimits:
    """What the broker allows, from its CONNACK. MQTT 3.1.1 brokers do not say, so our own limits stand in."""

    window: int = WINDOW
    max_packet_bytes: int = PACKET_BYTES
    max_qos: int = 1
    retain: bool = True


class Outcome(Enum):
    """What became of a message at `publish`."""

    ACCEPTED = "accepted"
    """On its way over the present connection."""
    QUEUED = "queued"
    """Kept in memory until there is a connection (QoS 1)."""
    DROPPED = "dropped"
    """Gone: QoS 0 without a connection, a full queue, or a stopped link."""
    TOO_LARGE = "too_large"
    """Gone: the broker would hang up on it."""


@dataclass(frozen=True)
class Connected:
    """The broker accepted. The owner publishes its status now, because a will may have said `lost` meanwhile."""

    session_present: bool
    protocol: Protocol
    limits: ServerLimits
    broker: str = ""
    """Its address, without credentials."""
    preferred: bool = True


@dataclass(frozen=True)
class Refused:
    """The broker answered, and said no. `code` is the MQTT 5 reason code, 0 for a refusal by TLS; a person may have to
    act."""

    reason: str
    code: int
    retry_in_s: float
    broker: str = ""


@dataclass(frozen=True)
class Lost:
    """There is no connection, or no longer one. `retry_in_s`: until the next attempt, perhaps at another broker."""

    reason: str
    retry_in_s: float
    was_connected: bool
    kind: EndKind = "lost"
    broker: str = ""


@dataclass(frozen=True)
class AckHandle:
    """Names one received message. Valid on the connection that brought it: on a later one it is ignored."""

    generation: int
    mid: int


@dataclass(frozen=True)
class Message:
    """Something came on a subscribed topic. `ack` is None with QoS 0; otherwise acknowledge it once it is stored.

    The last three are MQTT 5's: `expiry_s` is what was left of the message's life when the broker sent it.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    ack: AckHandle | None
    response_topic: str = ""
    correlation: bytes | None = None
    expiry_s: int | None = None


@dataclass(frozen=True)
class Published:
    """The broker answered for a QoS 1 message that was published with a `tag`. Not `ok`: it will not be sent again."""

    tag: int
    topic: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class Subscribed:
    """The broker answered a subscription; `refused` holds (filter, reason)."""

    granted: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TooLarge:
    """A message was refused here, because the broker would have hung up on it."""

    topic: str
    size_bytes: int
    limit_bytes: int


@dataclass(frozen=True)
class Rejected:
    """The broker took a connection and not this message (QoS 1). Told once a topic and connection."""

    topic: str
    reason: str


@dataclass(frozen=True)
class Oversized:
    """A message came that is larger than INBOUND_BYTES. It was dropped here, and acknowledged."""

    topic: str
    size_bytes: int


LinkEvent = Connected | Refused | Lost | Message | Published | Subscribed | TooLarge | Rejected | Oversized


@dataclass(frozen=True)
class LinkStats:
    """Counts since the link was made, except where it says now."""

    connected: bool
    """Now."""
    protocol: Protocol | None
    """Now, or None without a connection."""
    broker: str | None
    """Now: its address, or None without a connection."""
    waiting: int
    """Now: messages in the queue."""
    in_flight: int
    """Now: QoS 1 messages sent and not yet acknowledged."""
    heard_age_s: float | None
    """Now: seconds since the broker's last byte; the only proof of life. None without a connection."""
    published: int
    """QoS 0 sent and QoS 1 acknowledged."""
    published_bytes: int
    dropped_offline: int
    """QoS 0 without a connection."""
    dropped_full: int
    """The oldest, or the new one, because a queue was full."""
    expired: int
    superseded: int
    """Retained messages replaced by newer ones before they were sent: nothing is lost by that."""
    too_large: int
    rejected: int
    """QoS 1 that the broker answered with an error."""
    connects: int
    losses: int
    refusals: int
    faults: int
    """Errors of our own that the trampoline caught. Anything but 0 is a bug."""

    @property
    def dropped(self) -> int:
        """Messages that never arrived, for whatever reason."""
        return self.dropped_offline + self.dropped_full + self.expired + self.too_large + self.rejected
