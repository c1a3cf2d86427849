"""In which form a network is wanted: number format, how INT8 comes about, and what computes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["int8", "fp16", "fp32"]
Quantisation = Literal["none", "calibrator", "qdq", "model"]
Placement = Literal["cpu", "gpu", "dla"]
PLACES = {"cpu": "the CPU", "gpu": "the GPU", "dla": "a DLA"}
WAYS = {"none": "", "calibrator": ", calibrated", "qdq": ", Q/DQ", "model": ", the model's own Q/DQ"}


@dataclass(frozen=True)
class Variant:
    """One form of an engine.

    `quantisation` tells where INT8 scales come from: `calibrator` (a calibration cache: 8.6 to 10.x), `qdq` (Q/DQ
    nodes that our quantiser puts in), `model` (the user's model brought its own); `none` for floating point.
    `placement` names the kind of core: an engine for a DLA runs on any of a device's DLA cores. `batch`: how many
    frames it takes at once, at most; a DLA always computes as many.
    """

    precision: Precision
    quantisation: Quantisation
    placement: Placement
    batch: int = 1

    @property
    def fixed_batch(self) -> bool:
        """Whether the engine computes its whole batch always, however few frames there are."""
        return self.placement == "dla"

    def line(self) -> str:
        """The variant for a person: `INT8 on a DLA, calibrated`, `FP16 on the GPU, 4 frames at once`."""
        frames = f", {self.batch} frames at once" if self.batch > 1 else ""
        return f"{self.precision.upper()} on {PLACES[self.placement]}{WAYS[self.quantisation]}{frames}"
