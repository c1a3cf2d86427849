"""The table [mqtt]: the broker that everything goes to and comes from. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from edgeagent.config.kinds import BrokerUrl, FileReference, Table, checked_not_bool


class MqttSettings(Table):
    """The broker that results and health go to."""

    url: BrokerUrl = Field(
        default="mqtt://127.0.0.1:1883",
        description="The broker: mqtt://HOST[:PORT], or mqtts:// for TLS; ws://HOST[:PORT]/PATH or wss:// for MQTT "
        "over WebSocket. Ports are 1883, 8883, 80 and 443 unless given, and the path is /mqtt.",
    )
    fallback_urls: Annotated[tuple[BrokerUrl, ...], Field(strict=False, max_length=8)] | None = Field(
        default=None,
        description="Brokers for when that one cannot be reached or refuses, in order of preference, with the same "
        "credentials.",
        examples=[["mqtts://broker-2.example.org"]],
    )
    preferred_after_s: float = Field(
        default=600.0,
        ge=5,
        le=86_400,
        description="On a fallback: seconds, a quarter more or less, after which the broker of url is probed, and gone "
        "back to if it answers.",
    )
    username: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = Field(
        default=None, description="User name to log in with; not set: no login.", examples=["line-3"]
    )
    password_file: FileReference | None = Field(
        default=None,
        description="File whose first line is the password, or credential:NAME for what systemd hands over "
        "(LoadCredential). Keep it readable by the edgeagent user only. Like the three files below it is read at every "
        "attempt to connect.",
        examples=["/etc/edgeagent/mqtt-password"],
    )
    ca_file: FileReference | None = Field(
        default=None,
        description="Authorities that may vouch for the broker, in PEM, or credential:NAME; not set: the system's.",
        examples=["/etc/edgeagent/mqtt-ca.pem"],
    )
    cert_file: FileReference | None = Field(
        default=None,
        description="This device's certificate and what is between it and its authority, in PEM, or credential:NAME.",
        examples=["/etc/edgeagent/mqtt-cert.pem"],
    )
    key_file: FileReference | None = Field(
        default=None,
        description="The key of cert_file, in PEM and without a passphrase, or credential:NAME. Keep it readable by "
        "the edgeagent user only.",
        examples=["credential:mqtt-key"],
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="MQTT version; auto tries 5 and falls back to 3.1.1 when the broker refuses it."
    )
    keepalive_s: int = Field(
        default=30, ge=5, le=3600, description="Seconds of silence after which the link is probed."
    )
    session_expiry_s: int = Field(
        default=3600,
        ge=0,
        le=604_800,
        description="Seconds that the broker keeps this device's session after a lost link.",
    )
    connect_timeout_s: float = Field(
        default=10.0, ge=1, le=120, description="Seconds that one connection attempt may take."
    )
    results_qos: Annotated[Literal[0, 1], BeforeValidator(checked_not_bool)] = Field(
        default=0, description="Delivery of results: 0 sends once and may lose some, 1 repeats until acknowledged."
    )
    results_expiry_s: float = Field(
        default=10.0,
        ge=1,
        le=604_800,
        description="Seconds for which a result is of use. With results_qos = 1 it is kept that long while there is no "
        "link, and on the disk too when this is above 60 (docs/outbox.md).",
    )
