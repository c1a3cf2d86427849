"""How each kind of message travels: quality of service, retained or not, for how long it is worth something. Pure.

One table for the documents of the contract; a test holds what the agent publishes against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeagent.fleet.inbound import InboundKind
from edgeagent.fleet.topics import Kind

DAY_S: Final = 24 * 3600


@dataclass(frozen=True)
class Delivery:
    """`expiry_s` is MQTT 5's Message Expiry Interval; None: does not expire."""

    about: str
    qos: int
    retain: bool
    expiry_s: int | None = None


DELIVERY: Final[dict[Kind, Delivery]] = {
    "status": Delivery("Is the device there; also the will", 1, True),
    "info": Delivery("What the device is", 1, True),
    "health": Delivery("How each component is, and since when", 1, True),
    "engine": Delivery("An engine's way from wanted to ready", 1, True),
    "shedding": Delivery("What a pipeline gives up while the board must do less", 1, True),
    "result": Delivery("A frame's detections; QoS 1 by mqtt.results_qos", 0, False, 10),
    "snapshot": Delivery("A picture of something that came into view", 0, False, DAY_S),
    "summary": Delivery("A pipeline's last second in flat numbers", 0, False, 10),
    "measurement": Delivery("The board and the agent in flat numbers", 0, False, 10),
    "camera_measurement": Delivery("A camera's last second in flat numbers", 0, False, 10),
    "event": Delivery("Something happened once", 1, False, DAY_S),
    "alarm": Delivery("Something that a person has to look at; cleared with an empty payload", 1, True),
    "config_reported": Delivery("What became of the newest desired config, and what is in force", 1, True),
    "job": Delivery("How a command goes; cleared with an empty payload", 1, True, 7 * DAY_S),
}
INBOUND_DELIVERY: Final[dict[InboundKind, Delivery]] = {
    "config_desired": Delivery("The newest wish; an empty payload is no wish", 1, True),
    "command": Delivery("Something to be done once; a retained one is refused", 1, False, 60),
}
