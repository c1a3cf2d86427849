"""Broker addresses: `mqtt://host[:port]` and `mqtts://host[:port]`. Pure; no error text ever repeats a password."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from edgeagent.errors import ConfigError

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_OTHER_NAMES: Final = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts"}


class BrokerUrlError(ConfigError):
    """The broker's address cannot be used as it is written."""

    code = "broker_url"


@dataclass(frozen=True)
class Broker:
    """Where the broker is. `host` has no brackets, also for IPv6; user and password are None where not given."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The address without credentials, for people and logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_broker_url(url: str, *, allow_credentials: bool = False) -> Broker:
    """The address as a Broker, ports 1883 and 8883 by default. Raises BrokerUrlError with the way to mend it."""
    parts = _split(url)
    scheme = _scheme(parts)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise BrokerUrlError("the broker address has something after host and port", mend="write mqtt://host:port only")
    username, password = _credentials(parts, allow_credentials)
    return Broker(_host(parts), _port(parts, scheme), scheme == "mqtts", username, password)


def _split(url: str) -> SplitResult:
    if any(character.isspace() or not character.isprintable() for character in url):
        raise BrokerUrlError("the broker address contains spaces or control characters")
    if "://" not in url:
        raise BrokerUrlError("the broker address has no scheme", mend="write mqtt://host or mqtts://host")
    try:
        return urlsplit(url)
    except ValueError:
        raise BrokerUrlError(
            "the host in the broker address cannot be read", mend="an IPv6 address stands in brackets: mqtt://[fd00::1]"
        ) from None


def _scheme(parts: SplitResult) -> str:
    if parts.scheme in PORTS:
        return parts.scheme
    if parts.scheme in _OTHER_NAMES:
        mend = f"write {_OTHER_NAMES[parts.scheme]}:// instead"
    elif parts.scheme in {"ws", "wss"}:
        mend = "MQTT over WebSocket is not supported; use the broker's mqtt:// or mqtts:// listener"
    else:
        mend = "mqtt:// is plain, mqtts:// is TLS"
    raise BrokerUrlError(f"the broker address has the unknown scheme {parts.scheme!r}", mend=mend)


def _credentials(parts: SplitResult, allowed: bool) -> tuple[str | None, str | None]:
    if parts.username is None and parts.password is None:
        return None, None
    if not allowed:
        raise BrokerUrlError(
            "the broker address contains a user name or password",
            mend="set them apart from the address, so that the address may be logged",
        )
    if not parts.username:
        raise BrokerUrlError("the broker address has a password and no user name", mend="write USER:PASSWORD@HOST")
    password = None if parts.password is None else unquote(parts.password)
    return unquote(parts.username), password


def _host(parts: SplitResult) -> str:
    bare = parts.netloc.rpartition("@")[2]
    if "[" not in bare and bare.count(":") > 1:
        raise BrokerUrlError("an IPv6 host needs brackets", mend="write mqtt://[fd00::1]:1883")
    if not parts.hostname:
        raise BrokerUrlError("the broker address has no host", mend="write mqtt://host")
    if "[" in bare:
        _check_ipv6(parts.hostname)
    return parts.hostname


def _check_ipv6(host: str) -> None:
    try:
        IPv6Address(host)
    except ValueError:
        raise BrokerUrlError(f"{host!r} in brackets is not an IPv6 address") from None


def _port(parts: SplitResult, scheme: str) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        return PORTS[scheme]
    if port < 1:
        raise BrokerUrlError("the port in the broker address is not a number from 1 to 65535")
    return port
