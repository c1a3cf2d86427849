"""The doctor's look at how the device reaches its broker: the files that it logs in with, and who else may read them.

Nothing is asked of the broker: whether it can be reached is seen in the agent's health.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.config.mqtt_table import MqttSettings
from edgeagent.fleet.credentials import PREFIX, CredentialError, exposed_to_all, read_credential, read_password
from edgeagent.fleet.link_types import TlsSettings
from edgeagent.fleet.tls import tls_context
from edgeagent.fleet.url import parse_broker_url

NAME = "broker files"
KEYS = ("password_file", "ca_file", "cert_file", "key_file")
_SECRET = ("password_file", "key_file")


def check_broker(mqtt: MqttSettings) -> Iterator[Check]:
    """No check at all for a broker that wants neither certificate nor password."""
    named = {key: path for key in KEYS if (path := getattr(mqtt, key)) is not None}
    if named:
        yield _files(mqtt, named)
        yield from _exposed({key: path for key, path in named.items() if key in _SECRET})
    if mqtt.password_file is not None:
        yield from _in_the_clear(mqtt)


def broker_elsewhere(mqtt: MqttSettings, home: Path) -> Iterator[Check]:
    """Where the board is at home elsewhere, its files are for that device's users to read, and not for ours."""
    if named := [key for key in KEYS if getattr(mqtt, key) is not None]:
        yield ok(NAME, f"{', '.join(named)}: not looked at, they belong to the device under {home}")


def _files(mqtt: MqttSettings, named: dict[str, str]) -> Check:
    kept = {key: path for key, path in named.items() if not path.startswith(PREFIX)}
    for key, path in kept.items():
        try:
            read_password(path) if key == "password_file" else read_credential(key, path)
        except CredentialError as error:
            if isinstance(error.__cause__, PermissionError):
                mend = "run the doctor as the user of the service, or as root"
                return warning(NAME, f"mqtt.{error.message}", mend, key=key)
            return problem(NAME, f"mqtt.{error.message}", error.mend or "mend the file", key=key)
    try:
        if len(kept) == len(named):
            tls_context(TlsSettings(mqtt.ca_file, mqtt.cert_file, mqtt.key_file))
    except CredentialError as error:
        return problem(NAME, f"mqtt.{error.message}", error.mend)
    left_out = sorted(set(named) - set(kept))
    rest = f"; {', '.join(left_out)}: a credential, which only the service can read" if left_out else ""
    return ok(NAME, f"{', '.join(kept)}: can be used{rest}" if kept else f"none{rest}")


def _exposed(secrets: dict[str, str]) -> Iterator[Check]:
    for key, path in secrets.items():
        if exposed_to_all(path):
            mend = f"sudo chmod o-r {path}, and chown it to the user edgeagent"
            yield warning(NAME, f"mqtt.{key}: {path} can be read by everybody on this device", mend, key=key)


def _in_the_clear(mqtt: MqttSettings) -> Iterator[Check]:
    for url in (mqtt.url, *(mqtt.fallback_urls or ())):
        broker = parse_broker_url(url)
        if not broker.tls and not _this_machine(broker.host):
            yield warning(NAME, f"the password goes to {broker} unencrypted", "use the broker's mqtts:// or wss://")


def _this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
