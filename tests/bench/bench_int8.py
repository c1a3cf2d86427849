"""What INT8 costs the sample model, and where its scales come from: `python tests/bench/bench_int8.py WHAT [scenes]`.

    forms    both Q/DQ forms against FP32, and the plain network that the signed form translates to
    ranges   lowest and highest value against ONNX Runtime's entropy and percentile calibrators
    frames   frames at fixed times against frames chosen by content, on a belt that moves and on one that is empty first

mAP50 is against the ground truth of held-out scenes; agreement, IoU and score difference are against FP32 on the
demo's camera between 100 and 175 s. Last line: JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.own_qdq import translate_qdq
from edgeagent.engine.quantise import insert_scales, quantise, tensors_to_measure
from edgeagent.engine.spread import SpreadChooser, describe
from edgeagent.inference.session import open_session
from edgeagent.simulate.sample_model.pictures import HELD_OUT
from edgeagent.simulate.scenes import ConveyorStream, draw_scene
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox, map_to_source
from edgeagent.vision.nms import select_detections
from edgeagent.vision.scoring import Detected, agreement, mean_average_precision_50

WIDTH, HEIGHT, FPS, COUNT, STEP_S = 640, 480, 30, 64, 0.06
SURE = 0.35
BUNDLE = load_bundle("sample:conveyor")
SIZE = BUNDLE.spec.input
NETWORK = graft_bundle(BUNDLE)
STREAM = ConveyorStream(WIDTH, HEIGHT, float(FPS), 1)
Frame = np.ndarray


def seen(image: Frame) -> Frame:
    out = np.empty((SIZE.height, SIZE.width, 3), np.uint8)
    apply_letterbox(image, fit_letterbox(WIDTH, HEIGHT, SIZE.width, SIZE.height), out)
    return out


def moving(at_s: float) -> Frame:
    return seen(STREAM.frame(round(at_s * FPS))[0])


class EmptyFirst:
    """The belt without parts for eight seconds, with sensor noise, and then as it is."""

    def __init__(self) -> None:
        self._empty = np.median(np.stack([STREAM.frame(k * 45)[0] for k in range(41)]), axis=0)
        self._rng = np.random.default_rng(5)

    def __call__(self, at_s: float) -> Frame:
        if at_s >= 8:
            return moving(at_s)
        return seen(np.clip(self._empty + self._rng.normal(0, 3, self._empty.shape), 0, 255).astype(np.uint8))


def at_fixed_times(camera: Callable[[float], Frame], start_s: float = 0) -> list[Frame]:
    return [camera(start_s + number * STEP_S) for number in range(COUNT)]


def chosen(camera: Callable[[float], Frame], looks: int, start_s: float = 0) -> tuple[list[Frame], float]:
    """The frames kept, and the seconds that it took."""
    chooser, kept, number = SpreadChooser(COUNT, looks), {}, 0
    while not chooser.settled:
        frame = camera(start_s + number * STEP_S)
        verdict = chooser.offer(describe(frame))
        if verdict.keep:
            kept[len(kept) if verdict.replaces is None else verdict.replaces] = frame
        number += 1
    return list(kept.values()), number * STEP_S


def spread_of(frames: list[Frame]) -> float:
    chooser = SpreadChooser(len(frames))
    for frame in frames:
        chooser.offer(describe(frame))
    return chooser.spread


def int8(frames: list[Frame], form: str = "signed") -> onnx.ModelProto:
    return quantise(NETWORK, frames, 2, lambda percent: None, form)


def forms() -> dict[str, onnx.ModelProto]:
    frames = at_fixed_times(moving)
    signed = int8(frames)
    plain, _ = translate_qdq(signed)
    return {"signed": signed, "unsigned": int8(frames, "unsigned"), "translated": plain}


def ranges() -> dict[str, onnx.ModelProto]:
    from onnxruntime.quantization.calibrate import HistogramCollector

    names = tensors_to_measure(NETWORK)
    watched = onnx.ModelProto()
    watched.CopyFrom(NETWORK)
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString())
    collectors = {
        "entropy": HistogramCollector("entropy", False, 128, 128, 99.999, "same"),
        "percentile": HistogramCollector("percentile", False, 2048, 128, 99.999, "same"),
    }
    lows, highs = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for frame in at_fixed_times(moving):
        values = session.run(names, {"frames": frame[None]})
        lows = np.minimum(lows, [value.min() for value in values])
        highs = np.maximum(highs, [value.max() for value in values])
        for collector in collectors.values():
            collector.collect({name: [value] for name, value in zip(names, values, strict=True)})
    found = {"lowest and highest": dict(zip(names, zip(lows, highs, strict=True), strict=True))}
    found |= {name: collector.compute_collection_result() for name, collector in collectors.items()}
    return {
        method: insert_scales(NETWORK, {name: (np.float32(got[name][0]), np.float32(got[name][1])) for name in names})
        for method, got in found.items()
    }


def frames() -> dict[str, onnx.ModelProto]:
    models = {}
    for name, camera in (("moving", moving), ("empty first", EmptyFirst())):
        sets = {f"{name}, fixed {COUNT * STEP_S:.0f} s": at_fixed_times(camera)}
        for looks in (1, 2, 4):
            kept, seconds = chosen(camera, looks)
            sets[f"{name}, chosen {looks}x {seconds:.0f} s"] = kept
        for label, pictures in sets.items():
            for form in ("signed", "unsigned"):
                models[f"{label}, {form}, spread {spread_of(pictures):.2f}"] = int8(pictures, form)
    return models


def look(session: object, frame: Frame) -> Detected:
    found = select_detections(session.run(frame[None])[0], min_score=0.01, iou=0.6, limit=100)
    boxes = map_to_source(found.boxes, fit_letterbox(WIDTH, HEIGHT, SIZE.width, SIZE.height))
    return boxes, found.scores, found.class_ids


def sure(found: Detected) -> Detected:
    kept = found[1] >= SURE
    return found[0][kept], found[1][kept], found[2][kept]


def measure(models: dict[str, onnx.ModelProto], scenes: int) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    drawn = [draw_scene(np.random.default_rng([HELD_OUT, number]), WIDTH, HEIGHT) for number in range(scenes)]
    truth = [(boxes, classes) for _, boxes, classes in drawn]
    camera = [moving(100 + number * 0.5) for number in range(150)]
    reference: list[Detected] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, model in {"fp32": NETWORK, **models}.items():
            onnx.save(model, str(Path(folder, "model")))
            session = open_session("onnxruntime", Path(folder, "model"), 2)
            held_out = [look(session, seen(image)) for image, _, _ in drawn]
            live = [look(session, frame) for frame in camera]
            reference = reference or [sure(found) for found in live]
            alike = agreement([sure(found) for found in live], reference)
            figures[name] = {
                "map50": round(mean_average_precision_50(held_out, truth).mean, 4),
                "agreement": round(mean_average_precision_50(live, [(b, c) for b, _, c in reference]).mean, 4),
                "iou": round(alike.mean_iou, 4),
                "score_difference": round(alike.mean_score_difference, 4),
            }
            print(f"{name:50} " + "  ".join(f"{key} {value:.4f}" for key, value in figures[name].items()), flush=True)
    return figures


def main() -> int:
    kinds = {"forms": forms, "ranges": ranges, "frames": frames}
    if len(sys.argv) < 2 or sys.argv[1] not in kinds:
        print(__doc__)
        return 2
    print(json.dumps(measure(kinds[sys.argv[1]](), int(sys.argv[2]) if len(sys.argv) > 2 else 300)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
