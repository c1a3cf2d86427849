"""Where the scales of a calibrated engine come from, as the build child hands them to its backend."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from engine_kit import Frames, Net, noise_frames, write_bundle

from edgeagent.engine.build import maker
from edgeagent.engine.build.backend import BackendJob, BackendOutcome
from edgeagent.engine.build.messages import BuilderWish, BuildStart, CalibrationWish
from edgeagent.engine.build.prepared import Prepared, prepare
from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.key import EngineWish
from edgeagent.engine.ranges import extreme_scales
from edgeagent.engine.scale_flow import tensors_without_scale
from edgeagent.engine.scales import parse_cache
from edgeagent.engine.store import EngineStore
from edgeagent.engine.variant import Variant
from edgeagent.engine.wish import wish_for
from edgeagent.errors import EngineError

FRAMES = noise_frames(6, 64, 64)
NET = Net(width=64, height=64, strides=(4, 8), classes=4)
TENSORRT = {"tensorrt": "10.3.0"}
Ranges = Literal["extremes", "entropy"]


class Report:
    """What the maker tells, kept."""

    throttled = memory_start_mb = memory_least_mb = None
    disturbed = False
    rest: Any = None

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def tell(self, phase: str, percent: float, text: str) -> None:
        self.told.append((phase, text))

    def pause(self, seconds: float) -> None: ...


class Backend:
    """Keeps its job and hands back the job's scales; the build ends behind it."""

    name = "tensorrt"

    def __init__(self) -> None:
        self.jobs: list[BackendJob] = []

    def build(self, job: BackendJob, watcher: object) -> BackendOutcome:
        self.jobs.append(job)
        job.plan.write_bytes(b"plan")
        return BackendOutcome(calibration_cache=job.calibration_cache or b"TRT-100300-EntropyCalibration2\n")


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    made = Backend()
    monkeypatch.setattr(maker, "open_backend", lambda name: made)

    def refuse(*_: Any) -> None:
        raise EngineError("the proof is another test's", code="engine_disagrees")

    monkeypatch.setattr(maker.Maker, "prove", refuse)
    return made


def build(folder: Path, bundle: ModelBundle, ranges: Ranges, variant: Variant, frames: list[Frames]) -> Report:
    start = BuildStart(
        model=str(bundle.onnx_path), precision=variant.precision, quantisation=variant.quantisation,
        placement=variant.placement, backend="tensorrt", fingerprint=TENSORRT,
        builder=BuilderWish(calibration_ranges=ranges), store=str(folder / "engines"), threads=1, min_agreement=0.9,
        calibration=CalibrationWish(folder=str(folder / "set"), frames=len(frames), holdout=0, interval_s=0),
    )  # fmt: skip
    network: Future[Prepared] = Future()
    network.set_result(prepare(bundle, variant.quantisation, 1))
    report = Report()
    found: Any = SimpleNamespace(to_calibrate=lambda: frames, record=SimpleNamespace(digest="frames", spread=None))
    one: Any = report
    with pytest.raises(EngineError, match="another test's"):
        maker.Maker(start, EngineStore(folder / "engines"), one, bundle, time.monotonic()).make(
            wish(bundle, variant), network, found
        )
    return report


def wish(bundle: ModelBundle, variant: Variant) -> EngineWish:
    return wish_for(bundle, variant, calibration_digest="frames", backend="tensorrt", fingerprint=TENSORRT)


CALIBRATED = Variant("int8", "calibrator", "dla")


def test_they_cover_all_that_the_frames_gave(tmp_path: Path, backend: Backend) -> None:
    bundle = write_bundle(tmp_path / "bundle", NET)
    report = build(tmp_path, bundle, "extremes", CALIBRATED, FRAMES)
    (job,) = backend.jobs
    grafted = prepare(bundle, "calibrator", 1).grafted
    expected = extreme_scales(grafted, FRAMES, 1, lambda percent: None)
    assert job.calibration_cache is not None and len(job.pictures) == len(FRAMES)
    cache = parse_cache(job.calibration_cache)
    assert (cache.version, cache.algorithm) == ("100300", "EntropyCalibration2")
    assert cache.scales == pytest.approx(expected, rel=1e-6)
    assert set(expected) == set(tensors_without_scale(grafted, {}))
    assert ("calibrating", "measuring INT8 ranges") in report.told


def test_they_are_kept_for_another_placement(tmp_path: Path, backend: Backend) -> None:
    bundle = write_bundle(tmp_path / "bundle", NET)
    build(tmp_path, bundle, "extremes", CALIBRATED, FRAMES)
    report = build(tmp_path, bundle, "extremes", Variant("int8", "calibrator", "gpu"), FRAMES)
    first, second = backend.jobs
    assert second.calibration_cache == first.calibration_cache
    assert "calibrating" not in [phase for phase, _ in report.told], "nothing was measured again"


def test_tensorrt_measures_where_entropy_is_asked_for(tmp_path: Path, backend: Backend) -> None:
    bundle = write_bundle(tmp_path / "bundle", NET)
    build(tmp_path, bundle, "extremes", CALIBRATED, FRAMES)
    build(tmp_path, bundle, "entropy", CALIBRATED, FRAMES)
    assert backend.jobs[1].calibration_cache is None and len(backend.jobs[1].pictures) == len(FRAMES)


def test_other_forms_measure_nothing(tmp_path: Path, backend: Backend) -> None:
    bundle = write_bundle(tmp_path / "bundle", NET)
    build(tmp_path, bundle, "extremes", Variant("fp16", "none", "gpu"), FRAMES)
    assert backend.jobs[0].calibration_cache is None and not backend.jobs[0].pictures


def test_what_never_was_anything_but_zero_is_named_with_zero(tmp_path: Path) -> None:
    grafted = prepare(write_bundle(tmp_path / "bundle", NET), "calibrator", 1).grafted
    black = [np.zeros((64, 64, 3), np.uint8)]
    scales = extreme_scales(grafted, black, 1, lambda percent: None)
    assert scales["edgeagent/image"] == 0 and set(scales) == set(tensors_without_scale(grafted, {}))
