"""Static INT8 quantisation of a grafted network into Q/DQ form, with ONNX Runtime's quantiser.

Symmetric signed INT8, weights per channel: the form that TensorRT takes too. Only the body is quantised: the nodes
behind the last convolution decode boxes and pick candidates, and eight bits would move every box by pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from edgeagent.engine.graft import FRAMES, PREFIX
from edgeagent.errors import EngineError

Frames = npt.NDArray[np.uint8]
HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
QUANTISED = ["Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool", "Resize", "Concat", "Add", "Mul"]
OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "DedicatedQDQPair": False,
    "OpTypesToExcludeOutputQuantization": QUANTISED,
}


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay in floating point: both grafts, and all from which no heavy node is reached."""
    feeds = _consumers(model)
    reaching: dict[str, bool] = {}
    for node in reversed(model.graph.node):  # topological order, so consumers come first here
        below = [feed for output in node.output for feed in feeds.get(output, [])]
        reaching[node.name] = any(feed.op_type in HEAVY or reaching[feed.name] for feed in below)
    return [
        node.name
        for node in model.graph.node
        if node.name.startswith(PREFIX) or not (reaching[node.name] or node.op_type in HEAVY)
    ]


def _consumers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    feeds: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            feeds.setdefault(name, []).append(node)
    return feeds


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every unnamed node a name: the quantiser excludes by name."""
    taken = {node.name for node in model.graph.node}
    for index, node in enumerate(model.graph.node):
        if not node.name:
            name = f"node_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)


class _Reader:
    """Hands the calibration frames to the quantiser one by one and tells how far it is."""

    def __init__(self, frames: list[Frames], progress: Callable[[float], None]) -> None:
        self._left: Iterator[tuple[int, Frames]] = iter(enumerate(frames))
        self._count = len(frames)
        self._progress = progress

    def get_next(self) -> dict[str, Frames] | None:
        index, frame = next(self._left, (self._count, None))
        self._progress(100.0 * index / self._count)
        return None if frame is None else {FRAMES: frame[None]}

    def set_range(self, start_index: int, end_index: int) -> None:
        raise NotImplementedError


def quantise(model_path: Path, out: Path, frames: list[Frames], progress: Callable[[float], None]) -> None:
    """Write the INT8 Q/DQ form of the grafted float model at `model_path` to `out`.

    `frames`: uint8 (H, W, 3) BGR, letterboxed, as the engine will see them. Raises EngineError when there are none
    or when they are all of one colour: scales from such frames would be nonsense.
    """
    check_calibration(frames)
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    class Reader(_Reader):
        pass

    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises through the root logger
    model = onnx.load(str(model_path))
    name_nodes(model)
    onnx.save(model, str(model_path))
    quantize_static(
        str(model_path),
        str(out),
        Reader(frames, progress),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=float_nodes(model),
        calibrate_method=CalibrationMethod.MinMax,
        extra_options=OPTIONS,
    )


def check_calibration(frames: list[Frames]) -> None:
    """Refuse calibration data that cannot give scales."""
    if not frames:
        raise EngineError("there are no calibration frames", mend="check that the camera runs", code="no_calibration")
    if max(float(frame.std()) for frame in frames) < 2.0:
        raise EngineError(
            f"all {len(frames)} calibration frames are of one colour",
            mend="uncover the camera, switch the light on, then build again",
            code="no_calibration",
            retry=True,
        )
