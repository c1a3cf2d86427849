"""The tables [pipelines.ID]: a camera's frames through a model, and what it gives up in the heat. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgeagent.config.kinds import Id, Shed, Table
from edgeagent.thermal.steps import DEFAULT, DEFAULT_CRITICAL, Step, ladder_texts, parse_ladder


class PipelineSettings(Table):
    """One pipeline: a camera's frames through a model."""

    camera: Id = Field(description="The camera whose frames are used: an id under cameras.", examples=["belt"])
    model: Id = Field(description="The model that looks at them: an id under models.", examples=["parts"])
    min_score: float = Field(default=0.35, ge=0, le=1, description="Detections that score lower are dropped.")
    iou: float = Field(
        default=0.5, ge=0, le=1, description="Two boxes of a class that overlap more than this count as one."
    )
    max_detections: int = Field(
        default=100, ge=1, le=300, description="At most this many detections a frame, best first."
    )
    classes: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = Field(
        default=None, description="Class names to keep; not set: all classes.", examples=[["bolt", "nut"]]
    )
    max_results_per_s: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="At most this many results a second; not set: one a frame.",
        examples=[10.0],
    )
    priority: int = Field(
        default=0,
        ge=-100,
        le=100,
        description="When the board must do less, pipelines with a lower number give up first; equals share.",
    )
    critical: bool = Field(
        default=False,
        description="true: this pipeline gives up something only after every other one has, and never stops.",
    )
    shed: Shed | None = Field(
        default=None,
        description="What to give up when the board must do less, step by step, the first one first: rate 50%, rate "
        "5/s, placement dla, model ID, power INTENT, pause (see docs/shedding.md); [] gives up nothing; not set: "
        f"{', '.join(DEFAULT)}, or {', '.join(DEFAULT_CRITICAL)} for a critical pipeline.",
        examples=[["rate 50%", "rate 10%", "pause"]],
    )
    enabled: bool = Field(default=True, description="false keeps the pipeline in the file but does not run it.")

    @property
    def ladder(self) -> tuple[Step, ...]:
        """The steps that this pipeline takes when the board must do less."""
        return parse_ladder(ladder_texts(self.shed, critical=self.critical), critical=self.critical)
