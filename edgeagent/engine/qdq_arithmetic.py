"""What Q and DQ nodes make of constants, and how a bad one is told. Pure. Formulas: ONNX, QuantizeLinear and
DequantizeLinear.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgeagent.errors import ModelError

DEFAULT_AXIS = 1
Array = npt.NDArray[Any]
Constants = dict[str, onnx.TensorProto]


def scale_of_node(node: onnx.NodeProto, constants: Constants) -> Array:
    """The node's scale, float32, one or one a channel. Raises ModelError where it means nothing."""
    tensor = constants.get(node.input[1])
    if tensor is None:
        raise bad_node(node, "has a scale that is no constant")
    scale = np.asarray(numpy_helper.to_array(tensor), np.float32)
    if not scale.size or not np.isfinite(scale).all() or not (scale > 0).all():
        raise bad_node(node, "has a scale that is not positive and finite")
    return scale


def quantised(node: onnx.NodeProto, source: onnx.TensorProto, constants: Constants) -> Array:
    """What a Q makes of a constant: value / scale, rounded half to even, plus the zero point, cut off at the ends."""
    values = np.asarray(numpy_helper.to_array(source), np.float32)
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    offset = numpy_helper.to_array(zero) if zero is not None else np.zeros((), np.uint8)
    if offset.dtype.kind not in "iu":
        raise bad_node(node, "does not quantise to whole numbers")
    ends = np.iinfo(offset.dtype)
    levels = np.rint(values / _along(node, scale_of_node(node, constants), values.shape))
    levels += _along(node, offset, values.shape).astype(np.float32)
    return np.asarray(np.clip(levels, ends.min, ends.max).astype(offset.dtype))


def dequantised(node: onnx.NodeProto, stored: onnx.TensorProto, constants: Constants) -> Array:
    """What a DQ makes of a constant: (value - zero point) * scale, with one scale for all or one a channel."""
    values = numpy_helper.to_array(stored)
    scale = _along(node, scale_of_node(node, constants), values.shape)
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    if zero is not None:
        values = values.astype(np.int64) - _along(node, numpy_helper.to_array(zero), values.shape)
    return np.asarray(values.astype(np.float32) * scale, np.float32)


def _along(node: onnx.NodeProto, scale: Array, shape: tuple[int, ...]) -> Array:
    """A scale a channel of a tensor of that shape, so shaped that it meets its channel; a single one as it is."""
    if scale.size == 1:
        return np.asarray(scale.reshape(()))
    axis = axis_of(node)
    if scale.ndim != 1 or not -len(shape) <= axis < len(shape) or shape[axis] != scale.size:
        raise bad_node(node, f"has {scale.size} scales or zero points for a tensor of shape {list(shape)}")
    wide = [1] * len(shape)
    wide[axis] = scale.size
    return scale.reshape(wide)


def axis_of(node: onnx.NodeProto) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), DEFAULT_AXIS)


def bad_node(node: onnx.NodeProto, what: str) -> ModelError:
    return ModelError(
        f"{node.op_type} {node.name or node.output[0]} {what}",
        mend="quantise the model with symmetric signed INT8 (zero point 0), or give the float model",
        code="model_qdq",
    )


def tensor_of(values: Array, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values), name)
