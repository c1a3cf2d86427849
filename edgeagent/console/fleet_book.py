"""All devices of a broker, from their messages: topic and payload in, records out. Pure.

What is no message of ours is counted and otherwise ignored. The book is bounded: so many devices, and `device.py`
bounds each.

A `lost` counts only when its session is the one that the device was last heard in: the broker may publish the will of
a connection that is long replaced. Where a stale `lost` is all that the broker has, the state is `?`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Final

from edgeagent.console.device import MOST_PARTS, Device
from edgeagent.fleet.answers import ConfigReported
from edgeagent.fleet.envelope import Message, MessageError
from edgeagent.fleet.measurements import PowerMeasurement, Summary, ThermalMeasurement
from edgeagent.fleet.messages import parse_message
from edgeagent.fleet.states import Alarm, EngineState, Health, Info, Status
from edgeagent.fleet.topics import Kind, Topic, TopicError, parse_topic

MOST_DEVICES: Final = 20_000
MOST_BYTES: Final = 64 * 1024
KINDS: Final[tuple[Kind, ...]] = ("status", "info", "health", "engine", "alarm", "config_reported")
"""Retained: what is subscribed to first, in this order."""


@lru_cache(maxsize=200_000)
def _parsed(topic: str) -> Topic | None:
    """Cached, because the same few topics of a device come every second."""
    try:
        return parse_topic(topic)
    except TopicError:
        return None


class FleetBook:
    """The devices by "fleet/device". For one thread."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.messages = 0
        self.junk = 0
        """Messages on our topics that are none of ours, or that no record has room for."""

    def take(self, topic: str, payload: bytes, now_s: float, *, retained: bool) -> Device | None:
        """One message in; the device that it is about, or None for junk."""
        self.messages += 1
        where = _parsed(topic)
        device = None
        if where is not None and len(payload) <= MOST_BYTES:
            with suppress(MessageError):
                message = parse_message(where, payload)
                device = self._device(where)
                if device is not None:
                    self._apply(device, where, message, now_s, retained=retained)
        self.junk += device is None
        return device

    def _device(self, where: Topic) -> Device | None:
        key = f"{where.fleet}/{where.device}"
        device = self.devices.get(key)
        if device is None and len(self.devices) < MOST_DEVICES:
            device = self.devices[key] = Device(where.fleet, where.device)
        return device

    def _clear(self, device: Device, where: Topic) -> None:
        """An empty payload takes a retained topic away; without a status there is no device."""
        if where.kind == "status":
            self.devices.pop(device.key, None)
        elif where.kind == "alarm":
            device.alarms.pop(where.name("type"), None)
        elif where.kind == "engine":
            device.engines.pop(where.pipeline, None)

    def _apply(self, device: Device, where: Topic, message: Message | None, now_s: float, *, retained: bool) -> None:
        if message is None:
            self._clear(device, where)
            return
        if isinstance(message, Status):
            if message.state == "lost" and device.session not in ("", message.session):
                return  # the will of an earlier connection
            device.status = message
            device.session = message.session
        else:
            _note_session(device, message, retained=retained)
            _keep(device, message, now_s)
        if not retained and not (isinstance(message, Status) and message.state == "lost"):
            device.heard_s = now_s


def _note_session(device: Device, message: Message, *, retained: bool) -> None:
    """Whoever speaks in another session than the one that was lost is there again, or a newer one is."""
    if message.session == device.session:
        return
    lost = device.status if device.status is not None and device.status.state == "lost" else None
    if retained and (lost is not None or device.session) and (lost is None or message.ts <= lost.ts):
        return  # left over from an earlier session
    device.session = message.session
    if lost is not None:
        device.status = None


def _keep(device: Device, message: Message, now_s: float) -> None:
    """What no column needs is not kept; that it came says that the device is there."""
    match message:
        case Info():
            device.info = message.model_copy(update={"schemas": ()})
        case Health():
            device.health = message.model_copy(update={"components": message.components[:MOST_PARTS]})
        case ConfigReported():
            device.config = message.model_copy(update={"desired": {}})
        case EngineState() if message.pipeline in device.engines or len(device.engines) < MOST_PARTS:
            device.engines[message.pipeline] = message
        case Alarm() if message.type in device.alarms or len(device.alarms) < MOST_PARTS:
            device.alarms[message.type] = message
        case ThermalMeasurement():
            device.thermal, device.thermal_s = message, now_s
        case PowerMeasurement():
            device.power, device.power_s = message, now_s
        case Summary():
            device.take_summary(message, now_s)
