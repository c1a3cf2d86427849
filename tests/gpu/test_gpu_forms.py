"""Every form of an engine on a real GPU, against ONNX Runtime: the sample model, and a network of YOLOv8n's shape."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from gpu_kit import FORMS, Made, Subject, judged, make, prepare_conveyor, prepare_yolov8n, report, require_gpu

from edgeagent.engine.scales import parse_cache
from edgeagent.inference.session import open_session

MACS = 186_846_400  # of the sample model
pytestmark = pytest.mark.timeout(900)
# What an engine must reach against the FP32 network on ONNX Runtime: (agreement, mean IoU, score difference).
BOUNDS = {
    ("conveyor", "fp32"): (0.99, 0.98, 0.005),
    ("conveyor", "fp16"): (0.98, 0.97, 0.01),
    ("conveyor", "calibrated"): (0.90, 0.85, 0.05),
    ("conveyor", "entropy"): (0.90, 0.85, 0.05),
    ("conveyor", "qdq"): (0.90, 0.85, 0.05),
    ("yolov8n", "fp32"): (0.98, 0.97, 0.005),
    ("yolov8n", "fp16"): (0.95, 0.95, 0.05),
}
# Eight bits cost the random YOLOv8n much, and how much is a matter of the pictures: ONNX Runtime loses as much with the
# Q/DQ network. So its INT8 engines must come as close to FP32 as ONNX Runtime does, but for this.
LEFT_TO_CHANCE = 0.10


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Subject]:
    require_gpu()
    folder = tmp_path_factory.mktemp("subjects")
    return {"conveyor": prepare_conveyor(folder), "yolov8n": prepare_yolov8n(folder)}


@pytest.fixture(scope="module")
def made(subjects: dict[str, Subject], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Made]:
    return {}


def once(made: dict[tuple[str, str], Made], subjects: dict[str, Subject], model: str, form: str, folder: Path) -> Made:
    if (model, form) not in made:
        made[model, form] = make(subjects[model], form, folder / f"{model}-{form}.plan")
    return made[model, form]


def as_onnx_runtime(subject: Subject) -> tuple[float, float, float]:
    lost = judged(subject, subject.qdq, "qdq on ONNX Runtime", "onnxruntime")
    return (
        lost.value - LEFT_TO_CHANCE,
        (lost.mean_iou or 0) - LEFT_TO_CHANCE,
        (lost.mean_score_difference or 0) + LEFT_TO_CHANCE,
    )


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("model", ["conveyor", "yolov8n"])
def test_it_says_what_onnx_runtime_says(
    model: str,
    form: str,
    subjects: dict[str, Subject],
    made: dict[tuple[str, str], Made],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if (model, form) in (("yolov8n", "fp32"), ("yolov8n", "entropy")):
        pytest.skip("minutes of building for a form that the sample model shows as well")
    engine = once(made, subjects, model, form, tmp_path_factory.mktemp("plans"))
    found = judged(subjects[model], engine.plan, form)
    agreement, iou, difference = BOUNDS.get((model, form)) or as_onnx_runtime(subjects[model])
    assert found.basis == "detections" and found.reference_detections > 50
    assert found.value >= agreement and (found.mean_iou or 0) >= iou
    assert (found.mean_score_difference or 0) <= difference


@pytest.mark.parametrize("form", ["fp16", "calibrated", "entropy", "qdq"])
def test_a_build_tells_how_far_it_is_and_where_its_layers_run(
    form: str, subjects: dict[str, Subject], made: dict[tuple[str, str], Made], tmp_path: Path
) -> None:
    engine = once(made, subjects, "conveyor", form, tmp_path)
    phases = list(dict.fromkeys(phase for _, phase, _, _ in engine.words))
    assert phases == ["preparing", *(["calibrating"] if form == "entropy" else []), "building"]
    for phase in phases:
        percents = [percent for _, name, percent, _ in engine.words if name == phase]
        assert percents == sorted(percents)
    assert max(percent for _, phase, percent, _ in engine.words if phase == "building") > 30
    assert sum(layer.macs or 0 for layer in engine.outcome.layers) == MACS
    layers = engine.outcome.layers
    assert {layer.device for layer in layers} == {"gpu"} and any(layer.parts for layer in layers)
    assert engine.outcome.timing_cache and engine.outcome.log
    if form != "fp16":
        assert sum(layer.precision == "int8" for layer in layers) >= 5


def test_grafts_stay_out_of_eight_bits(
    subjects: dict[str, Subject], made: dict[tuple[str, str], Made], tmp_path: Path
) -> None:
    engine = once(made, subjects, "conveyor", "calibrated", tmp_path)
    assert engine.outcome.calibration_cache is not None
    scales = parse_cache(engine.outcome.calibration_cache).scales
    assert scales["edgeagent/image"] == pytest.approx(1 / 127, rel=0.02)
    backs = [layer for layer in engine.outcome.layers if any("topk" in part for part in layer.parts)]
    assert all(layer.precision != "int8" for layer in backs)


def test_a_fresh_process_loads_the_plan_and_says_the_same(
    subjects: dict[str, Subject], made: dict[tuple[str, str], Made], tmp_path: Path
) -> None:
    engine, subject = once(made, subjects, "conveyor", "fp16", tmp_path), subjects["conveyor"]
    np.save(tmp_path / "pictures.npy", np.stack(subject.held_out))
    script = [sys.executable, str(Path(__file__).parent / "run_once.py")]
    command = [*script, str(engine.plan), str(tmp_path / "pictures.npy"), str(tmp_path / "results.npz")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[-1]) == {"ran": len(subject.held_out)}, done.stderr
    session = open_session("tensorrt", engine.plan, 1)
    here = [session.run(picture[None])[0] for picture in subject.held_out]
    session.close()
    there = np.load(tmp_path / "results.npz")
    for index, one in enumerate(here):
        np.testing.assert_array_equal(one.boxes, there["boxes"][index])
        np.testing.assert_array_equal(one.scores, there["scores"][index])
        np.testing.assert_array_equal(one.class_ids, there["classes"][index])
    report("reload", frames=len(here), equal=True)
