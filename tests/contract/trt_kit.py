"""What the tests of the TensorRT backend share: networks, jobs, and a watcher that only listens. No tests in here."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeagent.engine.build.backend import BackendJob, BackendOutcome
from edgeagent.engine.build.report import Cancelled
from edgeagent.engine.build.tensorrt.backend import TensorRtBackend
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.quantise import quantise
from edgeagent.engine.variant import Variant
from edgeagent.inference.cuda import retain

for room in ("unit/engine", "contract"):
    sys.path.append(str(Path(__file__).parents[1] / room))
from engine_kit import Net, noise_frames, write_bundle  # noqa: E402
from trt_world import World  # noqa: E402

SIZE = (64, 32)
FP32, FP16 = Variant("fp32", "none", "gpu"), Variant("fp16", "none", "gpu")
CALIBRATED, QDQ = Variant("int8", "calibrator", "gpu"), Variant("int8", "qdq", "gpu")
DLA = Variant("int8", "calibrator", "dla")
NET = Net(width=SIZE[0], height=SIZE[1], classes=3, dfl=4)


@dataclass
class Listener:
    """A watcher that hears everything. `cancel_after`: words until it wants the build no longer."""

    cancel_after: int | None = None
    words: list[tuple[str, float, str]] = field(default_factory=list)

    def tell(self, phase: str, percent: float, text: str) -> None:
        self.words.append((phase, percent, text))
        if self.cancel_after is not None and len(self.words) > self.cancel_after:
            raise Cancelled

    def pause(self, seconds: float) -> None:
        os.sched_yield()


@dataclass(frozen=True)
class Networks:
    """Two forms of one grafted network on disk."""

    plain: Path
    qdq: Path


def write_networks(folder: Path) -> Networks:
    grafted = graft_bundle(write_bundle(folder / "model", NET))
    plain, qdq = folder / "plain.onnx", folder / "qdq.onnx"
    onnx.save(grafted, str(plain))
    onnx.save(quantise(grafted, noise_frames(4, *SIZE), 1, lambda percent: None), str(qdq))
    return Networks(plain, qdq)


def job_for(networks: Networks, variant: Variant, folder: Path, **changes: Any) -> BackendJob:
    network = networks.qdq if variant.quantisation in ("qdq", "model") else networks.plain
    pictures = noise_frames(3, *SIZE) if variant.quantisation == "calibrator" else ()
    values: dict[str, Any] = {"pictures": pictures, **changes}
    return BackendJob(network=network, variant=variant, plan=folder / "plan", **values)


def build(world: World, job: BackendJob, watcher: Listener | None = None) -> BackendOutcome:
    """The job, built by the real backend with this TensorRT and its GPU."""
    return TensorRtBackend(world.module(), retain(world.cuda.driver)).build(job, watcher or Listener())


def as_bytes(frames: np.ndarray) -> bytes:
    return bytes(np.ascontiguousarray(frames).tobytes())
