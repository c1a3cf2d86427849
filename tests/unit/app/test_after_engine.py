"""From a pipeline's settings to what the infer child does after the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.app.after_engine import after_engine, check_tracking, import_lap, lap_fault
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.errors import ConfigError
from edgeagent.inference.messages import AfterEngine, OnChange, RegionPart, SnapshotWish, Tracking

HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def settings(**values: object) -> PipelineSettings:
    return PipelineSettings.model_validate({"camera": "belt", "model": "parts", **values})


def test_by_default_nothing_is_done() -> None:
    assert after_engine(settings()) == AfterEngine()


def test_every_setting_arrives() -> None:
    wanted = settings(
        class_min_score={"bolt": 0.6},
        tracking=True,
        track_low_score=0.2,
        track_lost_s=3.0,
        regions=[{"name": "left", "polygon": HALF}, {"name": "hole", "kind": "exclude", "polygon": HALF}],
        region_point="foot",
        region_names=True,
        results="change",
        change_moved=0.3,
        heartbeat_s=5.0,
        snapshots="drawn",
        snapshot_interval_s=30.0,
    )
    corners = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    after = after_engine(wanted)
    assert after == AfterEngine(
        class_min_score={"bolt": 0.6},
        tracking=Tracking(low_score=0.2, lost_s=3.0),
        regions=(
            RegionPart(name="left", include=True, corners=corners),
            RegionPart(name="hole", include=False, corners=corners),
        ),
        region_point="foot",
        region_names=True,
        change=OnChange(moved=0.3, heartbeat_s=5.0),
        snapshot=SnapshotWish(drawn=True, interval_s=30.0),
    )
    assert AfterEngine.model_validate_json(after.model_dump_json()) == after


def test_tracking_without_its_solver_is_refused_with_a_mend() -> None:
    check_tracking("p", settings(), fault=lambda: "is not installed")
    check_tracking("p", settings(tracking=True), fault=lambda: "")
    with pytest.raises(ConfigError, match="lap is not installed") as caught:
        check_tracking("p", settings(tracking=True), fault=lambda: "is not installed")
    assert caught.value.error_code == "tracking_extra" and "edgeagent[tracking]" in caught.value.mend


def test_a_solver_that_is_there_and_cannot_be_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was built for another numpy."""
    (tmp_path / "lap.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    import_lap.cache_clear()
    assert lap_fault() == "does not work: ImportError: numpy.core.multiarray failed to import"
    (tmp_path / "lap.py").write_text("")
    assert lap_fault() == "", "mended, and looked at again"
    import_lap.cache_clear()
