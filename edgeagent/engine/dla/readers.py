"""What each ONNX operator is to TensorRT: the kind of layer, what its rules ask for, its multiply-adds and weights.

Attributes by kind, as rules_*.py read them:

    convolution, deconvolution   kernel, stride, dilation, padding (top, left, bottom, right), groups, channels (in,
                                 out), weights_constant; output_padding
    fully connected              channels (in, out), weights_constant, plain_product
    pooling                      kernel, stride, dilation, padding, padding_counts
    activation                   alpha; low, high (None: no constant bound)
    concatenation, softmax       axis
    resize                       mode, coordinates, rounding, scales (None: not constant), sized, antialias
    slice                        axes that are cut, steps, open
    shuffle                      order (of a Transpose)
    reduce                       axes
    lrn                          size
    comparison, cast             cast_behind, behind_comparison
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper

from edgeagent.engine.dla.graph import Graph
from edgeagent.engine.dla.layer import Kind, Shape, Value
from edgeagent.engine.dla.macs import convolution_macs, deconvolution_macs, product_macs
from edgeagent.engine.dla.table import ACTIVATIONS, ARITHMETIC_SINCE, COMPARISON_SINCE, UNARY_SINCE

POOLS = frozenset({"MaxPool", "AveragePool"})
REDUCTIONS = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "GlobalMaxPool", "GlobalAveragePool"})
SHUFFLES = frozenset({"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"})
QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})
Attributes = dict[str, Value]


@dataclass
class Read:
    """What a node comes to."""

    kind: Kind
    attributes: Attributes = field(default_factory=dict)
    macs: int = 0
    weights: int = 0


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _numbers(found: Mapping[str, object], name: str, otherwise: Shape) -> Shape:
    value = found.get(name)
    return tuple(int(number) for number in value) if isinstance(value, list) else otherwise


def _whole(found: Mapping[str, object], name: str, otherwise: int) -> int:
    value = found.get(name, otherwise)
    return int(value) if isinstance(value, int | float) else otherwise


def _word(found: Mapping[str, object], name: str, otherwise: str) -> str:
    value = found.get(name, otherwise)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _other(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("other")


def _steps(node: onnx.NodeProto, source: Shape, result: Shape, kernel: Shape, turned: bool = False) -> Attributes:
    """Kernel, stride, dilation and padding; ONNX's SAME is made into numbers. `turned`: of a deconvolution."""
    found = _attributes(node)
    ones = (1,) * len(kernel)
    stride, dilation = _numbers(found, "strides", ones), _numbers(found, "dilations", ones)
    padding = _numbers(found, "pads", (0,) * (2 * len(kernel)))
    auto = _word(found, "auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        small, large = (source, result) if turned else (result, source)
        reach = [(size - 1) * gap + 1 for size, gap in zip(kernel, dilation, strict=True)]
        totals = [
            max((few - 1) * step + far - many, 0)
            for few, many, step, far in zip(small[2:], large[2:], stride, reach, strict=True)
        ]
        less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
        padding = (*less, *more) if auto == "SAME_UPPER" else (*more, *less)
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


def _convolution(node: onnx.NodeProto, graph: Graph) -> Read:
    source, result = graph.shape(node.input[0]), graph.shape(node.output[0])
    weights = graph.shape(node.input[1])
    attributes = _steps(node, source, result, weights[2:])
    attributes |= {
        "groups": _whole(_attributes(node), "group", 1),
        "channels": (source[1], weights[0]),
        "weights_constant": graph.is_constant(node, 1),
    }
    return Read("convolution", attributes, convolution_macs(result, weights), graph.size(node, 1))


def _deconvolution(node: onnx.NodeProto, graph: Graph) -> Read:
    source, result = graph.shape(node.input[0]), graph.shape(node.output[0])
    weights = graph.shape(node.input[1])
    attributes = _steps(node, source, result, weights[2:], turned=True)
    attributes |= {
        "groups": _whole(_attributes(node), "group", 1),
        "channels": (source[1], result[1]),
        "weights_constant": graph.is_constant(node, 1),
        "output_padding": _numbers(_attributes(node), "output_padding", ()),
    }
    return Read("deconvolution", attributes, deconvolution_macs(source, weights), graph.size(node, 1))


def _product(node: onnx.NodeProto, graph: Graph) -> Read:
    """Gemm and MatMul. The length of the sum is the last side of what stands left, the first of a turned one."""
    left, right, result = graph.shape(node.input[0]), graph.shape(node.input[1]), graph.shape(node.output[0])
    turned = bool(_whole(_attributes(node), "transA", 0))
    length = left[0] if turned else left[-1]
    attributes: Attributes = {
        "channels": (length, result[-1] if len(right) > 1 else 1),
        "weights_constant": graph.is_constant(node, 1),
        "plain_product": not turned and len(left) > 1 and math.prod(right[:-2]) == 1 and len(right) > 1,
    }
    return Read("fully connected", attributes, product_macs(result, length), graph.size(node, 1))


def _pooling(node: onnx.NodeProto, graph: Graph) -> Read:
    found = _attributes(node)
    kernel = _numbers(found, "kernel_shape", ())
    attributes = _steps(node, graph.shape(node.input[0]), graph.shape(node.output[0]), kernel)
    attributes["padding_counts"] = bool(_whole(found, "count_include_pad", 0))
    return Read("pooling", attributes)


def _activation(node: onnx.NodeProto, graph: Graph) -> Read:
    alpha = _attributes(node).get("alpha", 0.01)
    attributes: Attributes = {"alpha": float(alpha) if isinstance(alpha, int | float) else 0.01}
    if node.op_type == "Clip":
        low, high = graph.numbers(node, 1), graph.numbers(node, 2)
        attributes = {"low": low[0] if low else None, "high": high[0] if high else None}
    return Read("activation", attributes)


def _arithmetic(node: onnx.NodeProto, graph: Graph) -> Read:
    """With a constant on the right a sum, a difference and a product are what TensorRT calls a scale."""
    constant = [graph.is_constant(node, index) for index in range(len(node.input))]
    moved = constant in ([True, False], [False, True]) and node.op_type in ("Add", "Mul")
    scale = moved or (node.op_type == "Sub" and constant == [False, True])
    return Read("scale" if scale else "elementwise", weights=graph.size(node, 0))


def _normalisation(node: onnx.NodeProto, graph: Graph) -> Read:
    if not all(graph.is_constant(node, index) for index in range(1, 5)):
        return Read("other")
    return Read("scale", weights=2 * graph.shape(node.input[0])[1])


def _axis(node: onnx.NodeProto, graph: Graph, otherwise: int) -> int:
    return _whole(_attributes(node), "axis", otherwise) % max(len(graph.shape(node.input[0])), 1)


def _concatenation(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("concatenation", {"axis": _axis(node, graph, 1)})


def _softmax(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("softmax", {"axis": _axis(node, graph, -1)})


def _resize(node: onnx.NodeProto, graph: Graph) -> Read:
    found = _attributes(node)
    rank = len(graph.shape(node.input[0]))
    scales = graph.numbers(node, 2)
    axes = [axis % rank for axis in _numbers(found, "axes", tuple(range(rank)))]
    whole: tuple[float, ...] | None = None
    if scales is not None and len(scales) == len(axes):
        by_axis = dict(zip(axes, scales, strict=True))
        whole = tuple(float(by_axis.get(axis, 1)) for axis in range(rank))
    attributes: Attributes = {
        "mode": _word(found, "mode", "nearest"),
        "coordinates": _word(found, "coordinate_transformation_mode", "half_pixel"),
        "rounding": _word(found, "nearest_mode", "round_prefer_floor"),
        "scales": whole,
        "sized": len(node.input) > 3 and bool(node.input[3]),
        "antialias": bool(_whole(found, "antialias", 0)),
    }
    return Read("resize", attributes)


def _slice(node: onnx.NodeProto, graph: Graph) -> Read:
    source, result = graph.shape(node.input[0]), graph.shape(node.output[0])
    cut = tuple(axis for axis, (one, other) in enumerate(zip(source, result, strict=True)) if one != other)
    steps = graph.numbers(node, 4)
    still = all(graph.is_constant(node, index) for index in range(1, len(node.input)) if node.input[index])
    return Read("slice", {"axes": cut, "steps": tuple(int(step) for step in steps or ()), "open": not still})


def _split(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("slice", {"axes": (_axis(node, graph, 0),), "steps": (), "open": False})


def _shuffle(node: onnx.NodeProto, graph: Graph) -> Read:
    order: Shape = ()
    if node.op_type == "Transpose":
        rank = len(graph.shape(node.input[0]))
        order = _numbers(_attributes(node), "perm", tuple(reversed(range(rank))))
    return Read("shuffle", {"order": order})


def _reduce(node: onnx.NodeProto, graph: Graph) -> Read:
    rank = len(graph.shape(node.input[0]))
    if node.op_type.startswith("Global"):
        return Read("reduce", {"axes": tuple(range(2, rank))})
    told = graph.numbers(node, 1)
    axes = tuple(int(axis) for axis in told) if told else _numbers(_attributes(node), "axes", tuple(range(rank)))
    return Read("reduce", {"axes": tuple(axis % rank for axis in axes)})


def _lrn(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("lrn", {"size": _whole(_attributes(node), "size", 0)})


def _prelu(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("prelu", weights=graph.size(node, 1))


def _unary(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("unary")


def _comparison(node: onnx.NodeProto, graph: Graph) -> Read:
    users = graph.users.get(node.output[0], [])
    return Read("comparison", {"cast_behind": bool(users) and all(user.op_type == "Cast" for user in users)})


def _cast(node: onnx.NodeProto, graph: Graph) -> Read:
    maker = graph.makers.get(graph.resolve(node.input[0]))
    return Read("cast", {"behind_comparison": maker is not None and maker.op_type in COMPARISON_SINCE})


def _quantise(node: onnx.NodeProto, graph: Graph) -> Read:
    return Read("quantise")


READERS: dict[str, Callable[[onnx.NodeProto, Graph], Read]] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "Gemm": _product,
    "MatMul": _product,
    "BatchNormalization": _normalisation,
    "Concat": _concatenation,
    "Resize": _resize,
    "Softmax": _softmax,
    "Slice": _slice,
    "Split": _split,
    "LRN": _lrn,
    "PRelu": _prelu,
    "Cast": _cast,
    **dict.fromkeys(POOLS, _pooling),
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(ARITHMETIC_SINCE, _arithmetic),
    **dict.fromkeys(SHUFFLES, _shuffle),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(UNARY_SINCE, _unary),
    **dict.fromkeys(COMPARISON_SINCE, _comparison),
    **dict.fromkeys(QDQ, _quantise),
}


def read_node(node: onnx.NodeProto, graph: Graph) -> Read:
    """What TensorRT would make of the node. Raises ModelError `model_shapes`."""
    return READERS.get(node.op_type, _other)(node, graph)
