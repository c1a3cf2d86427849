"""Between which values a network's inner tensors move: INT8 scales are made from this.

The network is run with a ReduceMin and a ReduceMax on every tensor asked for; two numbers a tensor are kept, however
many frames are shown. ONNX Runtime's own calibrator does the same on all cores, through scratch files, and keeps every
frame's numbers to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgeagent.engine.graft import FRAMES, PREFIX
from edgeagent.engine.network import first_line
from edgeagent.engine.scale_flow import tensors_without_scale
from edgeagent.engine.scales import scale_of
from edgeagent.errors import ModelError

Frames = npt.NDArray[np.uint8]
Ranges = dict[str, tuple[np.float32, np.float32]]


class RangeMeter:
    """Measures the ranges of `tensors` of a grafted network. Raises ModelError when the network does not run."""

    def __init__(self, network: onnx.ModelProto, tensors: Sequence[str], threads: int) -> None:
        self._tensors = list(tensors)
        self._lowest = np.full(len(self._tensors), np.inf, np.float32)
        self._highest = -self._lowest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                _watched(network, self._tensors).SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            self._shape = self._session.get_inputs()[0].shape
            self._run(np.full(self._shape, 114, np.uint8))
        except Exception as error:
            raise ModelError(
                f"the network does not run: {first_line(error)}",
                mend="export the network again; see docs/models.md",
                code="model_does_not_run",
            ) from error

    def _run(self, frames: Frames) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        found = self._session.run(None, {FRAMES: frames})
        inner = np.array(found[len(found) - 2 * len(self._tensors) :], np.float32)
        return inner[0::2], inner[1::2]

    def show(self, frame: Frames) -> None:
        """Take one frame, uint8 (H, W, 3) BGR, into account."""
        lowest, highest = self._run(frame[None])
        self._lowest, self._highest = np.minimum(self._lowest, lowest), np.maximum(self._highest, highest)

    def ranges(self) -> Ranges:
        """Lowest and highest value of each tensor over the frames shown. Raises ModelError where one is not finite."""
        for name, low, high in zip(self._tensors, self._lowest, self._highest, strict=True):
            if not np.isfinite([low, high]).all():
                raise ModelError(
                    f"the network computes {low} to {high} in {name} on the calibration frames",
                    mend="check scale, mean and std in model.toml",
                    code="model_not_finite",
                )
        return dict(zip(self._tensors, zip(self._lowest, self._highest, strict=True), strict=True))

    def __enter__(self) -> RangeMeter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._session


def extreme_scales(
    network: onnx.ModelProto,
    frames: Sequence[Frames],
    threads: int,
    progress: Callable[[float], None],
    tensors: Sequence[str] | None = None,
) -> dict[str, float]:
    """The scale of each of `tensors` (None: all activations of a grafted network's body), from the largest value that
    it had on `frames`, uint8 (H, W, 3) BGR; 0 for what never was anything but 0. `progress` is told percent. Raises
    ModelError like RangeMeter.
    """
    with RangeMeter(network, tensors_without_scale(network, {}) if tensors is None else tensors, threads) as meter:
        for index, frame in enumerate(frames):
            progress(100.0 * index / len(frames))
            meter.show(frame)
        progress(100.0)
        return {name: scale_of(float(low), float(high)) for name, (low, high) in meter.ranges().items()}


def _watched(network: onnx.ModelProto, tensors: list[str]) -> onnx.ModelProto:
    """A copy of the network with a lowest and a highest value of each tensor as further outputs, in that order."""
    watched = onnx.ModelProto()
    watched.CopyFrom(network)
    for index, tensor in enumerate(tensors):
        for op in ("ReduceMin", "ReduceMax"):
            output = f"{PREFIX}{op.lower()}_{index}"
            watched.graph.node.append(helper.make_node(op, [tensor], [output], name=output, keepdims=0))
            watched.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, []))
    return watched
