"""Broker addresses: `mqtt://host[:port]`, `mqtts://` for TLS, `ws://host[:port]/path` and `wss://` for MQTT over
WebSocket. Pure; no error text ever repeats a password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from edgeagent.errors import ConfigError

PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
DEFAULT_PATH: Final = "/mqtt"
_WITH_TLS: Final = {"mqtts", "wss"}
_PATH_CHARACTERS: Final = re.compile(r"/[A-Za-z0-9/._~%!$&'()*+,;=:@-]*")
_OTHER_NAMES: Final = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts"}


class BrokerUrlError(ConfigError):
    """The broker's address cannot be used as it is written."""

    code = "broker_url"


@dataclass(frozen=True)
class Broker:
    """Where the broker is. `host` has no brackets, also for IPv6; user and password are None where not given. `path`
    is None but for WebSocket."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    path: str | None = None

    def __str__(self) -> str:
        """The address without credentials, for people and logs."""
        return broker_text(self.host, self.port, tls=self.tls, path=self.path)


def broker_text(host: str, port: int, *, tls: bool, path: str | None = None) -> str:
    """An address as it is written; `parse_broker_url` reads it."""
    bracketed = f"[{host}]" if ":" in host else host
    scheme = ("mqtts" if tls else "mqtt") if path is None else ("wss" if tls else "ws")
    return f"{scheme}://{bracketed}:{port}{path or ''}"


def parse_broker_url(url: str, *, allow_credentials: bool = False) -> Broker:
    """The address as a Broker, with the scheme's usual port by default. Raises BrokerUrlError with the way to mend
    it."""
    parts = _split(url)
    scheme = _scheme(parts)
    username, password = _credentials(parts, allow_credentials)
    return Broker(
        _host(parts), _port(parts, scheme), scheme in _WITH_TLS, username, password, path=_path(parts, scheme)
    )


def _path(parts: SplitResult, scheme: str) -> str | None:
    if parts.query or parts.fragment or "?" in parts.geturl():
        raise BrokerUrlError(
            "the broker address has a query or a fragment after host and port",
            mend="leave out ? and # and what follows",
        )
    if scheme in {"ws", "wss"}:
        if parts.path and _PATH_CHARACTERS.fullmatch(parts.path) is None:
            raise BrokerUrlError("the path in the broker address has characters that need %-encoding")
        return parts.path or DEFAULT_PATH
    if parts.path not in {"", "/"}:
        raise BrokerUrlError(
            "the broker address has something after host and port",
            mend="write mqtt://host:port only; a path belongs to ws:// and wss://",
        )
    return None


def _split(url: str) -> SplitResult:
    if any(character.isspace() or not character.isprintable() for character in url):
        raise BrokerUrlError("the broker address contains spaces or control characters")
    if "://" not in url:
        raise BrokerUrlError("the broker address has no scheme", mend="write mqtt://host, mqtts://host or wss://host")
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
    else:
        mend = "mqtt:// is plain, mqtts:// is TLS, ws:// and wss:// are WebSocket"
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
