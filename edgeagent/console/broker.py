"""Which broker the operator means: options, then the environment, then `~/.config/edgeagent/fleet.toml`.

broker = "mqtts://broker.plant:8883"
fleet = "plant-2"
username = "ops"
password_file = "/home/ops/.mqtt-password"
ca_file = "/etc/ssl/plant-ca.pem"
cert_file = "..."
key_file = "..."
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

from edgeagent.errors import OperatorError
from edgeagent.fleet.link_types import LinkSettings, TlsSettings
from edgeagent.fleet.topics import check_id
from edgeagent.fleet.url import Broker, parse_broker_url

DEFAULT_BROKER: Final = "mqtt://127.0.0.1:1883"
DEFAULT_FLEET: Final = "default"
NAMES: Final = ("broker", "fleet", "username", "password_file", "ca_file", "cert_file", "key_file")


@dataclass(frozen=True)
class Address:
    """Where to connect, and as whom. `fleet` is None where nobody has named one."""

    broker: Broker
    fleet: str | None
    username: str | None
    password: str | None = field(repr=False)
    tls: TlsSettings | None

    @property
    def fleet_or_default(self) -> str:
        return self.fleet or DEFAULT_FLEET

    def link_settings(self, client_id: str) -> LinkSettings:
        """A guest at the broker: no will, and a session that ends with the connection."""
        return LinkSettings(
            host=self.broker.host,
            port=self.broker.port,
            client_id=client_id,
            tls=self.tls,
            path=self.broker.path,
            username=self.username,
            password=self.password,
            session_expiry_s=0,
            queue_limit=20_000,
            drain_s=0.2,  # what is published here is waited for anyway
        )


def address_of(options: Mapping[str, str | None], environment: Mapping[str, str]) -> Address:
    """Raises OperatorError for what cannot be used, naming where it was written."""
    given = _settings(options, environment)
    broker = parse_broker_url(given.get("broker", DEFAULT_BROKER), allow_credentials=True)
    fleet = given.get("fleet")
    password_file = given.get("password_file")
    return Address(
        broker=broker,
        fleet=None if fleet is None else check_id(fleet, "fleet"),
        username=given.get("username", broker.username),
        password=broker.password if password_file is None else _first_line(Path(password_file)),
        tls=_tls(broker, given),
    )


def _settings(options: Mapping[str, str | None], environment: Mapping[str, str]) -> dict[str, str]:
    """Every name that somebody has set, by the nearest."""
    file = _file(environment)
    found: dict[str, str] = {}
    for name in NAMES:
        for value in (options.get(name), environment.get(f"EDGEAGENT_{name.upper()}"), file.get(name)):
            if value:
                found[name] = value
                break
    return found


def _file(environment: Mapping[str, str]) -> dict[str, str]:
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '/')}/.config"
    path = Path(home) / "edgeagent" / "fleet.toml"
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise OperatorError(f"{path} cannot be read: {reason}", mend="mend it, or take it away") from error
    wrong = [name for name, value in data.items() if name not in NAMES or not isinstance(value, str)]
    if wrong:
        raise OperatorError(f"{path}: {wrong[0]} is not a setting in text", mend=f"known here: {', '.join(NAMES)}")
    return data


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").splitlines()[0]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "use sudo, or be its owner" if isinstance(error, PermissionError) else "check --password-file"
        raise OperatorError(f"the password file {path} cannot be read: {reason}", mend=mend) from error
    except (UnicodeDecodeError, IndexError) as error:
        raise OperatorError(
            f"the password file {path} is empty or no text", mend="write the password on its first line"
        ) from error


def _tls(broker: Broker, given: Mapping[str, str]) -> TlsSettings | None:
    files = {name: given.get(name) for name in ("ca_file", "cert_file", "key_file")}
    if broker.tls:
        return TlsSettings(**files)
    if any(files.values()):
        raise OperatorError(
            f"certificates are given, and {broker} is not encrypted",
            mend="write mqtts:// or wss:// in front of the host",
        )
    return None
