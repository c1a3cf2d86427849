"""Topic names: what a device says where under `edgeagent/v1/<fleet>/<device>/`, built and parsed from one table.

What is said to devices has its own module, `inbound`.

Pure, standard library only. Every level is an id; there are no empty levels and no leading slash, so a consumer may
rely on fixed positions: fleet is level 2 and device is level 3 (counted from 0).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, get_args

from edgeagent.errors import ConfigError

ROOT: Final = "edgeagent/v1"
ID_PATTERN: Final = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"

Kind = Literal[
    "status",
    "info",
    "health",
    "engine",
    "shedding",
    "result",
    "snapshot",
    "summary",
    "measurement",
    "camera_measurement",
    "event",
    "alarm",
    "config_reported",
    "job",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# kind -> the fixed levels after the device, and what the ids after them name
_LAYOUT: Final[dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "status": (("status",), ()),
    "info": (("info",), ()),
    "health": (("health",), ()),
    "engine": (("engine",), ("pipeline",)),
    "shedding": (("shedding",), ("pipeline",)),
    "result": (("r",), ("camera", "pipeline")),
    "snapshot": (("snap",), ("camera", "pipeline")),
    "summary": (("s",), ("camera", "pipeline")),
    "camera_measurement": (("m", "cam"), ("camera",)),
    "measurement": (("m",), ("group",)),
    "event": (("e",), ("type",)),
    "alarm": (("a",), ("type",)),
    "config_reported": (("config", "reported"), ()),
    "job": (("job",), ("job",)),
}
_ID = re.compile(ID_PATTERN)
_MAX_ID = 64


class TopicError(ConfigError):
    """An id that cannot stand in a topic, or a topic that is none of ours."""

    code = "topic"


@dataclass(frozen=True)
class Topic:
    """One parsed topic: `names` are the ids after the fixed levels, in the order of the table."""

    fleet: str
    device: str
    kind: Kind
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises TopicError for a bad id or a wrong number of names."""
        labels = _LAYOUT[self.kind][1]
        if len(self.names) != len(labels):
            raise TopicError(f"a topic of kind {self.kind} has {len(labels)} names, not {len(self.names)}")
        for label, value in zip(("fleet", "device", *labels), (self.fleet, self.device, *self.names), strict=True):
            check_id(value, label)
        if self.kind == "measurement" and self.names == ("cam",):
            raise TopicError("a measurement group cannot be named cam", mend="m/cam/ holds the cameras")

    def __str__(self) -> str:
        return "/".join((ROOT, self.fleet, self.device, *_LAYOUT[self.kind][0], *self.names))

    def name(self, label: str) -> str:
        """The id called `label` ("camera", "pipeline", "group", "type"), or "" where this kind has none."""
        return dict(zip(_LAYOUT[self.kind][1], self.names, strict=True)).get(label, "")

    @property
    def camera(self) -> str:
        return self.name("camera")

    @property
    def pipeline(self) -> str:
        return self.name("pipeline")


@dataclass(frozen=True)
class Topics:
    """The topics of one device. Every method returns the topic as text and raises TopicError for a bad id."""

    fleet: str
    device: str

    def __post_init__(self) -> None:
        check_id(self.fleet, "fleet")
        check_id(self.device, "device")

    @property
    def branch(self) -> str:
        """What all topics of this device begin with, with its slash."""
        return f"{ROOT}/{self.fleet}/{self.device}/"

    @property
    def everything(self) -> str:
        """The subscription filter for all topics of this device."""
        return f"{self.branch}#"

    @property
    def status(self) -> str:
        return self._topic("status")

    @property
    def info(self) -> str:
        return self._topic("info")

    @property
    def health(self) -> str:
        return self._topic("health")

    def engine(self, pipeline: str) -> str:
        return self._topic("engine", pipeline)

    def shedding(self, pipeline: str) -> str:
        return self._topic("shedding", pipeline)

    def result(self, camera: str, pipeline: str) -> str:
        return self._topic("result", camera, pipeline)

    def snapshot(self, camera: str, pipeline: str) -> str:
        return self._topic("snapshot", camera, pipeline)

    def summary(self, camera: str, pipeline: str) -> str:
        return self._topic("summary", camera, pipeline)

    def measurement(self, group: str) -> str:
        return self._topic("measurement", group)

    def camera_measurement(self, camera: str) -> str:
        return self._topic("camera_measurement", camera)

    def event(self, type: str) -> str:
        return self._topic("event", type)

    def alarm(self, type: str) -> str:
        return self._topic("alarm", type)

    @property
    def config_reported(self) -> str:
        return self._topic("config_reported")

    def job(self, job: str) -> str:
        return self._topic("job", job)

    def _topic(self, kind: Kind, *names: str) -> str:
        return _text(self.fleet, self.device, kind, names)


@lru_cache(maxsize=1024)
def _text(fleet: str, device: str, kind: Kind, names: tuple[str, ...]) -> str:
    """Cached, because a result's topic is asked for with every frame."""
    return str(Topic(fleet, device, kind, names))


def check_id(text: str, label: str = "id") -> str:
    """`text` itself when it is an id; raises TopicError otherwise."""
    if _ID.fullmatch(text) is None:
        raise TopicError(
            f"{label} {text!r} cannot be part of an MQTT topic",
            mend=f"use 1 to {_MAX_ID} of a-z, 0-9 and -, neither beginning nor ending with -",
        )
    return text


def parse_topic(topic: str) -> Topic:
    """The inverse of `str(Topic(...))`. Raises TopicError for every topic that this agent would not write."""
    levels = tuple(topic.split("/"))
    if levels[:2] != tuple(ROOT.split("/")) or len(levels) < 5:
        raise TopicError(f"topic {topic!r} does not begin with {ROOT}/<fleet>/<device>/")
    fleet, device, *rest = levels[2:]
    for kind, (fixed, labels) in _LAYOUT.items():
        if tuple(rest[: len(fixed)]) == fixed and len(rest) == len(fixed) + len(labels):
            return Topic(fleet, device, kind, tuple(rest[len(fixed) :]))
    raise TopicError(f"topic {topic!r} is none of: {', '.join(topic_shapes().values())}")


def topic_shapes() -> dict[Kind, str]:
    """Each kind's levels after the device, with placeholders: {"result": "r/<camera>/<pipeline>", ...}."""
    return {kind: "/".join((*fixed, *(f"<{label}>" for label in labels))) for kind, (fixed, labels) in _LAYOUT.items()}


def slug(text: str) -> str:
    """A host name as an id: "Jetson_Orin.local" -> "jetson-orin-local". Raises TopicError when nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MAX_ID].strip("-")
    if not made:
        raise TopicError(f"no topic id can be made from {text!r}", mend="set the id in the configuration")
    return made
