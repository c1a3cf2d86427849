"""What a pipeline's settings say about the time after the engine, as the infer child wants it; and what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from edgeagent.app.doctor_children import Asking
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


def lap_fault() -> str:
    """What is wrong with the package lap, as a phrase; "" where nothing is known to be. It is imported in a process of
    its own: it would bring numpy into the agent, and one built for another numpy is there and cannot be imported."""
    if find_spec("lap") is None:
        return "is not installed"
    try:
        import_lap()
    except ImportError as error:
        return f"does not work: {error}"
    return ""


@cache
def import_lap() -> None:
    """Once it has worked it is not tried again. Raises ImportError."""
    if error := Asking("lap").ask().facts.get("error"):
        raise ImportError(error)


def check_tracking(pipeline: str, settings: PipelineSettings, fault: Callable[[], str] = lap_fault) -> None:
    """Raises ConfigError where tracking is wanted and its solver is not there or does not work."""
    if settings.tracking and (wrong := fault()):
        raise ConfigError(
            f"pipelines.{pipeline}.tracking: the package lap {wrong}",
            mend="install.sh brings it; elsewhere: pip install --force-reinstall 'edgeagent[tracking]'; or set "
            "tracking = false",
            code="tracking_extra",
        )
