"""What a pipeline's settings say about the time after the engine, as the infer child wants it; and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.errors import ConfigError
from edgeagent.inference.messages import AfterEngine, OnChange, RegionPart, SnapshotWish, Tracking


def after_engine(settings: PipelineSettings) -> AfterEngine:
    return AfterEngine(
        class_min_score=dict(settings.class_min_score),
        tracking=Tracking(low_score=settings.track_low_score, lost_s=settings.track_lost_s)
        if settings.tracking
        else None,
        regions=tuple(
            RegionPart(name=one.name, include=one.kind == "include", corners=one.polygon) for one in settings.regions
        ),
        region_point=settings.region_point,
        region_names=settings.region_names,
        change=OnChange(moved=settings.change_moved, heartbeat_s=settings.heartbeat_s)
        if settings.results == "change"
        else None,
        snapshot=SnapshotWish(drawn=settings.snapshots == "drawn", interval_s=settings.snapshot_interval_s)
        if settings.snapshots != "off"
        else None,
    )


def _has_lap() -> bool:
    return find_spec("lap") is not None


def check_tracking(pipeline: str, settings: PipelineSettings, has_lap: Callable[[], bool] = _has_lap) -> None:
    """Raises ConfigError where tracking is wanted and its solver is not installed. (It is looked for, not imported: it
    would bring numpy into the agent.)"""
    if settings.tracking and not has_lap():
        raise ConfigError(
            f"pipelines.{pipeline}.tracking: the package lap is not installed",
            mend="install.sh brings it; elsewhere: pip install 'edgeagent[tracking]'; or set tracking = false",
            code="tracking_extra",
        )
