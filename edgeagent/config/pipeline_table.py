"""The tables [pipelines.ID]: a camera's frames through a model, what becomes of what is found, and what it gives up in
the heat. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from edgeagent.config.kinds import Id, Placement, Shed, Table
from edgeagent.config.region_table import EXAMPLE, RegionSettings, checked_regions
from edgeagent.thermal.steps import DEFAULT, DEFAULT_CRITICAL, Step, ladder_texts, parse_ladder

ClassName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ClassScore = Annotated[float, Field(ge=0, le=1, examples=[0.6])]
RegionList = Annotated[tuple[RegionSettings, ...], Field(strict=False, max_length=32), AfterValidator(checked_regions)]


class PipelineSettings(Table):
    """One pipeline: a camera's frames through a model."""

    camera: Id = Field(description="The camera whose frames are used: an id under cameras.", examples=["belt"])
    model: Id = Field(description="The model that looks at them: an id under models.", examples=["parts"])
    min_score: float = Field(default=0.35, ge=0, le=1, description="Detections that score lower are dropped.")
    class_min_score: dict[ClassName, ClassScore] = Field(
        default_factory=dict,
        description="What a detection of a class must score instead of min_score, by class name.",
        examples=[{"bolt": 0.6}],
    )
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
    results: Literal["all", "change"] = Field(
        default="all",
        description="all: a result for every frame that is looked at; change: only when there is something new to say, "
        "and one every heartbeat_s.",
    )
    change_moved: float = Field(
        default=0.2,
        gt=0,
        le=10,
        description="With results on change: a thing that moved or grew by more than this share of its size (the "
        "square root of its area) is news; so is one that comes, goes or enters another region.",
    )
    heartbeat_s: float = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        description="With results on change: seconds after which a result comes though nothing is new.",
    )
    tracking: bool = Field(
        default=False,
        description="true gives each thing a number that it keeps from frame to frame (ByteTrack). Needs the extra "
        "tracking.",
    )
    track_low_score: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="With tracking: a detection that scores lower than it should, but not less than this, counts where "
        "it continues a thing that is in view.",
    )
    track_lost_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="With tracking: a thing that was out of sight for longer gets a new number when it comes back.",
    )
    regions: RegionList = Field(
        default=(),
        description="Parts of the picture that count, or that do not; none: all of it counts.",
        examples=[[{"name": "lane-1", "kind": "include", "polygon": EXAMPLE}]],
    )
    region_point: Literal["centre", "foot"] = Field(
        default="centre",
        description="Which point of a box counts for regions: its centre, or its foot, the middle of its lower side.",
    )
    region_names: bool = Field(
        default=False, description="true: results say for each detection which of the regions to include it lies in."
    )
    snapshots: Literal["off", "plain", "drawn"] = Field(
        default="off",
        description="A JPEG over MQTT of a frame in which something comes into view, plain or with the detections "
        "drawn on it.",
    )
    snapshot_interval_s: float = Field(
        default=60.0, ge=1, le=86_400, description="Seconds between two snapshots, at least."
    )
    placement: Placement | None = Field(
        default=None,
        description="What computes this pipeline's network, in place of engines.placement: so GPU and DLA cores can be "
        "at work at the same time.",
        examples=["dla1"],
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
