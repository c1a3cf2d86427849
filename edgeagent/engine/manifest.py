"""What is known about an engine in the store: where it came from, what it was proven to do, what its bytes are.

A manifest may be signed as it stands, so nothing that is true of one device only is in it: where this device got the
engine and what happened to it here stands beside it (store.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from edgeagent.engine.bundle import ModelSpec
from edgeagent.engine.variant import Placement, Precision, Quantisation

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Bytes = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Agreement(_Part):
    """The engine against the FP32 reference on held-out frames.

    `value` is 0..1: the mAP50 of the engine's detections with the reference's taken as truth; when the reference sees
    nothing, one minus the mean difference of the best scores; for classes, the share of frames with the same best
    class (`basis`).
    """

    value: float
    basis: Literal["detections", "scores", "classes"]
    frames: int
    reference_detections: int
    mean_iou: float | None = None
    mean_score_difference: float | None = None
    cosine: float | None = None
    engine_ms: float
    reference_ms: float


class NetworkFacts(_Part):
    """How the network's outputs are read. `recognised`: what was guessed and why, empty where it was declared."""

    family: str
    task: Literal["detect", "classify"] = "detect"
    nms: bool = True
    recognised: str = ""


class FileRecord(_Part):
    """A file beside the plan: calibration cache, timing cache, build log, layers."""

    bytes: Bytes
    sha256: Sha256


class LayerSummary(_Part):
    """Where the engine's layers run, as the engine itself says; shares are 0..1 of the network without the grafts.

    `macs_share_gpu` is None where no multiply-adds could be counted.
    """

    layers: int
    on_dla: int
    on_gpu: int
    dla_loadables: int = 0
    share_gpu: float = 0.0
    macs_share_gpu: float | None = None
    fallback: tuple[str, ...] = ()  # names of layers wanted on the DLA that are not there, at most 100


class Steering(_Part):
    """How a build was held within the board's limits.

    `mean_duty` is the share of its time that it worked, `running_s` how long that was; `before` what was done to the
    board first; `cancels` how many builds of this engine were ended for the board's sake before. `timings_kept` is
    False where it was stopped while it timed kernels.
    """

    running_s: float
    mean_duty: float
    least_headroom_c: float | None = None
    paced_by: tuple[Literal["signals", "steps"], ...] = ()
    timings_kept: bool = True
    before: tuple[str, ...] = ()
    cancels: int = 0


class BuildRecord(_Part):
    """How the engine was made. Memory in MB."""

    seconds: float
    attempt: int = 1
    agent_version: str = ""
    optimization_level: int | None = None
    workspace_mb: int | None = None
    memory_free_start_mb: int | None = None
    memory_free_least_mb: int | None = None
    throttled: bool | None = None  # None: the board cannot tell
    paused_s: float = 0.0
    steering: Steering | None = None
    sm_count: int | None = None
    timing_cache: Literal["none", "used", "refused"] = "none"
    notes: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()  # what was tried before this form, one line each


class Published(_Part):
    """Set when an engine is put into a registry, before its manifest is signed. Times in ms since 1970."""

    issued_ms: int
    expires_ms: int | None = None


class Manifest(_Part):
    """The record beside a plan. Written last: an entry without a manifest does not exist."""

    schema_: Literal["edgeagent.engine/2"] = Field(default="edgeagent.engine/2", alias="schema")
    key: Key
    facts: dict[str, Any]
    model: ModelSpec
    network: NetworkFacts | None = None  # None: a detector whose boxes are still to be suppressed
    precision: Precision
    quantisation: Quantisation = "none"
    placement: Placement
    backend: str
    plan_bytes: Bytes
    plan_sha256: Sha256
    calibration_digest: str
    agreement: Agreement | None
    layers: LayerSummary | None = None
    files: dict[FileName, FileRecord] = Field(default_factory=dict)
    build: BuildRecord
    built_at_ms: int
    published: Published | None = None


def batch_of(manifest: Manifest) -> int:
    """How many frames the engine takes at once, at most."""
    batch = manifest.facts.get("batch", 1)
    return batch if isinstance(batch, int) and batch > 0 else 1
