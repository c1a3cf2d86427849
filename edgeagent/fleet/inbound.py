"""What is said to a device, and on which topics: its desired config, and commands. Pure; pydantic.

    edgeagent/v1/<fleet>/<device>/config/desired      retained: the newest wish
    edgeagent/v1/<fleet>/<device>/cmd/<name>          never retained
    edgeagent/v1/<fleet>/_all/cmd/<name>              to all devices of the fleet
    edgeagent/v1/<fleet>/_group/<group>/cmd/<name>    to those that have the group in `device.groups`

No id begins with an underscore, so neither word can be a device's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from edgeagent.desired_layer import MOST_VERSION
from edgeagent.fleet.envelope import Count, EpochMs, Id, MessageError, Part, Positive, adapter_of
from edgeagent.fleet.topics import ROOT, TopicError, Topics, check_id

InboundKind = Literal["config_desired", "command"]
Scope = Literal["device", "group", "all"]
ALL: Final = "_all"
GROUP: Final = "_group"
LEAST_TRIAL_S: Final = 1
MOST_TRIAL_S: Final = 3600


@dataclass(frozen=True)
class Inbound:
    """One parsed topic: `name` is the command's, `group` the one that it was said to."""

    kind: InboundKind
    scope: Scope = "device"
    name: str = ""
    group: str = ""


class Wish(Part):
    """Base of what is said to a device. Unknown keys are mistakes here: a wish that is understood in part is not
    fulfilled."""

    model_config = ConfigDict(extra="forbid")


# of a wish, as JSON Schema: the whole layer, or a patch and what it is onto
_WAYS: Final[tuple[dict[str, JsonValue], ...]] = (
    {"required": ["config"], "not": {"anyOf": [{"required": ["patch"]}, {"required": ["base"]}]}},
    {"required": ["patch", "base"], "not": {"required": ["config"]}},
)


class Desired(Wish):
    """What an operator wants this device to be set to, on top of its own file: whole, or as a change.

    Of `config` and `patch` one is there. `config` is the whole desired layer: what an earlier wish has set and this one
    does not name is no longer wished for. `patch` is a JSON merge patch (RFC 7396) onto the desired layer of version
    `base`, and refused where another version is in force.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"oneOf": [dict(way) for way in _WAYS]})

    version: int = Field(
        ge=1,
        le=MOST_VERSION,
        description="Rises with every wish; ignored, and answered so: one not newer, or far too high",
    )
    config: dict[str, JsonValue] | None = Field(default=None, description="The whole desired layer, as in config.toml")
    base: Count | None = Field(default=None, description="With patch: the version that it changes; 0 for none")
    patch: dict[str, JsonValue] | None = Field(default=None, description="What to change; null takes a key away")
    trial_s: Positive | None = Field(
        default=None,
        ge=LEAST_TRIAL_S,
        le=MOST_TRIAL_S,
        description="Seconds on trial; absent: remote.trial_s of the device",
    )
    by: str = Field(default="", max_length=256, description="Who wishes it, for people")

    @model_validator(mode="after")
    def _one_way(self) -> Desired:
        if (self.config is None) == (self.patch is None):
            raise PydanticCustomError("one_way", "wants either config or patch")
        if (self.base is None) != (self.patch is None):
            raise PydanticCustomError("base", "base goes with patch, and patch with base")
        return self


class Command(Wish):
    """Something to be done once. The same `id` has one effect, however often it arrives."""

    id: Id = Field(description="Chosen by whoever commands: unique, for example a UUID; names the topic of the answer")
    args: dict[str, JsonValue] = Field(default={}, description="What the command needs to know")
    ts: EpochMs | None = Field(default=None, description="When it was sent, by the sender's clock")
    deadline_ts: EpochMs | None = Field(
        default=None,
        description="When it must be done: later it is not begun any more, and ended where it still runs; absent: one "
        "hour after it came",
    )
    reply_to: str | None = Field(
        default=None, max_length=512, description="A topic that gets each answer, too; as MQTT 5's response topic"
    )
    by: str = Field(default="", max_length=256, description="Who commands it, for people")


def desired_topic(topics: Topics) -> str:
    return f"{topics.branch}config/desired"


def command_topic(fleet: str, name: str, *, device: str = "", group: str = "") -> str:
    """Where to say it: to a device, to a group, or to all when neither is given. Raises TopicError for a bad id."""
    check_id(fleet, "fleet")
    check_id(name, "command")
    where = f"{GROUP}/{check_id(group, 'group')}" if group else ALL
    where = check_id(device, "device") if device else where
    return f"{ROOT}/{fleet}/{where}/cmd/{name}"


def filters(topics: Topics, groups: Iterable[str]) -> tuple[str, ...]:
    """What a device subscribes to."""
    fleet = f"{ROOT}/{topics.fleet}"
    return (
        desired_topic(topics),
        f"{topics.branch}cmd/+",
        f"{fleet}/{ALL}/cmd/+",
        *(f"{fleet}/{GROUP}/{check_id(group, 'group')}/cmd/+" for group in groups),
    )


def parse_inbound(topic: str, topics: Topics, groups: Iterable[str]) -> Inbound:
    """What a topic that came in is for. Raises TopicError for one that is not this device's."""
    levels = topic.split("/")
    fleet = [*ROOT.split("/"), topics.fleet]
    match levels[len(fleet) :] if levels[: len(fleet)] == fleet else []:
        case [device, "config", "desired"] if device == topics.device:
            return Inbound("config_desired")
        case [device, "cmd", name] if device == topics.device:
            return Inbound("command", "device", check_id(name, "command"))
        case ["_all", "cmd", name]:
            return Inbound("command", "all", check_id(name, "command"))
        case ["_group", group, "cmd", name] if group in groups:
            return Inbound("command", "group", check_id(name, "command"), group)
        case _:
            raise TopicError(f"topic {topic!r} is not one that this device listens to")


def parse_desired(payload: bytes) -> Desired | None:
    """The wish; None for an empty payload: no wish. Raises MessageError in one line."""
    return _parse(Desired, payload) if payload else None


class _Numbered(BaseModel):
    version: Annotated[int, Field(strict=True, ge=1, le=MOST_VERSION)]


def version_of(payload: bytes) -> int:
    """The version of a wish that cannot be read otherwise, for the answer; 0 where it names none."""
    try:
        found: _Numbered = adapter_of(_Numbered).validate_json(payload)
    except ValidationError:
        return 0
    return found.version


def parse_command(payload: bytes) -> Command:
    """Raises MessageError in one line."""
    command: Command = _parse(Command, payload)
    return command


def _parse(model: Any, payload: bytes) -> Any:  # noqa: ANN401
    try:
        return adapter_of(model).validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the message"
        raise MessageError(f"{where}: {first['msg'][:200]}") from error
