"""Static INT8 quantisation of a grafted network into Q/DQ form, with ONNX Runtime's quantiser.

Weights are symmetric signed INT8, per channel. Activations come in two forms:

* signed: symmetric, zero point 0, the only form that TensorRT takes. Pairs stand where qdq_places.py says, each
  belongs to one input of one node, and biases stay float: TensorRT refuses a DQ of INT32.
* unsigned: with a zero point, in front of everything that ONNX Runtime's CPU kernels compute in eight bits. In the
  signed form every ReLU stays between convolution and Q there, convolutions run in float, and the engine is slower
  than FP32. Weights keep to seven bits: processors without VNNI add two products of eight bits in sixteen and would
  overflow.

Only the body is quantised (qdq_body.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx

from edgeagent.engine.network import first_line
from edgeagent.engine.qdq_body import float_nodes
from edgeagent.engine.qdq_constants import holds_tensor, with_initializers
from edgeagent.engine.qdq_pairs import keep_pairs
from edgeagent.engine.qdq_places import Places, choose_places, share_ranges
from edgeagent.engine.ranges import RangeMeter, Ranges
from edgeagent.errors import EngineError

__all__ = [
    "QUANTISED",
    "Activations",
    "activations_for",
    "float_nodes",
    "insert_scales",
    "meter",
    "quantise",
    "tensors_to_measure",
]

Frames = npt.NDArray[np.uint8]
QUANTISED = ["Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool", "Resize", "Concat", "Add", "Mul"]
Activations = Literal["signed", "unsigned"]


def activations_for(backend: str) -> Activations:
    """The form that the backend runs best, or at all."""
    return "unsigned" if backend == "onnxruntime" else "signed"


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
    with meter(network, threads, activations) as gauge:
        for index, frame in enumerate(frames):
            progress(100.0 * index / len(frames))
            gauge.show(frame)
        progress(100.0)
        return insert_scales(network, gauge.ranges(), activations)


def meter(network: onnx.ModelProto, threads: int, activations: Activations = "signed") -> RangeMeter:
    """A meter for all tensors that the INT8 form of the network needs a scale for."""
    return RangeMeter(network, tensors_to_measure(network, activations), threads)


def insert_scales(network: onnx.ModelProto, ranges: Ranges, activations: Activations = "signed") -> onnx.ModelProto:
    """The Q/DQ form of the network with scales made from `ranges`. Raises EngineError when the quantiser gives up."""
    model = with_initializers(network)
    if activations == "unsigned":
        return _quantised(model, ranges, [], float_nodes(network), QUANTISED, activations)
    places = choose_places(model, float_nodes(network))
    nodes = list(dict.fromkeys(edge.node for edge in places.edges))
    if not nodes:
        raise EngineError(
            "nothing in the network can be computed in INT8", mend="set engines.precision to fp32", code="quantiser"
        )
    shared = _for_all_inputs(model, places, share_ranges(ranges, places.groups))
    kinds = sorted({node.op_type for node in model.graph.node if node.name in nodes})
    return keep_pairs(_quantised(model, shared, nodes, [], kinds, activations), model, places.edges)


def _for_all_inputs(model: onnx.ModelProto, places: Places, ranges: Ranges) -> Ranges:
    """Ranges for all inputs of the nodes to quantise: the quantiser asks for those too that get no pair in the end."""
    nodes = {edge.node for edge in places.edges}
    paired = {edge.tensor for edge in places.edges}
    inputs = [name for node in model.graph.node if node.name in nodes for name in node.input]
    unmeasured = (np.float32(0), np.float32(1))
    return {**{name: unmeasured for name in inputs if name not in paired}, **ranges}


def _quantised(
    network: onnx.ModelProto, ranges: Ranges, nodes: list[str], excluded: list[str], kinds: list[str], how: Activations
) -> onnx.ModelProto:
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
            how == "unsigned",  # weights of seven bits
            QuantType.QInt8,
            QuantType.QInt8 if how == "signed" else QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, dict(ranges)),
            nodes,
            excluded,
            kinds,
            _options(how, kinds),
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


def _options(activations: Activations, kinds: list[str]) -> dict[str, object]:
    signed = activations == "signed"
    return {
        "ActivationSymmetric": signed,
        "WeightSymmetric": True,
        "AddQDQPairToWeight": signed,
        "QuantizeBias": not signed,
        "DedicatedQDQPair": False,  # keep_pairs parts them
        "ForceQuantizeNoInputCheck": signed,  # else a MaxPool of what nothing else wants in eight bits is left out
        "OpTypesToExcludeOutputQuantization": kinds,
    }


def tensors_to_measure(network: onnx.ModelProto, activations: Activations = "signed") -> list[str]:
    """The activations that get a scale, in the graph's order."""
    names = _float_activations(network)
    if activations == "signed":
        model = with_initializers(network)
        wanted = [edge.tensor for edge in choose_places(model, float_nodes(network)).edges]
    else:
        floats = set(float_nodes(network))
        wanted = [name for node in network.graph.node if node.name not in floats for name in _quantised_inputs(node)]
    return [name for name in dict.fromkeys(wanted) if name in names]


def _quantised_inputs(node: onnx.NodeProto) -> Iterable[str]:
    return node.input if node.op_type in QUANTISED else ()


def _float_activations(network: onnx.ModelProto) -> set[str]:
    """Tensors of type float32 that are computed."""
    graph = network.graph
    values = (*graph.value_info, *graph.output)
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if holds_tensor(node)}
    return {v.name for v in values if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT} - constants
