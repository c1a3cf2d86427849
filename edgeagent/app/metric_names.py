"""From messages to Prometheus's samples: names in its base units, labels for what a board or a config names. Pure.

    temp_cpu_c of m/thermal        edgeagent_thermal_zone_celsius{zone="cpu"}
    available_mb of m/memory       edgeagent_memory_available_bytes
    lat_p95_ms of s/yard/people    edgeagent_pipeline_lat_p95_seconds{camera="yard",pipeline="people"}

Counts since the session began are counters (`_total`); a summary's counts are of its interval, and whoever calls this
adds them up. Words (`code`, `reason`) are not for Prometheus: they are in `health`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from edgeagent.fleet.envelope import Message
from edgeagent.fleet.measurements import CameraMeasurement, Numbers, Summary
from edgeagent.fleet.states import Alarm, Health, Info, Status, StatusWord
from edgeagent.fleet.topics import Topic

Kind = Literal["gauge", "counter", "increment"]
Labels = tuple[tuple[str, str], ...]
PREFIX: Final = "edgeagent"
HEALTHS: Final = {"ok": 0, "degraded": 1, "failed": 2}

_UNITS: Final = (  # an ending of a key, what stands in its place, and the factor
    ("percent", "ratio", 0.01),
    ("mhz", "hertz", 1e6),
    ("mb", "bytes", float(2**20)),
    ("ms", "seconds", 1e-3),
    ("per_s", "per_second", 1.0),
    ("s", "seconds", 1.0),
    ("c", "celsius", 1.0),
    ("w", "watts", 1.0),
)
_NAMED: Final = (  # keys that a board makes: group, pattern, name with a label for what the pattern catches
    ("thermal", re.compile(r"temp_(?!max_c$)(\w+)_c"), "zone_c", "zone"),
    ("thermal", re.compile(r"temp_(max)_c"), "max_c", ""),
    ("power", re.compile(r"power_(?!total_w$)(\w+)_w"), "rail_w", "rail"),
    ("power", re.compile(r"power_(total)_w"), "total_w", ""),
    ("power", re.compile(r"(oc\d+)_events"), "over_current_events", "channel"),
    ("cpu", re.compile(r"core(\d+)_percent"), "core_load_percent", "core"),
    ("cpu", re.compile(r"core(\d+)_mhz"), "core_mhz", "core"),
    ("gpu", re.compile(r"dla(\d+)_active"), "dla_active", "dla"),
    ("gpu", re.compile(r"engine_(\w+)_mhz"), "engine_mhz", "engine"),
)
_COUNTERS: Final = {
    ("camera", "frames"),
    ("camera", "dropped"),
    ("camera", "shed"),
    ("camera", "unusable"),
    ("camera", "restarts"),
    ("agent", "published"),
    ("agent", "results_published"),
    ("agent", "link_dropped"),
    ("agent", "restarts"),
    ("memory", "oom_kills"),
    ("power", "over_current_events"),
}
_INCREMENTS: Final = {"results", "detections", "dropped", "failed", "torn", "shed", "unchanged"}
_LEFT_OUT: Final = {"seq", "ts", "interval_s"}
_DERIVED: Final = re.compile(r"oc\d+_(new|rate_per_s)")  # Prometheus derives these from the counter


@dataclass(frozen=True)
class Sample:
    """One value. An increment is to be added to what was there, and is a counter then."""

    name: str
    value: float
    labels: Labels = ()
    kind: Kind = "gauge"
    about: str = ""


def samples_of(topic: Topic, message: Message) -> tuple[Sample, ...]:
    """What Prometheus gets of a message; nothing of those that are no states and no numbers."""
    if isinstance(message, Summary):
        return tuple(_numbers("pipeline", message, (("camera", topic.camera), ("pipeline", topic.pipeline))))
    if isinstance(message, CameraMeasurement):
        health = Sample("camera_health", HEALTHS[message.health], (("camera", topic.camera),), about=_HEALTH)
        return (*_numbers("camera", message, (("camera", topic.camera),)), health)
    if isinstance(message, Numbers):
        return tuple(_numbers(topic.name("group").replace("-", "_"), message, ()))
    return tuple(_states(topic, message))


_HEALTH: Final = "0 ok, 1 degraded, 2 failed"


def _states(topic: Topic, message: Message) -> Iterator[Sample]:
    if isinstance(message, Status):
        for word in get_args(StatusWord):
            yield Sample("status", float(word == message.state), (("state", word),), about="1 for the state it is in")
    elif isinstance(message, Health):
        for component in message.components:
            value = HEALTHS[component.health]
            yield Sample("component_health", value, (("component", component.name),), about=_HEALTH)
    elif isinstance(message, Alarm):
        labels = (("type", message.type), ("severity", message.severity))
        yield Sample("alarm", 1.0, labels, about="1 for each alarm that is raised")
    elif isinstance(message, Info):
        named = (("version", message.agent_version), ("module", message.module.name), ("l4t", message.l4t or ""))
        yield Sample(
            "info", 1.0, (("fleet", topic.fleet), ("device", topic.device), *named), about="What the device is"
        )


def _numbers(group: str, message: Numbers, labels: Labels) -> Iterator[Sample]:
    for key, value in _values(message).items():
        if key in _LEFT_OUT or _DERIVED.fullmatch(key) or not isinstance(value, int | float):
            continue
        plain, label = _plain(group, key)
        kind: Kind = "counter" if (group, plain) in _COUNTERS else "gauge"
        if group == "pipeline" and plain in _INCREMENTS:
            kind = "increment"
        name, factor = _based(plain)
        about = type(message).model_fields[key].description if key in type(message).model_fields else None
        yield Sample(f"{group}_{name}", float(value) * factor, (*labels, *label), kind, about or f"{group}: {plain}")


def _values(message: Numbers) -> dict[str, Any]:
    return {
        **{name: getattr(message, name) for name in type(message).model_fields},
        **(message.__pydantic_extra__ or {}),
    }


def _plain(group: str, key: str) -> tuple[str, Labels]:
    """A key without what only this board names, and the label for that."""
    for of, pattern, name, label in _NAMED:
        if of == group and (found := pattern.fullmatch(key)):
            return name, ((label, found.group(1)),) if label else ()
    return ("load_percent" if key == "percent" and group != "fan" else key), ()


def _based(key: str) -> tuple[str, float]:
    """The key in Prometheus's base units, and what its values are multiplied with."""
    for ending, unit, factor in _UNITS:
        if key == ending or key.endswith(f"_{ending}"):
            return key.removesuffix(ending) + unit, factor
    return key, 1.0
