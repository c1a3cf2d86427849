"""The message that carries a picture. Pure; pydantic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeagent.fleet.envelope import Count, EpochMs, Id, Message


class Snapshot(Message):
    """A picture of a frame in which something came into view: what the engine saw, as a JPEG."""

    schema_: Literal["edgeagent.snapshot/1"] = "edgeagent.snapshot/1"
    camera: Id
    pipeline: Id
    frame: Count = Field(description="The frame's number from its camera; its result has the same")
    capture_ts: EpochMs = Field(description="When the frame was captured")
    drawn: bool = Field(description="Whether the detections are drawn on it")
    found: Count = Field(description="Detections in the frame")
    jpeg: str = Field(min_length=1, description="The JPEG in base64; less than 90 KB before that")
