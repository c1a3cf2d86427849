"""The table [outbox]: what is kept until the broker has it. Pure."""

from __future__ import annotations

from pydantic import Field

from edgeagent.config.kinds import Table


class OutboxSettings(Table):
    """What is kept until the broker has it, and how much of it."""

    max_mb: int = Field(
        default=32,
        ge=1,
        le=256,
        description="MiB that may wait for the broker, in memory and on the disk each. Alarms, job states and the "
        "reported config may take a quarter of it, results a half, events what is left. When it is full, the oldest "
        "results go first, then the oldest events.",
    )

    @property
    def max_bytes(self) -> int:
        return self.max_mb << 20
