"""What Home Assistant has to be told to show a device: one discovery message with all its entities. Pure.

Entities come as their messages do, so a board without a power sensor has none here. They go when `info` no longer names
their camera or pipeline; a removed one stays in the message as its platform alone, which is how Home Assistant is told
to forget it, also where it was off when that happened.

Source: Home Assistant's documentation of MQTT discovery, "device discovery payload" (2024.12 and later).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from edgeagent.fleet.envelope import Message
from edgeagent.fleet.measurements import CameraMeasurement, Numbers, Summary
from edgeagent.fleet.states import Health, Info
from edgeagent.fleet.topics import Topic, Topics

MAX_REMOVED: Final = 64
OFFLINE: Final = "{{ 'offline' if value_json.state in ['lost', 'stopped'] else 'online' }}"
# what of a group is shown: key, name, unit, device class
SHOWN: Final[dict[str, tuple[tuple[str, str, str, str], ...]]] = {
    "thermal": (("temp_max_c", "Temperature", "°C", "temperature"),),
    "power": (("power_total_w", "Power", "W", "power"),),
    "cpu": (("percent", "CPU", "%", ""),),
    "gpu": (("percent", "GPU", "%", ""),),
    "memory": (("available_mb", "Memory available", "MiB", "data_size"),),
    "fan": (("percent", "Fan", "%", ""),),
}
OF_PIPELINE: Final = (("fps", "results", "1/s", ""), ("lat_p95_ms", "latency", "ms", "duration"))


class Entity(BaseModel):
    """One sensor. `camera` and `pipeline` are whom it goes with; empty: the device."""

    model_config = ConfigDict(frozen=True)

    key: str
    platform: str
    config: dict[str, Any]
    camera: str = ""
    pipeline: str = ""


@dataclass(frozen=True)
class Book:
    """What has been seen. `removed` is key -> platform, the oldest first."""

    entities: Mapping[str, Entity] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)


def observe(book: Book, topic: Topic, message: Message | None, expire_s: int) -> Book:
    """The book after a message; the very same one where it tells nothing new. None: an alarm was cleared."""
    if isinstance(message, Info):
        return _pruned(book, message)
    new = {entity.key: entity for entity in _entities(topic, message, expire_s)}
    if all(book.entities.get(key) == entity for key, entity in new.items()):
        return book
    removed = {key: platform for key, platform in book.removed.items() if key not in new}
    return replace(book, entities={**book.entities, **new}, removed=removed)


def _pruned(book: Book, info: Info) -> Book:
    whose = {("", ""), *((camera.id, "") for camera in info.cameras), *((p.camera, p.id) for p in info.pipelines)}
    kept = {key: entity for key, entity in book.entities.items() if (entity.camera, entity.pipeline) in whose}
    if len(kept) == len(book.entities):
        return book
    gone = {key: entity.platform for key, entity in book.entities.items() if key not in kept}
    removed = dict(list({**book.removed, **gone}.items())[-MAX_REMOVED:])
    return Book(kept, removed)


def _entities(topic: Topic, message: Message | None, expire_s: int) -> Iterable[Entity]:
    where = str(topic)
    if topic.kind == "alarm":
        template = "{{ 'ON' if value else 'OFF' }}"
        yield _problem(f"alarm_{topic.name('type')}", f"Alarm: {topic.name('type')}", where, template)
    elif isinstance(message, Health):
        template = "{{ 'OFF' if value_json.overall == 'ok' else 'ON' }}"
        yield _problem("health", "Health", where, template)
    elif isinstance(message, CameraMeasurement):
        template = "{{ 'OFF' if value_json.health == 'ok' else 'ON' }}"
        found = _problem(f"camera_{topic.camera}", f"Camera {topic.camera}", where, template, expire_after=expire_s)
        yield found.model_copy(update={"camera": topic.camera})
    elif isinstance(message, Summary):
        for key, name, unit, kind in OF_PIPELINE:
            ident = f"pipeline_{topic.camera}_{topic.pipeline}_{key}"
            named = f"{topic.pipeline} on {topic.camera}: {name}"
            found = _sensor(ident, named, where, key, unit, kind, expire_s)
            yield found.model_copy(update={"camera": topic.camera, "pipeline": topic.pipeline})
    elif isinstance(message, Numbers):
        group = topic.name("group")
        for key, name, unit, kind in SHOWN.get(group, ()):
            if getattr(message, key, None) is not None:
                yield _sensor(f"{group}_{key}", name, where, key, unit, kind, expire_s)


def _sensor(key: str, name: str, topic: str, value: str, unit: str, kind: str, expire_s: int) -> Entity:
    config: dict[str, Any] = {
        "name": name,
        "state_topic": topic,
        "value_template": f"{{{{ value_json.{value} | default('None') }}}}",  # "None": not known
        "unit_of_measurement": unit,
        "state_class": "measurement",
        "expire_after": expire_s,
    }
    if kind:
        config["device_class"] = kind
    return Entity(key=key, platform="sensor", config=config)


def _problem(key: str, name: str, topic: str, template: str, **more: Any) -> Entity:  # noqa: ANN401
    config = {"name": name, "state_topic": topic, "value_template": template, "device_class": "problem", **more}
    return Entity(key=key, platform="binary_sensor", config=config)


def node(topics: Topics) -> str:
    """The device's name in Home Assistant: of one broker, no other device's."""
    return f"edgeagent-{topics.fleet}-{topics.device}"


def discovery_topic(prefix: str, topics: Topics) -> str:
    return f"{prefix}/device/{node(topics)}/config"


def discovery_payload(book: Book, topics: Topics, info: Info) -> bytes:
    """The whole message. Keys of entities are unique within the device, their `unique_id` within Home Assistant."""
    shown = {
        key: {"platform": entity.platform, "unique_id": f"{node(topics)}-{key}", **entity.config}
        for key, entity in sorted(book.entities.items())
    }
    device = {
        "identifiers": [node(topics)],
        "name": topics.device,
        "manufacturer": "NVIDIA",
        "model": info.module.name,
        "sw_version": info.agent_version,
        **({"serial_number": info.serial} if info.serial else {}),
    }
    document = {
        "device": device,
        "origin": {"name": "edgeagent", "sw_version": info.agent_version},
        "availability": [{"topic": topics.status, "value_template": OFFLINE}],
        "qos": 1,
        "components": {**{key: {"platform": platform} for key, platform in book.removed.items()}, **shown},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
