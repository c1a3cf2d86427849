"""Every message that a device sends, from one place: the models, their schemas, the way back from topic and payload.

Pure. `encode` writes, `parse_message` reads; the same models serve the agent, the terminal view and the tests.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from edgeagent.fleet.answers import ConfigMistake, ConfigReported, ConfigWord, Job, JobWord
from edgeagent.fleet.envelope import Header, Message, MessageError, Part, Stamp, adapter_of, encode, schema_name
from edgeagent.fleet.measurements import (
    GROUPS,
    AgentMeasurement,
    CameraMeasurement,
    CpuMeasurement,
    FanMeasurement,
    GovernorMeasurement,
    GpuMeasurement,
    Measurement,
    MemoryMeasurement,
    PowerMeasurement,
    Summary,
    ThermalMeasurement,
    measurement_key,
)
from edgeagent.fleet.results import Detection, Event, Result, event_id
from edgeagent.fleet.snapshots import Snapshot
from edgeagent.fleet.states import (
    Alarm,
    CameraInfo,
    ComponentHealth,
    EngineState,
    EngineWord,
    Health,
    HealthWord,
    Info,
    Module,
    PipelineInfo,
    Severity,
    Shedding,
    Status,
    StatusWord,
)
from edgeagent.fleet.topics import Kind, Topic, parse_topic

__all__ = [
    "MODELS",
    "AgentMeasurement",
    "Alarm",
    "CameraInfo",
    "CameraMeasurement",
    "ComponentHealth",
    "ConfigMistake",
    "ConfigReported",
    "ConfigWord",
    "CpuMeasurement",
    "Detection",
    "EngineState",
    "EngineWord",
    "Event",
    "FanMeasurement",
    "GovernorMeasurement",
    "GpuMeasurement",
    "Header",
    "Health",
    "HealthWord",
    "Info",
    "Job",
    "JobWord",
    "Measurement",
    "MemoryMeasurement",
    "Message",
    "MessageError",
    "Module",
    "PipelineInfo",
    "PowerMeasurement",
    "Result",
    "Severity",
    "Shedding",
    "Snapshot",
    "Stamp",
    "Status",
    "StatusWord",
    "Summary",
    "ThermalMeasurement",
    "encode",
    "event_id",
    "json_schemas",
    "measurement_key",
    "model_for",
    "model_of_kind",
    "parse_message",
    "schema_names",
    "schema_of",
]

_MODEL_OF_KIND: Final[dict[Kind, type[Message]]] = {
    "status": Status,
    "info": Info,
    "health": Health,
    "engine": EngineState,
    "shedding": Shedding,
    "result": Result,
    "snapshot": Snapshot,
    "summary": Summary,
    "measurement": Measurement,
    "camera_measurement": CameraMeasurement,
    "event": Event,
    "alarm": Alarm,
    "config_reported": ConfigReported,
    "job": Job,
}
MODELS: Final[tuple[type[Message], ...]] = (*_MODEL_OF_KIND.values(), *GROUPS.values())


class _AbsentNotNull(GenerateJsonSchema):
    """JSON Schema of the wire: an optional field is absent, so its type does not include null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def schema_names() -> tuple[str, ...]:
    """For Info: every schema that this agent writes."""
    return tuple(schema_name(model) for model in MODELS)


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of each message, by schema name."""
    return {schema_name(model): _json_schema(model) for model in MODELS}


def schema_of(model: type[Part]) -> dict[str, Any]:
    """The model's JSON Schema (2020-12), as the wire has it."""
    return model.model_json_schema(by_alias=True, schema_generator=_AbsentNotNull)


def _json_schema(model: type[Message]) -> dict[str, Any]:
    schema = schema_of(model)
    schema["required"] = ["schema", *schema["required"]]  # it has a default only for the one who writes it
    return schema


def model_for(topic: Topic) -> type[Message]:
    """The model of what is published on `topic`; an unknown measurement group is a plain Measurement."""
    if topic.kind == "measurement":
        return GROUPS.get(topic.name("group"), Measurement)
    return model_of_kind(topic.kind)


def model_of_kind(kind: Kind) -> type[Message]:
    """The model of a kind of topic; of measurements, the one for any group."""
    return _MODEL_OF_KIND[kind]


def parse_message(topic: str | Topic, payload: bytes) -> Message | None:
    """What a device said on `topic`; None for an empty payload, which clears a retained topic.

    Raises TopicError for a topic that is not ours and MessageError for a payload that is not the topic's message.
    """
    if not payload:
        return None
    model = model_for(parse_topic(topic) if isinstance(topic, str) else topic)
    try:
        message: Message = adapter_of(model).validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _not_that(topic, model, f"{where}: {first['msg']}") from error
    if "schema_" not in message.model_fields_set:
        raise _not_that(topic, model, "it does not name its schema")
    return message


def _not_that(topic: str | Topic, model: type[Message], why: str) -> MessageError:
    return MessageError(
        f"the payload on {topic} is not {schema_name(model)}: {why}",
        mend="the sender may be of another version",
        facts={"topic": str(topic), "schema": schema_name(model)},
    )
