"""What computes engines: the processor, the GPU, and up to two DLA cores. Each has a process of its own. Pure."""

from __future__ import annotations

from typing import Final, Literal

from edgeagent.inference.messages import PipelineStart

Accelerator = Literal["cpu", "gpu", "dla0", "dla1"]
ACCELERATORS: Final[tuple[Accelerator, ...]] = ("cpu", "gpu", "dla0", "dla1")
DLA: Final[tuple[Accelerator, ...]] = ("dla0", "dla1")  # by the number of their core


def accelerator_of(start: PipelineStart) -> Accelerator:
    """Where the pipeline's engine runs."""
    if start.dla_core is not None:
        return DLA[start.dla_core]
    return "gpu" if start.backend == "tensorrt" else "cpu"
