"""What the tests on a real GPU share. No tests in here.

They need `tensorrt`, `pycuda` and a GPU, and skip with the reason elsewhere. What they measure goes as JSON lines to
the file that EDGEAGENT_GPU_REPORT names; docs/gpu-lab.md tells how they were run and what came out.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

ROOT = Path(__file__).parents[2]
for room in (Path(__file__).parent, ROOT / "tests/unit/engine"):
    sys.path.append(str(room))

from yolov8n import HELD_OUT, camera, write_yolov8n  # noqa: E402

from edgeagent.engine.build.backend import BackendJob, BackendOutcome, BuilderOptions  # noqa: E402
from edgeagent.engine.build.compare import compare  # noqa: E402
from edgeagent.engine.bundle import load_bundle  # noqa: E402
from edgeagent.engine.graft import graft_bundle  # noqa: E402
from edgeagent.engine.manifest import Agreement  # noqa: E402
from edgeagent.engine.quantise import quantise  # noqa: E402
from edgeagent.engine.ranges import extreme_scales  # noqa: E402
from edgeagent.engine.scales import CalibrationCache, cache_version_line, write_cache  # noqa: E402
from edgeagent.engine.variant import Variant  # noqa: E402
from edgeagent.inference.session import open_session  # noqa: E402
from edgeagent.simulate.scenes import draw_scene  # noqa: E402

FP32, FP16 = Variant("fp32", "none", "gpu"), Variant("fp16", "none", "gpu")
CALIBRATED, QDQ = Variant("int8", "calibrator", "gpu"), Variant("int8", "qdq", "gpu")
FORMS = {"fp32": FP32, "fp16": FP16, "calibrated": CALIBRATED, "entropy": CALIBRATED, "qdq": QDQ}
"""`calibrated` has the scales that edgeagent measures, `entropy` those of TensorRT's own calibrator."""
CALIBRATION_PICTURES = int(os.environ.get("EDGEAGENT_GPU_PICTURES", "64"))


def require_gpu() -> None:
    """Skip, with the reason, where there is no TensorRT or no GPU."""
    for module in ("tensorrt", "pycuda"):
        pytest.importorskip(module, reason=f"{module} is not installed: nothing to run on", exc_type=ImportError)
    from edgeagent.errors import EngineError
    from edgeagent.inference.cuda import open_gpu

    try:
        open_gpu()
    except EngineError as error:
        pytest.skip(f"no GPU: {error.message}")


def pictures(count: int, side: int, seed: int) -> list[np.ndarray]:
    """uint8 (side, side, 3) BGR pictures of the synthetic belt; the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [draw_scene(rng, side, side)[0] for _ in range(count)]


@dataclass(frozen=True)
class Subject:
    """A model with both its networks on disk, and pictures. `measured`: the network that scales are measured on, where
    `plain` is one for several frames."""

    name: str
    plain: Path
    qdq: Path
    to_calibrate: list[np.ndarray]
    held_out: list[np.ndarray]
    measured: Path | None = None

    def network(self, form: str) -> Path:
        return self.qdq if form == "qdq" else self.plain


def prepare_conveyor(folder: Path) -> Subject:
    return prepare("conveyor", "sample:conveyor", folder, pictures(CALIBRATION_PICTURES, 320, 1), pictures(24, 320, 2))


def prepare_yolov8n(folder: Path) -> Subject:
    to_calibrate = camera(range(CALIBRATION_PICTURES))
    return prepare("yolov8n", str(write_yolov8n(folder / "bundle")), folder, to_calibrate, camera(HELD_OUT))


def prepare(name: str, where: str, folder: Path, shown: list[np.ndarray], held_out: list[np.ndarray]) -> Subject:
    """Graft the bundle at `where`, make its Q/DQ form."""
    grafted = graft_bundle(load_bundle(where))
    onnx.save(grafted, str(folder / f"{name}.onnx"))
    onnx.save(quantise(grafted, shown, 4, lambda percent: None), str(folder / f"{name}-qdq.onnx"))
    return Subject(name, folder / f"{name}.onnx", folder / f"{name}-qdq.onnx", shown, held_out)


@dataclass
class Listener:
    """A watcher that keeps what it hears, with the seconds since it began."""

    words: list[tuple[float, str, float, str]] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    def tell(self, phase: str, percent: float, text: str) -> None:
        word = (round(time.monotonic() - self.began_s, 2), phase, round(percent, 1), text)
        if not self.words or self.words[-1][1:] != word[1:]:
            self.words.append(word)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Made:
    plan: Path
    outcome: BackendOutcome
    seconds: float
    words: list[tuple[float, str, float, str]]


def level() -> int:
    """The builder's optimisation level: EDGEAGENT_GPU_LEVEL, 3 without it. Lower ones take a fraction of the time."""
    return int(os.environ.get("EDGEAGENT_GPU_LEVEL", "3"))


