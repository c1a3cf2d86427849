"""`edgeagent bench accuracy`: the sample model against ground truth, as the engine that a device would run.

The FP32 form is the grafted network; the INT8 form is made by the build's own quantiser from the frames that the demo's
camera shows. Both are scored on held-out scenes, whose seeds no training ever used, with boxes mapped back to source
pixels as the infer child does it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeagent.engine.bundle import InputSpec, ModelBundle, load_bundle
from edgeagent.inference.session import InferenceSession, open_session
from edgeagent.simulate.sample_model.pictures import HELD_OUT
from edgeagent.simulate.scenes import CLASSES, ConveyorStream, draw_scene
from edgeagent.vision.letterbox import Letterbox, apply_letterbox, fit_letterbox, map_to_source
from edgeagent.vision.nms import select_detections
from edgeagent.vision.scoring import Detected, Precision, Truth, mean_average_precision_50

Image = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 640, 480
CALIBRATION_FRAMES = 64
CALIBRATION_STEP = 3  # frames of the 30 fps camera between two calibration frames
LOWEST_SCORE = 0.01
IOU = 0.6


def measure_accuracy(scenes: int) -> dict[str, object]:
    """mAP50 of both forms on `scenes` held-out scenes, and the median milliseconds a frame on one thread."""
    bundle = load_bundle("sample:conveyor")
    truth: list[Truth] = []
    found: dict[str, list[Detected]] = {"fp32": [], "int8": []}
    times: dict[str, list[float]] = {"fp32": [], "int8": []}
    with tempfile.TemporaryDirectory() as folder:
        sessions = _sessions(bundle, Path(folder))
        for number in range(scenes):
            image, boxes, class_ids = draw_scene(np.random.default_rng([HELD_OUT, number]), WIDTH, HEIGHT)
            truth.append((boxes, class_ids))
            frame, box = _letterboxed(image, bundle.spec.input)
            for name, session in sessions.items():
                started = time.perf_counter()
                found[name].append(_look(session, frame, box))
                times[name].append((time.perf_counter() - started) * 1000)
            _tell(number + 1, scenes)
    scores = {name: mean_average_precision_50(detected, truth) for name, detected in found.items()}
    return _figures(scenes, scores, times)


def _sessions(bundle: ModelBundle, folder: Path) -> dict[str, InferenceSession]:
    import onnx

    from edgeagent.engine.graft import graft_bundle
    from edgeagent.engine.quantise import activations_for, quantise

    network = graft_bundle(bundle)
    frames = calibration_frames(bundle.spec.input)
    onnx.save(network, str(folder / "fp32"))
    plan = quantise(network, frames, 1, lambda percent: None, activations_for("onnxruntime"))
    onnx.save(plan, str(folder / "int8"))
    return {name: open_session("onnxruntime", folder / name, 1) for name in ("fp32", "int8")}


def calibration_frames(size: InputSpec) -> list[Image]:
    """What the demo's camera shows in its first seconds, letterboxed: uint8 (H, W, 3) BGR."""
    stream = ConveyorStream(WIDTH, HEIGHT, 30.0, 1)
    return [_letterboxed(stream.frame(k * CALIBRATION_STEP)[0], size)[0] for k in range(CALIBRATION_FRAMES)]


def _letterboxed(image: Image, size: InputSpec) -> tuple[Image, Letterbox]:
    box = fit_letterbox(image.shape[1], image.shape[0], size.width, size.height)
    out = np.empty((size.height, size.width, 3), np.uint8)
    apply_letterbox(image, box, out)
    return out, box


def _look(session: InferenceSession, frame: Image, box: Letterbox) -> Detected:
    candidates = session.run(frame[None])[0]
    detections = select_detections(candidates, min_score=LOWEST_SCORE, iou=IOU, limit=100)
    return map_to_source(detections.boxes, box), detections.scores, detections.class_ids


def _tell(done: int, scenes: int) -> None:
    if sys.stderr.isatty() and (done % 10 == 0 or done == scenes):
        sys.stderr.write(f"\r{done} of {scenes} scenes" + ("\n" if done == scenes else ""))


def _figures(scenes: int, scores: dict[str, Precision], times: dict[str, list[float]]) -> dict[str, object]:
    rounded: Callable[[float], float] = lambda value: round(float(value), 4)  # noqa: E731
    figures: dict[str, object] = {"scenes": scenes}
    for name, score in scores.items():
        figures[f"map50_{name}"] = rounded(score.mean)
    figures["map50_lost_by_int8"] = rounded(scores["fp32"].mean - scores["int8"].mean)
    for class_id, label in enumerate(CLASSES):
        for name, score in scores.items():
            figures[f"ap50_{name}_{label}"] = rounded(score.by_class.get(class_id, float("nan")))
    for name, taken in times.items():
        figures[f"median_ms_{name}"] = round(sorted(taken)[len(taken) // 2], 2)
    return figures
