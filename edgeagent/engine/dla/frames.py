"""A planned network for several frames at once: the last step before a build, with the check that comes before it.

ONNX Runtime runs the network for that, on the CPU: to be imported by what makes a plan only.
"""

from __future__ import annotations

import os

import onnx

from edgeagent.engine.batching import check_batching, with_batch
from edgeagent.engine.dla.plan import PlannedFrames
from edgeagent.engine.dla.read import Subject
from edgeagent.errors import EngineError


def for_frames(subject: Subject, asked: int, *, on_dla: bool) -> tuple[onnx.ModelProto, PlannedFrames]:
    """The network as it is built where up to `asked` frames shall go through together.

    A DLA takes exactly so many. On the GPU alone one engine takes any number up to that, so the plan is for one frame.
    """
    if asked == 1:
        return subject.model, PlannedFrames()
    if not subject.grafted:
        reason = f"an ONNX file is planned as it is exported, not for {asked} frames at once"
        return subject.model, PlannedFrames(asked=asked, reason=reason)
    try:
        check_batching(subject.model, asked, os.cpu_count() or 1)
        sized = with_batch(subject.model, asked, fixed=True) if on_dla else subject.model
    except EngineError as error:
        return subject.model, PlannedFrames(
            asked=asked, reason=f"one frame at once, instead of {asked}: {error.message}"
        )
    return sized, PlannedFrames(asked, asked)
