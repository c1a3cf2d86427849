"""What is known about an engine in the store: where it came from, what it was proven to do, what its bytes are."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgeagent.engine.bundle import ModelSpec


class Agreement(BaseModel):
    """The INT8 engine against the FP32 reference on held-out frames.

    `value` is 0..1: the mAP50 of the engine's detections with the reference's taken as truth, or, when the
    reference sees nothing, one minus the mean difference of the best scores (`basis`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float
    basis: Literal["detections", "scores"]
    frames: int
    reference_detections: int
    mean_iou: float | None = None
    mean_score_difference: float | None = None
    engine_ms: float
    reference_ms: float


class Manifest(BaseModel):
    """The record beside a plan. Written last: an entry without a manifest does not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["edgeagent.engine/1"] = Field(default="edgeagent.engine/1", alias="schema")
    key: str
    facts: dict[str, Any]
    model: ModelSpec
    precision: str
    backend: str
    plan_bytes: int
    plan_sha256: str
    calibration_digest: str
    agreement: Agreement | None
    build_s: float
    built_at_ms: int
