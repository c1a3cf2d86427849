"""The table [remote]: what may come over MQTT. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from edgeagent.config.kinds import Table

RemotePath = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$", max_length=256)]


class RemoteSettings(Table):
    """What may be set and commanded over MQTT. This table itself can be set in the device's own file only."""

    config: bool = Field(default=True, description="true takes a desired config over MQTT.")
    commands: bool = Field(default=True, description="true obeys commands over MQTT.")
    trial_s: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Seconds for which a desired config is on trial: it is taken back unless the link is up, "
        "everything works and frames flow by then.",
    )
    trial_limit_s: float = Field(
        default=300.0,
        ge=5,
        le=86_400,
        description="Seconds after which a trial is taken back whose conditions have not been met for "
        "trial_s in a row.",
    )
    allow: Annotated[tuple[RemotePath, ...], Field(strict=False, max_length=64)] = Field(
        default=(),
        description="Keys or tables that may be set over MQTT though they are local by default: paths, the broker's "
        "authorities, the registry's keys.",
        examples=[["mqtt.ca_file"]],
    )
    allow_reboot: bool = Field(default=False, description="true obeys the command reboot.")
