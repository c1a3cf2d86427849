"""Messages that say what happened: a frame's detections, and events. Pure; pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import to_json

from edgeagent.fleet.envelope import Count, EpochMs, Header, Id, Message, Number, Part, Positive, schema_name
from edgeagent.fleet.states import Severity

Box = tuple[Number, Number, Number, Number]
Track = Annotated[int, Field(ge=1)]
FactValue = str | bool | int | Number


class Detection(Part):
    """One thing seen in one frame."""

    class_: str = Field(description="The class's name")
    class_id: Count = Field(description="The class's number in the model")
    score: Number = Field(description="Confidence 0 to 1, three decimals")
    box: Box = Field(description="x1, y1, x2, y2 in source pixels, one decimal")
    track: Track | None = Field(
        default=None, description="With tracking, from a thing's second frame on: its number, its own in this session"
    )
    regions: tuple[Id, ...] | None = Field(
        default=None, description="Where names of regions are asked for: those it lies in"
    )

    @classmethod
    def rounded(
        cls,
        class_: str,
        class_id: int,
        score: float,
        box: tuple[float, float, float, float],
        track: int = 0,
        regions: tuple[str, ...] | None = None,
    ) -> Detection:
        """A detection with score and box rounded for the wire; `track` 0 is none. `floor` is several times cheaper than
        `round(x, 1)`."""
        x1, y1, x2, y2 = box
        return cls(
            class_=class_,
            class_id=class_id,
            score=floor(score * 1000 + 0.5) / 1000,
            box=(
                floor(x1 * 10 + 0.5) / 10,
                floor(y1 * 10 + 0.5) / 10,
                floor(x2 * 10 + 0.5) / 10,
                floor(y2 * 10 + 0.5) / 10,
            ),
            track=track or None,
            regions=regions,
        )


class Result(Message):
    """What a pipeline saw in one frame. No detections is a result too: an empty list."""

    schema_: Literal["edgeagent.result/1"] = "edgeagent.result/1"
    camera: Id
    pipeline: Id
    frame: Count = Field(description="The frame's number from its camera; gaps are frames that were not looked at")
    capture_ts: EpochMs = Field(description="When the frame was captured")
    lat_ms: Positive = Field(description="From capture to this message: the sum of the five that follow")
    ring_ms: Positive | None = Field(default=None, description="From capture until the frame was scaled and handed on")
    wait_ms: Positive | None = Field(default=None, description="From there until the engine began with it")
    engine_ms: Positive | None = Field(default=None, description="In the engine")
    post_ms: Positive | None = Field(default=None, description="After the engine: overlaps, tracks, regions")
    publish_ms: Positive | None = Field(default=None, description="From there to this message")
    width: Count = Field(description="Of the source frame, pixels")
    height: Count = Field(description="Of the source frame, pixels")
    model: str
    engine: str = Field(description="Key of the engine that computed it")
    detections: tuple[Detection, ...] = ()


def encode_result(values: Mapping[str, object], detections: bytes) -> bytes:
    """A Result as it goes onto the wire: `values` by their names on the wire, already checked, header included;
    `detections` is the JSON of their list."""
    head = to_json({"schema": schema_name(Result), **values})
    return b'%b,"detections":%b}' % (head[:-1], detections)


def without_nothing(facts: object) -> object:
    """Facts without a value are left out, as everywhere on the wire."""
    return {key: value for key, value in facts.items() if value is not None} if isinstance(facts, dict) else facts


class Event(Message):
    """Something that happened once. Delivered at least once: `id` tells a repetition."""

    schema_: Literal["edgeagent.event/1"] = "edgeagent.event/1"
    id: str = Field(min_length=1, description="Unique for all devices and times")
    type: Id
    severity: Severity
    text: str
    facts: Annotated[dict[str, FactValue], BeforeValidator(without_nothing)] = Field(
        default={}, description="Flat values that a person would ask for next"
    )


def event_id(device: str, type: str, header: Header) -> str:
    """Unique by construction: device, session, topic and the number within it."""
    return f"{device}.{header['session']}.{type}.{header['seq']}"
