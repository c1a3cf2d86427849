"""A network in half precision, lifted to float32: the numbers stay, the container grows.

Grafts, calibration and the reference all speak float32, and each backend goes down to FP16 by itself where that is
wanted. So weights, casts and declared types of float16 become float32 once, here.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

HALF, FULL = TensorProto.FLOAT16, TensorProto.FLOAT
TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type")


def lift_to_float32(model: onnx.ModelProto) -> bool:
    """Turn every float16 of a model without control flow into float32. Whether there was any."""
    graph = model.graph
    values = [value for value in (*graph.input, *graph.output) if value.type.tensor_type.elem_type == HALF]
    tensors = [tensor for tensor in graph.initializer if tensor.data_type == HALF]
    attributes = [a for node in graph.node for a in node.attribute if _is_half(a)]
    for value in values:
        value.type.tensor_type.elem_type = FULL
    for tensor in tensors:
        _lift(tensor)
    for attribute in attributes:
        if attribute.type == AttributeProto.TENSOR:
            _lift(attribute.t)
        else:
            attribute.i = FULL
    if values or tensors or attributes:
        del graph.value_info[:]
    return bool(values or tensors or attributes)


def _is_half(attribute: onnx.AttributeProto) -> bool:
    if attribute.type == AttributeProto.TENSOR:
        return bool(attribute.t.data_type == HALF)
    return bool(attribute.name in TYPE_ATTRIBUTES and attribute.type == AttributeProto.INT and attribute.i == HALF)


def _lift(tensor: onnx.TensorProto) -> None:
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
