"""What every session refuses, in the same words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeagent.errors import EngineError

Frames = npt.NDArray[np.uint8]
Shape = tuple[int, ...]


def check_batch(frames: Frames, shape: Shape) -> None:
    """Raises EngineError for anything but a whole batch: uint8 of that shape."""
    if frames.dtype != np.uint8 or frames.shape != shape:
        raise refusal(f"the engine takes uint8 {shape}, not {frames.dtype} {frames.shape}")


def check_frames(frames: Sequence[Frames], batch: int, shape: Shape) -> None:
    """Raises EngineError for anything but 1 to `batch` frames, uint8 of that shape each."""
    if not 0 < len(frames) <= batch or any(frame.shape != shape or frame.dtype != np.uint8 for frame in frames):
        raise refusal(f"the engine takes 1 to {batch} frames of uint8 {shape}")


def check_depth(under_way: int, depth: int) -> None:
    if under_way >= depth:
        raise refusal(f"{under_way} of {depth} batches are under way and were not collected")


def refusal(message: str) -> EngineError:
    return EngineError(message, code="engine_run")


def closed() -> EngineError:
    return refusal("the engine is closed")


def nothing_submitted() -> EngineError:
    return refusal("no batch was submitted")
