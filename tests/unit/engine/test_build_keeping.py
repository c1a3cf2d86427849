"""What a build leaves for later builds: timings only where nothing disturbed them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from engine_kit import Net, write_bundle

from edgeagent.engine.build.backend import BackendOutcome
from edgeagent.engine.build.maker import Maker
from edgeagent.engine.build.messages import BuildStart, CalibrationWish
from edgeagent.engine.build.records import build_record
from edgeagent.engine.build.rest import StepRest
from edgeagent.engine.store import EngineStore

FINGERPRINT = {"soc": "tegra234", "tensorrt": "10.3.0"}


def start_for(folder: Path, **values: object) -> BuildStart:
    common = {
        "model": str(folder), "precision": "fp16", "quantisation": "none", "placement": "gpu", "backend": "tensorrt",
        "fingerprint": FINGERPRINT, "store": str(folder / "engines"), "threads": 1, "min_agreement": 0.9,
        "calibration": CalibrationWish(folder=str(folder), frames=1, holdout=1, interval_s=0.0),
    }  # fmt: skip
    return BuildStart.model_validate({**common, **values})


def report(**values: object) -> SimpleNamespace:
    common = {
        "disturbed": False, "paced_by": set(), "headroom_least_c": None, "paused_s": 0.0, "throttled": None,
        "memory_start_mb": None, "memory_least_mb": None, "rest": StepRest(),
    }  # fmt: skip
    return SimpleNamespace(**{**common, **values})


@pytest.mark.parametrize("disturbed", [False, True])
def test_timings_of_a_disturbed_build_are_not_kept(tmp_path: Path, disturbed: bool) -> None:
    store = EngineStore(tmp_path / "engines")
    bundle = write_bundle(tmp_path / "model", Net())
    maker = Maker(start_for(tmp_path), store, report(disturbed=disturbed), bundle, 0.0)
    maker._keep_timings(b"timings")
    assert store.load_timing_cache(FINGERPRINT) == (None if disturbed else b"timings")


def test_the_record_tells_how_a_build_was_steered(tmp_path: Path) -> None:
    start = start_for(tmp_path, prepared=("power intent build: fan cool",), cancels=2)
    told = report(paused_s=30.0, paced_by={"steps", "signals"}, headroom_least_c=7.6, disturbed=True)
    record = build_record(start, told, BackendOutcome(), 120.0)
    assert (record.seconds, record.paused_s) == (120.0, 30.0)
    assert record.steering is not None
    assert record.steering.model_dump() == {
        "running_s": 90.0,
        "mean_duty": 0.75,
        "least_headroom_c": 7.6,
        "paced_by": ("signals", "steps"),
        "timings_kept": False,
        "before": ("power intent build: fan cool",),
        "cancels": 2,
    }


def test_a_build_that_nobody_looked_at_says_nothing_of_steering(tmp_path: Path) -> None:
    assert build_record(start_for(tmp_path), report(), BackendOutcome(), 10.0).steering is None
