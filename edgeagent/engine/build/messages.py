"""What the agent and the build child say to each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edgeagent.engine.manifest import Agreement
from edgeagent.engine.variant import Placement, Precision, Quantisation, Variant
from edgeagent.supervise.messages import Message, Stop

Phase = Literal["waiting", "collecting", "fetching", "preparing", "calibrating", "building", "verifying", "storing"]
Origin = Literal["store", "registry", "build"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CalibrationWish(_Part):
    """Where the calibration set lies or shall lie, and how to collect it when it is not there.

    `looks`: frames looked at for each that is kept. `images`: a directory to take pictures from, in place of the
    camera. `patience_s`: how long the camera may give no frame before the build gives up.
    """

    folder: str
    frames: int
    holdout: int
    interval_s: float
    looks: int = Field(default=1, ge=1)
    images: str | None = None
    patience_s: float = 60.0


class RegistryWish(_Part):
    """Where finished engines may come from; see [registry] in the config."""

    urls: tuple[str, ...] = ()
    trusted_keys: tuple[str, ...] = ()
    stall_s: float = 20.0
    timeout_s: float = 1800.0
    max_download_mb: int = 2048


class BuilderWish(_Part):
    """How to build: `facts` go into the engine key, the rest follows from what the device has free. Sizes in MB.

    `own_scales_apart`: the model's own Q/DQ nodes are taken out and their scales given beside it, as a DLA wants it.
    `calibration_ranges`: whether a calibrated engine's scales are measured here, or by TensorRT's entropy.
    """

    facts: dict[str, int | float | str | bool] = Field(default_factory=dict)
    optimization_level: int | None = None
    workspace_mb: int | None = None
    timing_cache: bool = True
    dla_core: int = 0
    dla_max_gpu_layers: float = 0.5
    dla_max_gpu_macs: float = 0.2
    own_scales_apart: bool = False
    plugins: tuple[str, ...] = ()
    plugin_digests: dict[str, str] = Field(default_factory=dict)
    calibration_ranges: Literal["extremes", "entropy"] = "extremes"


class BuildStart(Message):
    """First message: the engine to make. `ring_fd` is the ring whose frames the engine will see, None where the
    pictures come from a directory; `other_rings` are those of further cameras that it will see together with it.
    `steps` tells what was tried before this form, `prepared` what was done to the board before this build, `cancels`
    how many builds of it were ended for the board's sake."""

    kind: Literal["start"] = "start"
    model: str
    precision: Precision
    quantisation: Quantisation
    placement: Placement
    batch: int = Field(default=1, ge=1)
    backend: str
    fingerprint: dict[str, str]
    builder: BuilderWish = Field(default_factory=BuilderWish)
    calibration: CalibrationWish
    registry: RegistryWish = Field(default_factory=RegistryWish)
    store: str
    ring_fd: int | None = None
    other_rings: tuple[int, ...] = ()
    threads: int
    min_agreement: float
    attempt: int = 1
    steps: tuple[str, ...] = ()
    prepared: tuple[str, ...] = ()
    cancels: int = 0
    agent_version: str = ""

    @property
    def rings(self) -> tuple[int, ...]:
        """All rings that frames to calibrate with come from."""
        return () if self.ring_fd is None else (self.ring_fd, *self.other_rings)

    @property
    def variant(self) -> Variant:
        return Variant(self.precision, self.quantisation, self.placement, self.batch)


class Conditions(Message):
    """Agent to build child, now and then: how the board is while it builds, for the manifest. None: cannot be told.

    `stopped_s` is for how long the build's processes were stopped from outside so far, `headroom_c` how far the hottest
    zone is from its throttle temperature.
    """

    kind: Literal["conditions"] = "conditions"
    throttled: bool | None = None
    memory_available_mb: int | None = None
    stopped_s: float | None = None
    headroom_c: float | None = None


class Pace(Message):
    """Agent to build child: how much it may work from now on.

    `duty` is the share of the time, 0..1, that is kept between the builder's own steps, where it has any. `signals`:
    its processes are stopped from outside now and then, so what it times is not to be trusted.
    """

    kind: Literal["pace"] = "pace"
    duty: float = Field(default=1.0, ge=0, le=1)
    signals: bool = False


class Resting(Message):
    """Build child to agent, when it changes and now and then: whether it keeps its pace itself between the builder's
    steps (`active`), whether it rests just now, and for how long it has rested so far."""

    kind: Literal["resting"] = "resting"
    active: bool
    resting: bool = False
    rested_s: float = 0.0


class Progress(Message):
    """`percent` 0..100 over the whole build; `text` is one line for a person."""

    kind: Literal["progress"] = "progress"
    phase: Phase
    percent: float
    text: str
    key: str | None = None


class Built(Message):
    """The engine is in the store. `origin`: it was there when its turn came, came from a registry, or was built."""

    kind: Literal["built"] = "built"
    key: str
    origin: Origin
    build_s: float
    agreement: Agreement | None


BuildWord = Annotated[Progress | Built | Resting, Field(discriminator="kind")]
BUILD_WORDS: TypeAdapter[Progress | Built | Resting] = TypeAdapter(BuildWord)
DeskWord = Annotated[Conditions | Pace | Stop, Field(discriminator="kind")]
DESK_WORDS: TypeAdapter[Conditions | Pace | Stop] = TypeAdapter(DeskWord)