def make(subject: Subject, form: str, plan: Path, batch: int = 1) -> Made:
    """Build a form of the subject with our backend, in this process; or take it from EDGEAGENT_GPU_PLANS, if a run
    before this one left it there."""
    kept = os.environ.get("EDGEAGENT_GPU_PLANS")
    store = Path(kept) / f"{subject.name}-{form}-{level()}.pickle" if kept else None
    if store is not None and store.exists():
        data, outcome, seconds, words = pickle.loads(store.read_bytes())
        plan.write_bytes(data)
        return Made(plan, outcome, seconds, words)
    made = _make(subject, form, plan, batch)
    if store is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_bytes(pickle.dumps((plan.read_bytes(), made.outcome, made.seconds, made.words)))
    return made


def _make(subject: Subject, form: str, plan: Path, batch: int) -> Made:
    from edgeagent.engine.build.tensorrt.backend import TensorRtBackend

    heard = Listener()
    job = BackendJob(
        network=subject.network(form),
        variant=FORMS[form],
        plan=plan,
        batch=batch,
        pictures=subject.to_calibrate if form in ("calibrated", "entropy") else (),
        calibration_cache=scales_of(subject) if form == "calibrated" else None,
        options=BuilderOptions(threads=4, optimization_level=level()),
    )
    outcome = TensorRtBackend().build(job, heard)
    seconds = time.monotonic() - heard.began_s
    report(
        "build",
        model=subject.name,
        form=form,
        seconds=round(seconds, 1),
        bytes=plan.stat().st_size,
        phases=first_of_each_phase(heard.words),
        notes=outcome.notes,
        layers=len(outcome.layers),
        kinds=count([layer.precision for layer in outcome.layers]),
        parts=sum(len(layer.parts) for layer in outcome.layers),
        macs=sum(layer.macs or 0 for layer in outcome.layers),
        workspace_mb=outcome.workspace_mb,
        level=outcome.optimization_level,
        errors_in_log=outcome.log.count(b"[E]"),
    )
    return Made(plan, outcome, seconds, heard.words)


def scales_of(subject: Subject) -> bytes:
    """A calibration cache as the build child makes one."""
    import tensorrt

    scales = extreme_scales(
        onnx.load(str(subject.measured or subject.plain)), subject.to_calibrate, 4, lambda percent: None
    )
    return write_cache(CalibrationCache(cache_version_line(tensorrt.__version__), scales=scales))


def first_of_each_phase(words: Sequence[tuple[float, str, float, str]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for second, phase, _, _ in words:
        found.setdefault(phase, second)
    return found


def count(names: Sequence[str]) -> dict[str, int]:
    return {name: list(names).count(name) for name in sorted(set(names))}


def judged(subject: Subject, plan: Path, form: str, backend: str = "tensorrt") -> Agreement:
    """The plan against the FP32 network on ONNX Runtime, as the acceptance gate does it, on held-out pictures."""
    found = []
    for runs_on, path in ((backend, plan), ("onnxruntime", subject.plain)):
        session = open_session(runs_on, path, 8)
        times, results = [], []
        for picture in [subject.held_out[0], *subject.held_out]:
            started = time.perf_counter()
            results.extend(session.run(picture[None]))
            times.append((time.perf_counter() - started) * 1000)
        session.close()
        found.append((results[1:], float(np.median(times[1:]))))
    (engine, engine_ms), (reference, reference_ms) = found
    verdict = compare(engine, reference, engine_ms, reference_ms)
    report("agreement", model=subject.name, form=form, **verdict.model_dump())
    return verdict


def report(what: str, **facts: Any) -> None:
    line = json.dumps({"what": what, **facts})
    print(line, flush=True)
    path = os.environ.get("EDGEAGENT_GPU_REPORT")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
