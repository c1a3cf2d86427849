"""Frames to measure with: the synthetic camera's, in the engine's size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

Frames = npt.NDArray[np.uint8]
SOURCE = (640, 480)
STEP = 9  # frames of the camera between two of ours


def drawn_frames(count: int, width: int, height: int, seed: int = 5) -> Frames:
    """uint8 (count, height, width, 3) BGR, letterboxed."""
    stream = ConveyorStream(*SOURCE, 30.0, seed)
    frames = np.empty((count, height, width, 3), np.uint8)
    box = fit_letterbox(*SOURCE, width, height)
    for number, frame in enumerate(frames):
        apply_letterbox(stream.frame(STEP * number)[0], box, frame)
    return frames
