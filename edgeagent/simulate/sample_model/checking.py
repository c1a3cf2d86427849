"""How good the exported sample model is: mAP50 with ONNX Runtime, in FP32 and in INT8, and its time on one core."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeagent.simulate.sample_model.pictures import Pictures
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.decode import decode_yolov8
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox, map_to_source
from edgeagent.vision.nms import select_detections
from edgeagent.vision.scoring import Detected, Precision, Truth, mean_average_precision_50

MIN_SCORE: Final = 0.01
OVERLAP: Final = 0.6
_QUANTISED: Final = ["Conv", "Relu", "MaxPool", "Resize", "Concat"]

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one picture on one core."""

    median_ms: float
    p99_ms: float


class Detector:
    """An ONNX model of this family in ONNX Runtime on one core."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, image: Image) -> NDArray[np.float32]:
        """Raw output (1, 4 + C, N) for a letterboxed picture uint8 (SIDE, SIDE, 3) BGR."""
        return np.asarray(self._session.run(None, {"images": network_input(image)})[0], np.float32)

    def detect(self, image: Image) -> Detected:
        """Boxes xyxy in input pixels, scores and class ids for a letterboxed picture."""
        found = select_detections(decode_yolov8(self.run(image)), min_score=MIN_SCORE, iou=OVERLAP, limit=100)
        return found.boxes, found.scores, found.class_ids

    def latency(self, image: Image, rounds: int = 200) -> Latency:
        tensor = network_input(image)
        took = []
        for _ in range(rounds):
            before = time.perf_counter()
            self._session.run(None, {"images": tensor})
            took.append(1e3 * (time.perf_counter() - before))
        return Latency(float(np.median(took)), float(np.percentile(took, 99)))


def network_input(image: Image) -> NDArray[np.float32]:
    """uint8 (SIDE, SIDE, 3) BGR to float32 (1, 3, SIDE, SIDE) RGB 0..1."""
    rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)[None])
    return np.asarray(np.multiply(rgb, 1.0 / 255.0, dtype=np.float32))


def truth_of(rows: NDArray[np.float32]) -> Truth:
    """`Pictures.truth` of one picture as boxes and class ids."""
    used = rows[rows[:, 4] >= 0]
    return used[:, :4], used[:, 4].astype(np.int64)


def score_pictures(path: Path, pictures: Pictures) -> Precision:
    detector = Detector(path)
    detected = [detector.detect(image) for image in pictures.images]
    return mean_average_precision_50(detected, [truth_of(rows) for rows in pictures.truth])


def score_streams(path: Path, seeds: Iterable[int], frames: range) -> Precision:
    """mAP50 on camera streams (640x480), boxes mapped back to the frame: the way the running service sees them."""
    detector, detected, truth = Detector(path), [], []
    box = fit_letterbox(640, 480, 320, 320)
    boxed = np.empty((320, 320, 3), np.uint8)
    for seed in seeds:
        stream = ConveyorStream(640, 480, 30.0, seed)
        for index in frames:
            image, boxes, class_ids = stream.frame(index)
            apply_letterbox(image, box, boxed)
            found, scores, found_ids = detector.detect(boxed)
            detected.append((map_to_source(np.asarray(found, np.float32), box), scores, found_ids))
            truth.append((boxes, class_ids))
    return mean_average_precision_50(detected, truth)


class _Frames:
    """Calibration frames for ONNX Runtime's quantiser."""

    def __init__(self, images: Iterable[Image]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._left, None)
        return None if image is None else {"images": network_input(image)}


def quantise(path: Path, out: Path, images: Iterable[Image], *, signed: bool) -> None:
    """Write an INT8 Q/DQ form of the model: weights symmetric and per channel, all but the `decode/` nodes.

    `signed`: activations symmetric around zero, the form that TensorRT takes. Otherwise from zero upwards, the form
    that ONNX Runtime is fast with on x86: there a ReLU disappears into the convolution before it.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(_Frames, CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        pass

    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises through the root logger
    names = [node.name for node in onnx.load(str(path)).graph.node]
    quantize_static(
        str(path),
        str(out),
        Reader(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_QUANTISED,
        per_channel=True,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[name for name in names if name.startswith("decode/") or name == "output0"],
        extra_options={"ActivationSymmetric": signed, "WeightSymmetric": True},
    )


def single_core() -> None:
    """Keep OpenCV to one core as well, so that times mean what they say."""
    cv2.setNumThreads(1)
