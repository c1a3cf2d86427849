"""Static INT8 quantisation of a grafted network into Q/DQ form, with ONNX Runtime's quantiser.

Weights are symmetric signed INT8, per channel. Activations come in two forms: symmetric signed, the only one that
TensorRT takes; and unsigned with a zero point, which ONNX Runtime's CPU kernels want. There the signed form keeps every
ReLU between convolution and Q, the convolutions then run in float, and the engine is slower than FP32. The unsigned
form keeps weights to seven bits: processors without VNNI add two products of eight bits in sixteen and would overflow.

Only the body is quantised: the nodes behind the last convolution decode boxes and pick candidates, and eight bits would
move every box by pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx

from edgeagent.engine.graft import PREFIX
from edgeagent.engine.network import first_line
from edgeagent.engine.ranges import RangeMeter, Ranges
from edgeagent.errors import EngineError

Frames = npt.NDArray[np.uint8]
HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
QUANTISED = ["Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool", "Resize", "Concat", "Add", "Mul"]
Activations = Literal["signed", "unsigned"]


def activations_for(backend: str) -> Activations:
    """The form that the backend runs best, or at all."""
    return "unsigned" if backend == "onnxruntime" else "signed"


def _options(activations: Activations) -> dict[str, object]:
    return {
        "ActivationSymmetric": activations == "signed",
        "WeightSymmetric": True,
        "AddQDQPairToWeight": activations == "signed",
        "DedicatedQDQPair": False,
        "OpTypesToExcludeOutputQuantization": QUANTISED,
    }


def quantise(
    network: onnx.ModelProto,
    frames: Sequence[Frames],
    threads: int,
    progress: Callable[[float], None],
    activations: Activations = "signed",
) -> onnx.ModelProto:
    """The INT8 Q/DQ form of a grafted float network; `network` itself stays as it is.

    `frames`: uint8 (H, W, 3) BGR, letterboxed, as the engine will see them; asked for one by one. `progress` is
    called with 0..100. Raises EngineError when there are no frames, ModelError when the network does not run.
    """
    if len(frames) == 0:
        raise EngineError("there are no calibration frames", mend="check that the camera runs", code="no_calibration")
    with meter(network, threads) as gauge:
        for index, frame in enumerate(frames):
            progress(100.0 * index / len(frames))
            gauge.show(frame)
        progress(100.0)
        return insert_scales(network, gauge.ranges(), activations)


def meter(network: onnx.ModelProto, threads: int) -> RangeMeter:
    """A meter for all tensors that the INT8 form of the network needs a scale for."""
    return RangeMeter(network, tensors_to_measure(network), threads)


def insert_scales(network: onnx.ModelProto, ranges: Ranges, activations: Activations = "signed") -> onnx.ModelProto:
    """The Q/DQ form of the network with scales made from `ranges`. Raises EngineError when the quantiser gives up."""
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorsData

    model = onnx.ModelProto()
    model.CopyFrom(network)
    # Says that shapes are known; without it the quantiser takes the model through scratch files to find them.
    onnx.helper.set_model_props(model, {"onnx.infer": "onnxruntime.quant"})
    try:
        quantizer = QDQQuantizer(
            model,
            True,  # weights per channel
            activations == "unsigned",  # weights of seven bits
            QuantType.QInt8,
            QuantType.QInt8 if activations == "signed" else QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, dict(ranges)),
            [],
            float_nodes(network),
            QUANTISED,
            _options(activations),
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    except Exception as error:
        raise EngineError(
            f"the network cannot be brought into INT8: {first_line(error)}",
            mend="set engines.precision to fp32",
            code="quantiser",
        ) from error
    done: onnx.ModelProto = quantizer.model.model
    del done.metadata_props[:]
    return done


def tensors_to_measure(network: onnx.ModelProto) -> list[str]:
    """The activations that flow into the nodes to be quantised, in the graph's order."""
    floats, names = set(float_nodes(network)), _float_activations(network)
    wanted = [name for node in network.graph.node if node.name not in floats for name in _quantised_inputs(node)]
    return [name for name in dict.fromkeys(wanted) if name in names]


def _quantised_inputs(node: onnx.NodeProto) -> Iterable[str]:
    return node.input if node.op_type in QUANTISED else ()


def _float_activations(network: onnx.ModelProto) -> set[str]:
    """Tensors of type float32 that are computed."""
    graph = network.graph
    values = (*graph.value_info, *graph.output)
    constants = {tensor.name for tensor in graph.initializer}
    return {v.name for v in values if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT} - constants


def float_nodes(network: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay in floating point: both grafts, and all from which no heavy node is reached.

    A heavy node that turns a Softmax into the network's result counts as part of the decoding: YOLOv8's boxes are
    the mean of a distribution (its "DFL"), computed by such a convolution. Every node has a name of its own.
    """
    body = [node for node in network.graph.node if not node.name.startswith(PREFIX)]
    heavy = {node.name for node in body if node.op_type in HEAVY}  # the back graft has a MatMul of its own
    heavy -= {node.name for node in _decoders(network, heavy)}
    reaching = _reaching(network, heavy)
    eight_bit = {node.name for node in body if reaching[node.name] or node.name in heavy}
    return [node.name for node in network.graph.node if node.name not in eight_bit]


def _decoders(network: onnx.ModelProto, heavy: set[str]) -> list[onnx.NodeProto]:
    """Heavy nodes with a Softmax, and nothing heavy, between them and the last heavy node before them."""
    reaching = _reaching(network, heavy)
    makers = {output: node for node in network.graph.node for output in node.output}
    soft: dict[str, bool] = {}
    for node in network.graph.node:  # topological order, so what is above comes first here
        above = [makers[name] for name in node.input if name in makers]
        soft[node.name] = any(
            maker.op_type == "Softmax" or (soft[maker.name] and maker.name not in heavy) for maker in above
        )
    return [node for node in network.graph.node if node.name in heavy and soft[node.name] and not reaching[node.name]]


def _reaching(network: onnx.ModelProto, heavy: set[str]) -> dict[str, bool]:
    """Which nodes have a heavy one somewhere below them."""
    feeds: dict[str, list[onnx.NodeProto]] = {}
    for node in network.graph.node:
        for name in node.input:
            feeds.setdefault(name, []).append(node)
    reaching: dict[str, bool] = {}
    for node in reversed(network.graph.node):
        below = [feed for output in node.output for feed in feeds.get(output, [])]
        reaching[node.name] = any(feed.name in heavy or reaching[feed.name] for feed in below)
    return reaching
