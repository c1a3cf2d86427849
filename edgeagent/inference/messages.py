"""What the agent and an infer child say to each other."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edgeagent.supervise.messages import Message, Stop


class RingInput(BaseModel):
    """A ring to read from: its descriptor, the eventfd that tells of new frames, and which of its readers this one is.

    `lossless_only`: frames before the ring turns lossless are a rehearsal and get no result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    fd: int
    wake_fd: int
    reader: int = 0
    lossless_only: bool = False


class Tracking(BaseModel):
    """Boxes get numbers. `low_score`: what a box must score to continue a thing; `first_id`: numbers below this one
    were given by a child before; `lost_s`: a thing not seen for longer is a new one when it comes back."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    low_score: float
    lost_s: float
    first_id: int = 1


class RegionPart(BaseModel):
    """A polygon in shares of the source frame. `include`: boxes in it are kept; else they are dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    include: bool
    corners: tuple[tuple[float, float], ...]


class OnChange(BaseModel):
    """Only results that say something new: see edgeagent/vision/changes.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    moved: float
    heartbeat_s: float


class SnapshotWish(BaseModel):
    """Pictures of what comes into view, at most one in `interval_s`. `drawn`: with the detections on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    drawn: bool
    interval_s: float


class AfterEngine(BaseModel):
    """What is done with what an engine finds, beyond scores and overlaps. `class_min_score` by class name;
    `region_names`: rows say which of the regions to include they lie in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    class_min_score: dict[str, float] = Field(default_factory=dict)
    tracking: Tracking | None = None
    regions: tuple[RegionPart, ...] = ()
    region_point: Literal["centre", "foot"] = "centre"
    region_names: bool = False
    change: OnChange | None = None
    snapshot: SnapshotWish | None = None


class PipelineStart(BaseModel):
    """One pipeline: which ring, which engine, and what to keep of what it finds.

    `model`: the model's id. `dla_core`: the core that runs an engine made for a DLA. `plugins`: libraries whose layers
    are in the engine. `canary`: what the engine said of its canary when it was first loaded, empty where that is not
    known. `priority`: when not all can be served at once, higher ones go first. `waits`: the engine is loaded and kept
    ready, and the pipeline begins at TakeOver. `came_to`: up to this frame it has been served elsewhere.
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
    model: str = ""
    dla_core: int | None = None
    plugins: tuple[str, ...] = ()
    canary: tuple[float, ...] = ()
    priority: int = 0
    after: AfterEngine = AfterEngine()
    waits: bool = False
    came_to: int = 0

    def behind(self, came_to: int, first_track: int) -> PipelineStart:
        """The same, where it was served elsewhere until now: it waits no longer."""
        after, tracking = self.after, self.after.tracking
        if tracking is not None:
            after = after.model_copy(update={"tracking": tracking.model_copy(update={"first_id": first_track})})
        return self.model_copy(update={"after": after, "came_to": came_to, "waits": False})

    def with_settings_of(self, other: PipelineStart) -> PipelineStart:
        """The same engine, and what is kept of its answers as `other` has it for another one of the pipeline."""
        kept = None if other.keep is None else {other.classes[number] for number in other.keep}
        return self.model_copy(
            update={
                "keep": None if kept is None else [n for n, name in enumerate(self.classes) if name in kept],
                "min_score": other.min_score,
                "iou": self.iou if None in (self.iou, other.iou) else other.iou,
                "max_detections": other.max_detections,
                "min_interval_s": other.min_interval_s,
                "priority": other.priority,
                "after": other.after,
            }
        )


