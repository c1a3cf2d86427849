"""From the scales of some tensors to those of their neighbours, through operators that say what one is. Pure.

A Q/DQ network has scales where its pairs stand; implicit INT8 (a DLA before TensorRT 10.8) wants one for every tensor.
What follows without measuring:

* operators that only move numbers have one scale before and behind; a ReLU's result needs no more than its argument,
  and its argument no more than its result, for what is cut off there is cut off by the ReLU or by the next Q;
* a Concat's result has the largest of its arguments', an argument that of the result;
* an average needs no more than what is averaged;
* Sigmoid, Softmax, Tanh and Clip with constant bounds say themselves how far they go.

A tensor that several operators read gets the largest scale that any of them implies, and none where one implies none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from edgeagent.engine.graft import PREFIX
from edgeagent.engine.scales import LEVELS

MOVERS = frozenset(
    {
        "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GatherElements", "Identity", "MaxPool",
        "Pad", "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
BACKWARDS = MOVERS | {"Relu"}
ONWARDS = MOVERS | {"Relu", "LeakyRelu", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean"}
UP_TO_ONE = frozenset({"HardSigmoid", "Sigmoid", "Softmax", "Tanh"})


def spread_scales(network: onnx.ModelProto, scales: Mapping[str, float]) -> dict[str, float]:
    """The scales with all that follow from them, in the graph's order; given ones stay as they are."""
    known = dict(scales)
    constants = {tensor.name: tensor for tensor in network.graph.initializer}
    before = -1
    while len(known) != before:  # each round carries scales as far as they go in one direction
        before = len(known)
        for node in network.graph.node:
            _carry_on(node, known, constants)
        _carry_back(network, known, constants)
    return {name: known[name] for name in _in_order(network, known)}


def tensors_without_scale(network: onnx.ModelProto, scales: Mapping[str, float]) -> list[str]:
    """The float activations of the body, and the image it takes, that have no scale, in the graph's order."""
    values = (*network.graph.value_info, *network.graph.output)
    floats = {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    names = [name for node in network.graph.node for name in node.output if not node.name.startswith(PREFIX)]
    read = [name for node in network.graph.node if not node.name.startswith(PREFIX) for name in node.input]
    images = [name for name in dict.fromkeys(read) if name.startswith(PREFIX)]
    return [name for name in (*images, *names) if name in floats and name not in scales]


def _carry_on(node: onnx.NodeProto, known: dict[str, float], constants: Mapping[str, onnx.TensorProto]) -> None:
    """From a node's arguments to its results."""
    scale = _bound(node, constants)
    if scale is None and node.op_type in ONWARDS:
        given = [known.get(name) for name in _data(node) if name not in constants]
        if given and None not in given and not _adds_constants(node, constants):
            scale = max(value for value in given if value is not None)
    if scale is not None:
        for name in node.output:
            if name:
                known.setdefault(name, scale)


def _bound(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> float | None:
    """The scale that the operator itself sets for its result."""
    if node.op_type in UP_TO_ONE:
        return 1.0 / LEVELS
    if node.op_type == "Clip" and len(node.input) == 3 and all(name in constants for name in node.input[1:]):
        ends = [abs(float(numpy_helper.to_array(constants[name]).reshape(-1)[0])) for name in node.input[1:]]
        return max(ends) / LEVELS if 0 < max(ends) < np.inf else None
    return None


def _adds_constants(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether values from outside come into the result: a constant joined on, or a padding other than 0."""
    if node.op_type == "Concat":
        return any(name in constants for name in node.input)
    return node.op_type == "Pad" and len(node.input) > 2 and bool(node.input[2])


def _carry_back(network: onnx.ModelProto, known: dict[str, float], constants: Mapping[str, onnx.TensorProto]) -> None:
    """From results to arguments that nothing is known of yet."""
    implied: dict[str, list[float | None]] = {output.name: [None] for output in network.graph.output}
    for node in reversed(network.graph.node):
        for name in node.output:
            wanted = implied.get(name)
            if name not in known and wanted and None not in wanted:
                known[name] = max(value for value in wanted if value is not None)
        scale = _of_results(node, known) if node.op_type in BACKWARDS else None
        data = set(_data(node)) - set(constants)
        for name in node.input:
            implied.setdefault(name, []).append(scale if name in data else None)


def _of_results(node: onnx.NodeProto, known: Mapping[str, float]) -> float | None:
    scales = [known.get(name) for name in node.output if name]
    return None if None in scales else max(scale for scale in scales if scale is not None)


def _data(node: onnx.NodeProto) -> list[str]:
    """The arguments whose numbers end up in the result."""
    names = list(node.input)
    return names if node.op_type == "Concat" else names[:1]


def _in_order(network: onnx.ModelProto, known: Mapping[str, float]) -> list[str]:
    inputs = [value.name for value in network.graph.input]
    names = dict.fromkeys([*inputs, *(name for node in network.graph.node for name in node.output), *known])
    return [name for name in names if name in known]
