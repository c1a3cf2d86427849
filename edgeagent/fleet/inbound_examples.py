"""Examples of what is said to a device, by topic: for documentation, tests and other programs. Pure."""

from __future__ import annotations

from functools import cache
from typing import Final

from edgeagent.fleet.examples import TOPICS
from edgeagent.fleet.inbound import Command, Desired, command_topic, desired_topic

_NOW: Final = 1_760_000_000_000


@cache
def whole_wish() -> Desired:
    """The desired layer as a whole."""
    return Desired(version=8, config={"pipelines": {"people": {"min_score": 0.4}}}, trial_s=30.0, by="ops@plant-2")


@cache
def patch_wish() -> Desired:
    """A change of one key; null takes another one away."""
    return Desired(
        version=9, base=8, patch={"pipelines": {"people": {"min_score": 0.35, "classes": None}}}, by="ops@plant-2"
    )


@cache
def inbound_examples() -> dict[str, Desired | Command]:
    """Topic -> a message that may be published there, for every shape of topic."""
    restart = Command(id="7d0b1c52-restart", args={"camera": "yard"}, by="ops@plant-2")
    return {
        desired_topic(TOPICS): whole_wish(),
        command_topic(TOPICS.fleet, "build", device=TOPICS.device): Command(
            id="0f6c2d1e-build",
            args={"pipeline": "people"},
            ts=_NOW - 95_100,
            deadline_ts=_NOW + 3_505_000,
            reply_to="ops/answers",
            by="ops@plant-2",
        ),
        command_topic(TOPICS.fleet, "doctor"): Command(id="a91f40c7-doctor"),
        command_topic(TOPICS.fleet, "restart", group="entrances"): restart,
    }