class Pace(BaseModel):
    """What a pipeline may do: a share of the frames that it would look at (0 pauses it), and at most so many a second.

    Of a ring in lossless mode no frame is left out: it knows a pause only, and its writer waits meanwhile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    pipeline: str
    share: float = Field(default=1.0, ge=0, le=1)
    per_s: float | None = Field(default=None, gt=0)


class InferStart(Message):
    """First message: every ring there is, the pipelines whose engines are ready, and what they may do.

    `max_delay_ms`: how long a frame may wait for other cameras' frames to share a batch with. `canary_s`: every so many
    seconds each engine is asked what it was asked when it was loaded; 0: never.
    """

    kind: Literal["start"] = "start"
    rings: list[RingInput]
    pipelines: list[PipelineStart]
    threads: int
    paces: tuple[Pace, ...] = ()
    max_delay_ms: float = 0.0
    canary_s: float = 0.0


class LoadPipeline(Message):
    """Another pipeline's engine is ready, or a pipeline's engine was replaced."""

    kind: Literal["load"] = "load"
    pipeline: PipelineStart


class Release(Message):
    """The pipeline goes to another child, or is not wanted here any more. Answered with Released."""

    kind: Literal["release"] = "release"
    pipeline: str


class TakeOver(Message):
    """A pipeline that waits begins, behind the frame that it has come to elsewhere, and with numbers that tracking has
    not given there. Answered with Loaded."""

    kind: Literal["take_over"] = "take_over"
    pipeline: str
    came_to: int
    first_track: int = 1


class SetPace(Message):
    """From now on this pipeline may do so much, with whatever engine."""

    kind: Literal["pace"] = "pace"
    pace: Pace


class TakeSnapshot(Message):
    """Agent to child: a picture of the next frame that the pipeline looks at, whatever is in it."""

    kind: Literal["take_snapshot"] = "take_snapshot"
    pipeline: str
    drawn: bool
    asked: int


class Loaded(Message):
    """From the next frame on the pipeline runs on this engine. `canary`: what the engine said of its canary, empty
    where it gave no numbers. `batch`: frames that it takes at once; `how`: how it runs, for the log."""

    kind: Literal["loaded"] = "loaded"
    pipeline: str
    engine: str
    load_s: float
    canary: tuple[float, ...] = ()
    batch: int = 1
    how: str = ""


class Warm(Message):
    """The engine of a pipeline that waits is loaded and has run."""

    kind: Literal["warm"] = "warm"
    pipeline: str
    engine: str


class Released(Message):
    """No more of this pipeline comes from here. `came_to`: the last frame that it looked at, 0 where there was none."""

    kind: Literal["released"] = "released"
    pipeline: str
    came_to: int


class LoadFailed(Message):
    """The engine of one pipeline does not load; the other pipelines go on."""

    kind: Literal["load_failed"] = "load_failed"
    pipeline: str
    engine: str
    text: str


class RunFailed(Message):
    """An engine that was loaded has failed too often, or is not what it was, and was taken out of the pipeline.

    `back_to`: the engine before, which serves again; empty where there is none, and the pipeline has no engine.
    """

    kind: Literal["run_failed"] = "run_failed"
    pipeline: str
    engine: str
    back_to: str
    code: str
    text: str


class NoNumbers(Message):
    """An engine's output held values that are no numbers; told once for each engine that is loaded. It runs on."""

    kind: Literal["no_numbers"] = "no_numbers"
    pipeline: str
    engine: str


ResultRow: TypeAlias = (
    tuple[int, float, float, float, float, float]
    | tuple[int, float, float, float, float, float, int]
    | tuple[int, float, float, float, float, float, int, list[str]]
)
"""Class id, score, x1, y1, x2, y2; where the pipeline tracks, its number (0: none yet); where they are asked for, the
names of the regions it lies in."""


class FrameResult(Message):
    """What is known of one frame's result; `found` detections follow it on its line (result_line.py).

    `capture_ns` is CLOCK_MONOTONIC. `ring_ms` is capture to the frame in the ring, `wait_ms` from there to the engine's
    start, `engine_ms` the engine, `post_ms` what comes after it. `last_track` is the highest number that tracking has
    given so far.
    """

    kind: Literal["result"] = "result"
    pipeline: str
    frame: int
    capture_ns: int
    capture_ms: int
    width: int
    height: int
    ring_ms: float
    wait_ms: float
    engine_ms: float
    post_ms: float
    found: int
    last_track: int = 0


class InferStats(Message):
    """Once a second, totals since the child started.

    `frames`: results. `dropped`: frames of the ring that were never looked at; `shed`: frames that a pipeline left out
    because of its pace. `torn`: frames of the ring that were overwritten while they were looked at; `invalid`: frames
    for which an engine gave what is no number; `failed`: frames that a pipeline lost because its engine failed.
    `batches`: runs of engines, and `unused`: places in them for which there was no frame. `looked`: frames that a
    pipeline's engine saw, and `unchanged`: those of them that have no result because they said nothing new.
    """

    kind: Literal["stats"] = "stats"
    frames: int
    dropped: dict[str, int]
    torn: dict[str, int]
    invalid: int
    shed: dict[str, int] = Field(default_factory=dict)
    failed: dict[str, int] = Field(default_factory=dict)
    batches: int = 0
    unused: int = 0
    looked: dict[str, int] = Field(default_factory=dict)
    unchanged: dict[str, int] = Field(default_factory=dict)


class Snapshot(Message):
    """A picture of a frame, `jpeg` in base64; its result went before it. `found`: detections in the frame. `asked`: the
    number of the word that asked for it, 0 where none did."""

    kind: Literal["snapshot"] = "snapshot"
    pipeline: str
    frame: int
    capture_ms: int
    drawn: bool
    found: int
    jpeg: str
    asked: int = 0


InferWord = Annotated[
    InferStats | Loaded | Warm | Released | LoadFailed | RunFailed | NoNumbers | Snapshot, Field(discriminator="kind")
]  # beside results
INFER_WORDS: TypeAdapter[InferStats | Loaded | Warm | Released | LoadFailed | RunFailed | NoNumbers | Snapshot] = (
    TypeAdapter(InferWord)
)
AgentWord = Annotated[LoadPipeline | TakeOver | Release | SetPace | TakeSnapshot | Stop, Field(discriminator="kind")]
AGENT_WORDS: TypeAdapter[LoadPipeline | TakeOver | Release | SetPace | TakeSnapshot | Stop] = TypeAdapter(AgentWord)
