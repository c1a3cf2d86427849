"""What the agent and the build child say to each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edgeagent.engine.manifest import Agreement
from edgeagent.supervise.messages import Message

Phase = Literal["waiting", "collecting", "preparing", "calibrating", "verifying", "storing"]


class CalibrationWish(BaseModel):
    """Where the calibration set lies or shall lie, and how to collect it when it is not there.

    `patience_s`: how long the camera may give no frame before the build gives up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: str
    frames: int
    holdout: int
    interval_s: float
    patience_s: float = 60.0


class BuildStart(Message):
    """First message: the engine to build. `ring_fd` is the ring whose frames the engine will see."""

    kind: Literal["start"] = "start"
    model: str
    precision: Literal["int8", "fp32"]
    backend: str
    fingerprint: dict[str, str]
    calibration: CalibrationWish
    store: str
    ring_fd: int
    threads: int
    min_agreement: float


class Progress(Message):
    """`percent` 0..100 over the whole build; `text` is one line for a person."""

    kind: Literal["progress"] = "progress"
    phase: Phase
    percent: float
    text: str
    key: str | None = None


class Built(Message):
    """The engine is in the store. `from_store`: it already was when its turn came."""

    kind: Literal["built"] = "built"
    key: str
    from_store: bool
    build_s: float
    agreement: Agreement | None


BuildWord = Annotated[Progress | Built, Field(discriminator="kind")]
BUILD_WORDS: TypeAdapter[Progress | Built] = TypeAdapter(BuildWord)
