"""What the agent and an infer child say to each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edgeagent.supervise.messages import Message, Stop


class RingInput(BaseModel):
    """A ring to read from: its descriptor and the eventfd that tells of new frames.

    `lossless_only`: frames before the ring turns lossless are a rehearsal and get no result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    fd: int
    wake_fd: int
    lossless_only: bool = False


class PipelineStart(BaseModel):
    """One pipeline: which ring, which engine, and what to keep of what it finds.

    `dla_core`: the core that runs an engine made for a DLA. `plugins`: libraries whose layers are in the engine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    pipeline: str
    ring: str
    backend: str
    plan: str
    engine: str
    classes: list[str]
    keep: list[int] | None
    min_score: float
    iou: float | None
    max_detections: int
    min_interval_s: float
    dla_core: int | None = None
    plugins: tuple[str, ...] = ()


class InferStart(Message):
    """First message: every ring there is, and the pipelines whose engines are ready."""

    kind: Literal["start"] = "start"
    rings: list[RingInput]
    pipelines: list[PipelineStart]
    threads: int


class LoadPipeline(Message):
    """Another pipeline's engine is ready, or a pipeline's engine was replaced."""

    kind: Literal["load"] = "load"
    pipeline: PipelineStart


class Loaded(Message):
    kind: Literal["loaded"] = "loaded"
    pipeline: str
    engine: str
    load_s: float


class LoadFailed(Message):
    """The engine of one pipeline does not load; the other pipelines go on."""

    kind: Literal["load_failed"] = "load_failed"
    pipeline: str
    engine: str
    text: str


class FrameResult(Message):
    """The detections of one frame. Boxes are xyxy in source pixels; rows are (class id, score, x1, y1, x2, y2).

    `capture_ns` is CLOCK_MONOTONIC. `wait_ms` is capture to engine start, `engine_ms` the engine, `post_ms` NMS
    and mapping.
    """

    kind: Literal["result"] = "result"
    pipeline: str
    frame: int
    capture_ns: int
    capture_ms: int
    width: int
    height: int
    wait_ms: float
    engine_ms: float
    post_ms: float
    rows: list[tuple[int, float, float, float, float, float]]


class InferStats(Message):
    """Once a second, totals since the child started. `dropped`: frames of the ring that were never looked at."""

    kind: Literal["stats"] = "stats"
    frames: int
    dropped: dict[str, int]
    torn: int
    invalid: int


InferWord = Annotated[FrameResult | InferStats | Loaded | LoadFailed, Field(discriminator="kind")]
INFER_WORDS: TypeAdapter[FrameResult | InferStats | Loaded | LoadFailed] = TypeAdapter(InferWord)
AgentWord = Annotated[LoadPipeline | Stop, Field(discriminator="kind")]
AGENT_WORDS: TypeAdapter[LoadPipeline | Stop] = TypeAdapter(AgentWord)
