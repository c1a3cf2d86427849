"""The table [mqtt]: the broker that everything goes to and comes from. Pure."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StringConstraints

from edgeagent.config.kinds import AbsolutePath, BrokerUrl, Table, checked_not_bool

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttSettings(Table):
    """The broker that results and health go to."""

    url: BrokerUrl = Field(
        default="mqtt://127.0.0.1:1883",
        description="The broker: mqtt://HOST[:PORT], or mqtts:// for TLS. Ports are 1883 and 8883 unless given.",
    )
    username: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = Field(
        default=None, description="User name to log in with; not set: no login.", examples=["line-3"]
    )
    password_file: AbsolutePath | None = Field(
        default=None,
        description="File whose first line is the password. Keep it readable by the edgeagent user only.",
        examples=["/etc/edgeagent/mqtt-password"],
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

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or DEFAULT_PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        return urlsplit(self.url).scheme == "mqtts"
