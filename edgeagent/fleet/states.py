"""Messages that say how things are: published retained, so that whoever subscribes knows at once. Pure; pydantic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgeagent.fleet.envelope import Count, EpochMs, Id, Message, Number, Part, Positive, Share

Severity = Literal["info", "warning", "error"]
HealthWord = Literal["ok", "degraded", "failed"]
StatusWord = Literal["init", "ready", "degraded", "updating", "stopping", "stopped", "lost"]
PowerWord = Literal[
    "left_alone", "applying", "applied", "unverified", "reboot_required", "rebooting", "failed", "unsupported"
]
GovernorWord = Literal["nominal", "warm", "hot", "critical"]
EngineWord = Literal["wanted", "waiting", "collecting", "building", "verifying", "ready", "failed"]


class Status(Message):
    """Is the device there? Also the will: the broker publishes it with state `lost` when the device falls silent.

    A `lost` whose session is not the device's current one is stale and must be ignored. The `ts` of a `lost` is the
    time at which the device connected, because the broker holds that text from then on.
    """

    schema_: Literal["edgeagent.status/1"] = "edgeagent.status/1"
    state: StatusWord = Field(description="What the agent is doing as a whole")
    reason: str = Field(default="", description="Why, in a few words; may be empty")


class Module(Part):
    """The compute module, as the device tree names it."""

    name: str = Field(description="Name for people, such as Jetson Orin Nano 8GB")
    id: str = Field(description="Module number, such as p3767-0003; empty when it has none")
    soc: str = Field(description="System on chip, such as t234; empty when it is not known, and on a PC")
    compute_capability: str | None = Field(default=None, description="CUDA compute capability, such as 8.7")
    dla_cores: Count | None = Field(default=None, description="Deep learning accelerators; absent when not known")
    dla: Literal["yes", "no", "unknown"] = Field(default="unknown", description="Can a network be placed on them here?")
    dla_reason: str = Field(default="", description="Why, from module, JetPack and TensorRT together")
    dla_declared: Count | None = Field(default=None, description="Cores by the module's record; absent when not known")
    dla_probed: Count | None = Field(default=None, description="Cores by TensorRT; absent until it has been asked")
    dla_unprobed: str = Field(default="", description="Why TensorRT could not be asked; empty before it was tried, too")
    memory_mb: Count = Field(description="Memory that the system sees")
    carrier: str = Field(default="", description="Carrier board, as device tree and flash configuration name it")
    virtual: str = Field(default="", description="Empty on real hardware; else what makes it virtual")
    container: str = Field(default="", description="Container runtime the agent runs in; empty on a host")
    contradictions: tuple[str, ...] = Field(default=(), description="Evidence about the board that does not fit")


class PowerInfo(Part):
    """The board's power: what was asked for, and whether it is in force."""

    state: PowerWord = Field(description="applied means verified in the board's files, not believed of a tool")
    intent: Id | None = Field(default=None, description="What the operator asked for; absent: the board is left alone")
    mode: str | None = Field(default=None, description="Name of the power mode that the intent means on this board")
    clocks: Literal["lock", "release", "keep"] | None = None
    fan: str | None = Field(default=None, description="Profile of the fan, where the intent sets one")
    reason: str = Field(default="", description="How it came out, for people")


class CameraInfo(Part):
    """One configured camera."""

    id: Id
    source: str = Field(description="Kind of source, such as rtsp, csi, v4l2, file; never an address with a password")
    width: Count | None = Field(default=None, description="Pixels, once known")
    height: Count | None = Field(default=None, description="Pixels, once known")
    fps: Positive | None = Field(default=None, description="Frames a second that the source promises, once known")


class PipelineInfo(Part):
    """One configured pipeline: a camera's frames through a model."""

    id: Id
    camera: Id
    model: str
    engine: str | None = Field(default=None, description="Key of the engine that serves now")


class Info(Message):
    """The birth certificate: what this device is, what runs on it, what it can be asked."""

    schema_: Literal["edgeagent.info/1"] = "edgeagent.info/1"
    agent_version: str
    module: Module
    power: PowerInfo | None = None
    serial: str | None = Field(default=None, description="The module's serial number")
    l4t: str | None = Field(default=None, description="L4T release, such as 36.4.3")
    jetpack: str | None = Field(default=None, description="JetPack release, such as 6.2")
    tensorrt: str | None = None
    cuda: str | None = None
    onnxruntime: str | None = None
    cameras: tuple[CameraInfo, ...] = ()
    pipelines: tuple[PipelineInfo, ...] = ()
    schemas: tuple[str, ...] = Field(default=(), description="Every schema that this agent writes")
    commands: tuple[str, ...] = Field(default=(), description="Every command that this agent obeys")
    groups: tuple[str, ...] = Field(default=(), description="Groups whose commands it obeys, too")
    uptime_s: Positive = Field(description="Seconds since the system started")


