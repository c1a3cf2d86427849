"""The session protocol: an engine, loaded and ready, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]


class InferenceSession(Protocol):
    """`run` takes uint8 (batch, height, width, 3) BGR frames and returns the candidates of each.

    `run` raises EngineError for frames of another shape, when the engine fails, and after `close`; closing twice is
    allowed. The arrays that it returns belong to the caller.
    """

    batch: int
    width: int
    height: int

    def run(self, frames: Frames) -> list[Candidates]: ...

    def close(self) -> None: ...


def open_session(
    backend: str, plan: Path, threads: int, *, dla_core: int | None = None, plugins: Sequence[Path] = ()
) -> InferenceSession:
    """Load `plan` with `backend`. Raises EngineError when it does not load. `dla_core` is the core that runs an engine
    built for a DLA, `plugins` the libraries whose layers are in it; both mean something to TensorRT only."""
    if backend == "onnxruntime":
        from edgeagent.inference.onnxruntime_session import OnnxRuntimeSession

        return OnnxRuntimeSession(plan, threads)
    if backend == "tensorrt":
        from edgeagent.inference.tensorrt_session import TensorRtSession

        return TensorRtSession(plan, dla_core=dla_core, plugins=plugins)
    raise EngineError(f"there is no inference backend {backend!r}", mend="the backends are: tensorrt, onnxruntime")
