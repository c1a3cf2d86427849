"""What a build backend is: it turns a grafted ONNX into a plan. One protocol, ONNX Runtime and TensorRT behind it.

A backend runs in the build child. It writes the plan into the staging directory and nothing anywhere else; it says
what it is doing through the `Watcher`, which raises when the build is no longer wanted. Whatever goes wrong is an
EngineError with one of the codes of outcome.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from edgeagent.engine.build.messages import Phase
from edgeagent.engine.build.rest import StepRest
from edgeagent.engine.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]


class Watcher(Protocol):
    """Whom a backend tells how far it is. Both may raise `Cancelled` (report.py), and are called often."""

    def tell(self, phase: Phase, percent: float, text: str) -> None: ...

    def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class BuilderOptions:
    """How to build. None: the backend's own choice from what the device has free. Sizes in MB.

    `dla_max_gpu_layers` and `dla_max_gpu_macs` are shares, 0..1, of a network wanted on a DLA that may end up on the
    GPU; beyond, the build is refused with the code `dla_refused`.
    """

    optimization_level: int | None = None
    workspace_mb: int | None = None
    tactic_memory_mb: int | None = None
    avg_timing_iterations: int | None = None
    threads: int = 1
    dla_core: int = 0
    dla_max_gpu_layers: float = 0.5
    dla_max_gpu_macs: float = 0.2


def _nothing(data: bytes) -> None:
    """Nobody keeps it."""


@dataclass(frozen=True)
class BackendJob:
    """One engine to make.

    `network` is the grafted ONNX on disk (graft.py), with Q/DQ nodes where the variant's quantisation says so; it takes
    `batch` frames, or any number up to that where its first side is open (batching.py).
    `pictures` are uint8 (H, W, 3) BGR, the size of the network's input, to calibrate with; empty where nothing is
    calibrated. `calibration_cache` has scales that were measured before, in TensorRT's text form. The plan goes to
    `plan`, which lies in a staging directory of the store.

    `rest` keeps the build's pace between the builder's steps, where it has any. `keep_scales` and `keep_timings` take
    what is worth keeping as soon as it is there: a build that is ended afterwards, or was just then, has not been for
    nothing.
    """

    network: Path
    variant: Variant
    plan: Path
    batch: int = 1
    pictures: Sequence[Frames] = ()
    calibration_cache: bytes | None = None
    timing_cache: bytes | None = None
    plugins: tuple[Path, ...] = ()
    options: BuilderOptions = field(default_factory=BuilderOptions)
    rest: StepRest = field(default_factory=StepRest)
    keep_scales: Callable[[bytes], None] = _nothing
    keep_timings: Callable[[bytes], None] = _nothing


@dataclass(frozen=True)
class PlacedLayer:
    """One layer of the finished engine. `macs`: multiply-adds a frame, None where unknown; `parts` names the layers
    of the network that it holds, where the engine says so."""

    name: str
    device: Literal["cpu", "gpu", "dla"]
    kind: str = ""
    precision: str = ""
    macs: int | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackendOutcome:
    """What a finished build left beside the plan. `layers` is empty where the engine does not tell."""

    layers: tuple[PlacedLayer, ...] = ()
    calibration_cache: bytes | None = None
    timing_cache: bytes | None = None
    timing_cache_use: Literal["none", "used", "refused"] = "none"
    workspace_mb: int | None = None
    optimization_level: int | None = None
    sm_count: int | None = None
    log: bytes = b""
    notes: tuple[str, ...] = ()


class BuildBackend(Protocol):
    """`name` is what the engine key and the manifest call it."""

    name: str

    def build(self, job: BackendJob, watcher: Watcher) -> BackendOutcome: ...