class ComponentHealth(Part):
    """One component of the agent, such as camera/door or engine/people."""

    name: str
    health: HealthWord
    reason: str = ""
    since_ts: EpochMs = Field(description="When it came into this health")


class Health(Message):
    """How well everything works, and since when."""

    schema_: Literal["edgeagent.health/1"] = "edgeagent.health/1"
    overall: HealthWord = Field(description="The worst that matters")
    components: tuple[ComponentHealth, ...] = ()


class EngineState(Message):
    """Where a pipeline's engine is on its way from wanted to ready."""

    schema_: Literal["edgeagent.engine/1"] = "edgeagent.engine/1"
    pipeline: Id
    state: EngineWord
    key: str | None = Field(default=None, description="Engine key, once it is known")
    phase: str = Field(default="", description="What is going on within the state")
    percent: Share = Field(default=0.0, description="Progress of the state")
    eta_s: Positive | None = Field(default=None, description="Expected seconds until ready; absent when unknown")
    attempt: Count = Field(default=0, description="Builds tried for this key, the running one included")
    reason: str = Field(default="", description="Why it waits, is slowed or failed")
    duty: Number | None = Field(default=None, description="Share of the time that its build works, while steered")
    level: GovernorWord | None = Field(default=None, description="How the board is, while its build is steered")
    precision: str = Field(description="int8, fp16 or fp32")
    backend: str = Field(description="tensorrt or onnxruntime")
    quantisation: str | None = Field(default=None, description="Where INT8 scales come from: calibrator, qdq or model")
    placement: str | None = Field(default=None, description="What computes it: gpu, dla or cpu")
    accelerator: Literal["cpu", "gpu", "dla0", "dla1"] | None = Field(
        default=None,
        description="Where the pipeline's results are computed now, whichever engine serves it: dla0 is the health's "
        "infer/dla0; absent while no engine is loaded",
    )
    batch: Count | None = Field(default=None, description="Frames that it takes at once, at most")
    form_reason: str = Field(default="", description="Why this is not the form that was asked for; empty when it is")
    steps: tuple[str, ...] = Field(default=(), description="What was tried before, one line each, oldest first")
    serving: str | None = Field(default=None, description="Key of the engine that serves until this one is ready")
    origin: Literal["store", "registry", "build"] | None = Field(default=None, description="Where the engine came from")
    from_store: bool | None = Field(default=None, description="Came out of the local store, not built now")
    build_s: Positive | None = Field(default=None, description="How long the build took")
    agreement: Number | None = Field(default=None, description="Agreement with the FP32 reference, 0 to 1")
    mean_iou: Number | None = Field(default=None, description="Mean overlap of its boxes with the reference's")
    score_difference: Number | None = Field(default=None, description="Mean difference of its scores")
    gpu_share: Number | None = Field(default=None, description="Share of a DLA engine's layers that run on the GPU")


class Shedding(Message):
    """What a pipeline gives up because the board must do less, why, and since when."""

    schema_: Literal["edgeagent.shedding/1"] = "edgeagent.shedding/1"
    pipeline: Id
    state: Literal["full", "shed", "paused"] = Field(description="full: nothing is given up")
    share_percent: Share = Field(default=100.0, description="Of the frames that it looks at otherwise")
    max_per_s: Positive | None = Field(default=None, description="Results a second, at most, beside that share")
    steps: tuple[str, ...] = Field(default=(), description="Steps of its ladder in force, the newest last")
    code: str = Field(default="", description="Why the newest one was taken: the governor's reason")
    reason: str = Field(default="", description="The same in words")
    since_ts: EpochMs | None = Field(default=None, description="Since when anything is given up")
    unavailable: tuple[str, ...] = Field(
        default=(), description="Steps of its ladder that could not be taken now, each with its reason"
    )
    priority: int = Field(default=0, description="The lower, the sooner it gives up")
    critical: bool = Field(default=False, description="Gives up last, and is never paused")


class Alarm(Message):
    """Something that a person has to look at. Stays until it is cleared with an empty payload."""

    schema_: Literal["edgeagent.alarm/1"] = "edgeagent.alarm/1"
    type: Id
    severity: Severity
    first_ts: EpochMs = Field(description="When it began")
    count: Count = Field(description="How often it has happened since then")
    text: str
