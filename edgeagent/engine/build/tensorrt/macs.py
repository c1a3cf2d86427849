"""Multiply-adds of a network's nodes, counted from its ONNX. What else a node computes is small beside them."""

from __future__ import annotations

import math

import onnx
from onnx import shape_inference

Shapes = dict[str, tuple[int, ...]]


def count_macs(model: onnx.ModelProto) -> dict[str, int]:
    """Multiply-adds a frame by node name, of convolutions and matrix products; nodes of unknown shape are left out. An
    open number of frames counts as one."""
    shapes = _shapes(shape_inference.infer_shapes(model))
    batch = _batch(model)
    found = {}
    for node in model.graph.node:
        macs = _macs(node, shapes)
        if macs:
            found[node.name] = macs // batch
    return found


def _batch(model: onnx.ModelProto) -> int:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return max(1, int(dims[0].dim_value)) if dims else 1


def _shapes(model: onnx.ModelProto) -> Shapes:
    graph = model.graph
    shapes = {
        value.name: tuple(1 if dim.dim_param else int(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes.update({tensor.name: tuple(tensor.dims) for tensor in graph.initializer})
    return shapes


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """0 for a node that multiplies no matrices, or whose shapes are unknown."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    first, weights, made = (shapes.get(name, ()) for name in (*node.input[:2], node.output[0]))
    if not (first and weights and made):
        return 0
    if node.op_type == "Conv":  # weights (out, in / groups, kernel ...)
        return math.prod(made) * math.prod(weights[1:])
    if node.op_type == "ConvTranspose":  # weights (in, out / groups, kernel ...)
        return math.prod(first) * math.prod(weights[1:])
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(made) * (first[-2] if turned else first[-1])
