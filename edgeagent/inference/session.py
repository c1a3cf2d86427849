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

    `submit` and `collect` are the same in two halves, for loops that have other work meanwhile: `submit` takes 1 to
    `batch` frames, each uint8 (height, width, 3), and may read them until `collect` has returned for them, so whoever
    hands over memory that others write to must look afterwards whether it was whole. `collect` waits for the oldest
    batch submitted and returns one Candidates a frame. Up to `depth` batches may be under way. `lend` names memory in
    which frames will lie for as long as the session is open (a ring), so that a GPU can read it without a copy; what
    cannot be had that way is copied. `copies`: `submit` has read the frames when it returns, always. `pads`: a batch
    of fewer frames than `batch` costs as much as a whole one. `how`: how it runs, for the log.

    `run`, `submit` and `collect` raise EngineError for frames of another shape, when the engine fails, and after
    `close`; closing twice is allowed. The arrays that are returned belong to the caller.
    """

    batch: int
    width: int
    height: int
    depth: int

    @property
    def how(self) -> str: ...

    @property
    def pads(self) -> bool: ...

    @property
    def copies(self) -> bool: ...

    def run(self, frames: Frames) -> list[Candidates]: ...

    def lend(self, memory: memoryview) -> None: ...

    def submit(self, frames: Sequence[Frames]) -> None: ...

    def collect(self) -> list[Candidates]: ...

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
    if backend == "null":  # `edgeagent bench` and tests; a configuration cannot name it
        from edgeagent.inference.null_session import NullSession

        return NullSession(plan)
    raise EngineError(f"there is no inference backend {backend!r}", mend="the backends are: tensorrt, onnxruntime")
