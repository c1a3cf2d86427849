"""Are our engines as fast as those of a plain TensorRT script? Both measured in turns, on the same GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "unit/engine"))
from engine_kit import noise_frames, write_bundle
from governed import Detector
from gpu_kit import Subject, level, make, prepare, prepare_yolov8n, report, require_gpu

from edgeagent.inference.tensorrt_session import TensorRtSession

HERE = Path(__file__).parent
ROUNDS, RUNS = 60, 50
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    require_gpu()
    prepared = {"yolov8n": prepare_yolov8n, "detector": prepare_detector}
    return cache(lambda name: prepared[name](tmp_path_factory.mktemp(name)))


def prepare_detector(folder: Path) -> Subject:
    """A few convolutions at 640x640: small enough for a build at level 3 to end within a minute on any machine."""
    frames = noise_frames(4, 640, 640)
    bundle = write_bundle(folder / "bundle", Detector(width=640, height=640, strides=(8,)))
    return prepare("detector", str(bundle.onnx_path.parent), folder, frames, frames)


def plain(subject: Subject, form: str, plan: Path, workspace_mb: int, cache: Path | None) -> None:
    """Build the plain one; or take it from EDGEAGENT_GPU_PLANS, if a run before this one left it there."""
    kept = os.environ.get("EDGEAGENT_GPU_PLANS")
    store = Path(kept) / f"plain-{subject.name}-{form}-{level()}" if kept else None
    if store is not None and store.exists():
        plan.write_bytes(store.read_bytes())
        return
    flags = {"fp16": "FP16", "qdq": "INT8,FP16", "calibrated": "INT8,FP16"}[form]
    command = [
        sys.executable,
        str(HERE / "plain_build.py"),
        str(subject.network(form)),
        str(plan),
        str(workspace_mb),
        str(level()),
    ]
    subprocess.run([*command, flags, *([str(cache)] if cache else [])], check=True, timeout=500)
    if store is not None:
        store.write_bytes(plan.read_bytes())


def microseconds(session: TensorRtSession) -> float:
    """The mean of many launches in a row: what the GPU takes for a frame, without copies."""
    started = time.perf_counter()
    session.replay(RUNS)
    return (time.perf_counter() - started) * 1e6 / RUNS


@pytest.mark.parametrize(
    ("model", "form"), [("yolov8n", "fp16"), ("yolov8n", "qdq"), ("yolov8n", "calibrated"), ("detector", "fp16")]
)
def test_ours_is_as_fast_as_a_plain_one(
    model: str, form: str, subjects: Callable[[str], Subject], tmp_path: Path
) -> None:
    subject = subjects(model)
    made = make(subject, form, tmp_path / "ours")
    cache = None
    if made.outcome.calibration_cache:
        cache = tmp_path / "cache"
        cache.write_bytes(fitting(made.outcome.calibration_cache, subject))
    plain(subject, form, tmp_path / "plain", made.outcome.workspace_mb or 0, cache)
    sessions: dict[str, Any] = {name: TensorRtSession(tmp_path / name, graphs=False) for name in ("ours", "plain")}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            times[name].append(microseconds(session))
    whole = [timed(lambda: sessions["ours"].run(subject.held_out[0][None])) for _ in range(300)]
    for session in sessions.values():
        session.close()
    ours, other = (float(np.median(times[name][5:])) for name in ("ours", "plain"))
    report(
        "speed", model=model, form=form, level=level(),
        ours_us=round(ours, 1), plain_us=round(other, 1), ratio=round(ours / other, 4),
        frame_through_session_us=round(float(np.median(whole)), 1), plan_bytes=(tmp_path / "plain").stat().st_size,
    )  # fmt: skip
    assert ours <= other * 1.03


def fitting(cache: bytes, subject: Subject) -> bytes:
    """The scales that our build gives TensorRT: those of the body."""
    import onnx

    from edgeagent.engine.qdq_body import float_nodes
    from edgeagent.engine.scales import CalibrationCache, parse_cache, write_cache

    model = onnx.load(str(subject.plain))
    full = set(float_nodes(model))
    wanted = {name for node in model.graph.node if node.name not in full for name in node.input}
    parsed = parse_cache(cache)
    kept = {name: scale for name, scale in parsed.scales.items() if name in wanted}
    return write_cache(CalibrationCache(parsed.version, parsed.algorithm, kept))


def timed(call: Any) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e6
