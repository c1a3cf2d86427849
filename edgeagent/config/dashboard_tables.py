"""The tables [metrics] and [home_assistant]: for other programs, beside the messages. Both off by default. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from edgeagent.config.kinds import Table

TopicPrefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=64)]


class MetricsSettings(Table):
    """Numbers for Prometheus, on the device's own loopback."""

    prometheus_port: int | None = Field(
        default=None,
        ge=1024,
        le=65535,
        description="TCP port on 127.0.0.1 where Prometheus may read the device's numbers; not set: none is open. "
        "Needs the extra `metrics` (prometheus-client).",
        examples=[9464],
    )


class HomeAssistantSettings(Table):
    """Making the device known to Home Assistant over MQTT discovery."""

    discovery: bool = Field(
        default=False,
        description="true publishes what Home Assistant needs to show this device; false takes it back.",
    )
    prefix: TopicPrefix = Field(
        default="homeassistant", description="Home Assistant's discovery prefix, as set in its MQTT integration."
    )
