"""The user's model brings its own Q/DQ nodes: taken as it is where that can be, else as a plain network with scales.

    ONNX Runtime        as it is
    TensorRT, GPU       as it is, but for spellings that its parser refuses (`own_qdq_for`): biases in INT32, and
                        weights stored in eight bits
    DLA before 10.8     refuses Q/DQ: a plain network and the scale of each tensor beside it (`translate_qdq`)

TensorRT computes signed eight bits with zero point 0 only. What is not so is a ModelError with the code `model_qdq`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.qdq_arithmetic import (
    Array,
    Constants,
    axis_of,
    bad_node,
    dequantised,
    quantised,
    scale_of_node,
    tensor_of,
)
from edgeagent.engine.qdq_constants import with_initializers
from edgeagent.engine.scale_flow import MOVERS, spread_scales, tensors_without_scale

Q, DQ = "QuantizeLinear", "DequantizeLinear"
SMALL = (TensorProto.INT8, TensorProto.UINT8)
Frames = npt.NDArray[np.uint8]


def has_qdq(model: onnx.ModelProto) -> bool:
    """Whether the network has Q/DQ nodes."""
    return any(node.op_type in (Q, DQ) for node in model.graph.node)


def own_qdq_for(backend: str, model: onnx.ModelProto) -> onnx.ModelProto:
    """The user's Q/DQ network as the backend takes it; it computes the same. Raises ModelError `model_qdq`."""
    check_own_qdq(model, backend)
    return model if backend == "onnxruntime" else _spelled_for_tensorrt(model)


def check_own_qdq(model: onnx.ModelProto, backend: str) -> None:
    """Raises ModelError `model_qdq` for scales that mean nothing, and for what TensorRT does not compute."""
    whole = with_initializers(model)
    constants = {tensor.name: tensor for tensor in whole.graph.initializer}
    for node in whole.graph.node:
        if node.op_type in (Q, DQ):
            scale = scale_of_node(node, constants)
            if backend != "onnxruntime":
                _check_for_tensorrt(node, scale, constants)
        elif node.op_type == "DynamicQuantizeLinear" and backend != "onnxruntime":
            raise bad_node(node, "measures its scale while it runs, which TensorRT does not")


def _check_for_tensorrt(node: onnx.NodeProto, scale: Array, constants: Constants) -> None:
    stored = constants.get(node.input[0])
    if node.op_type == DQ and stored is not None and stored.data_type == TensorProto.INT32:
        return  # a bias: it becomes a float constant
    zero = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if len(node.input) > 2 and node.input[2] and zero is None:
        raise bad_node(node, "has a zero point that is no constant")
    if zero is not None and numpy_helper.to_array(zero).any():
        raise bad_node(node, "has a zero point other than 0, and TensorRT quantises symmetrically only")
    kind = zero.data_type if zero is not None else _kind_without_zero(node, stored)
    if kind != TensorProto.INT8:
        raise bad_node(node, f"quantises to {TensorProto.DataType.Name(kind)}, and TensorRT takes signed INT8 here")
    if any(attribute.name == "block_size" and attribute.i for attribute in node.attribute):
        raise bad_node(node, "quantises in blocks")
    if scale.size > 1 and node.op_type == Q and node.input[0] not in constants:
        raise bad_node(node, "has a scale a channel on an activation")


def _kind_without_zero(node: onnx.NodeProto, stored: onnx.TensorProto | None) -> int:
    """The type when no zero point gives it: a Q's is UINT8 then, or what opset 21 lets it say."""
    if node.op_type == DQ:
        return int(stored.data_type) if stored is not None else int(TensorProto.INT8)  # its Q is looked at by itself
    said = next((int(a.i) for a in node.attribute if a.name == "output_dtype"), 0)
    return said or int(TensorProto.UINT8)


def _spelled_for_tensorrt(model: onnx.ModelProto) -> onnx.ModelProto:
    """INT32 biases as float constants; weights that are stored in eight bits as float ones with a pair behind them."""
    done = with_initializers(model)
    constants = {tensor.name: tensor for tensor in done.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in done.graph.node:
        stored = constants.get(node.input[0]) if node.op_type == DQ else None
        if stored is None:
            nodes.append(node)
        elif stored.data_type == TensorProto.INT32:
            done.graph.initializer.append(tensor_of(dequantised(node, stored, constants), node.output[0]))
        else:
            nodes += _as_pair(done, node, stored, constants)
    return _with_nodes(done, nodes)


def _as_pair(
    done: onnx.ModelProto, node: onnx.NodeProto, stored: onnx.TensorProto, constants: Constants
) -> list[onnx.NodeProto]:
    """Q and DQ in place of a DQ of stored eight bits. Exact: a multiple of the scale quantises to itself."""
    base = node.output[0]
    done.graph.initializer.append(tensor_of(dequantised(node, stored, constants), f"{base}_float"))
    zero = node.input[2] if len(node.input) > 2 and node.input[2] else f"{base}_zero_point"
    if zero not in constants:
        shape = numpy_helper.to_array(constants[node.input[1]]).shape
        done.graph.initializer.append(tensor_of(np.zeros(shape, np.int8), zero))
    axis = axis_of(node)
    q = helper.make_node(
        Q, [f"{base}_float", node.input[1], zero], [f"{base}_eight"], name=f"{base}_quantised", axis=axis
    )
    dq = helper.make_node(DQ, [f"{base}_eight", node.input[1], zero], [base], name=node.name, axis=axis)
    return [q, dq]


def translate_qdq(model: onnx.ModelProto, backend: str = "tensorrt") -> tuple[onnx.ModelProto, dict[str, float]]:
    """The plain network without Q/DQ, and the scale (largest absolute value / 127) of each activation it is known for.

    Weights are what their eight bits stand for, so the plain network computes in float what the Q/DQ network computes,
    but for the rounding of activations. Tensors between pairs get the scales that follow (scale_flow.py); the rest is
    `tensors_without_scale`. Raises ModelError `model_qdq` for what the backend would not compute; with `onnxruntime`
    that leaves zero points, and then the scales mean nothing to TensorRT.
    """
    check_own_qdq(model, backend)
    translation = _Translation(with_initializers(model))
    plain = translation.plain()
    return plain, spread_scales(plain, translation.scales)


class _Translation:
    """One walk over the graph: pairs around activations fall away, pairs around constants are worked out."""

    def __init__(self, whole: onnx.ModelProto) -> None:
        self._whole = whole
        self._constants: Constants = {tensor.name: tensor for tensor in whole.graph.initializer}
        self._same: dict[str, str] = {}  # a tensor that falls away -> the one in its place
        self._eight = {name for name, tensor in self._constants.items() if tensor.data_type in SMALL}
        self.scales: dict[str, float] = {}

    def plain(self) -> onnx.ModelProto:
        nodes: list[onnx.NodeProto] = []
        for node in self._whole.graph.node:
            if node.op_type == Q:
                self._quantiser(node)
            elif node.op_type == DQ:
                self._dequantiser(node)
            else:
                nodes.append(self._kept(node))
        nodes = self._with_outputs(nodes)
        there = {tensor.name for tensor in self._whole.graph.initializer}
        self._whole.graph.initializer.extend(t for name, t in self._constants.items() if name not in there)
        return _with_nodes(self._whole, nodes)

    def _quantiser(self, node: onnx.NodeProto) -> None:
        source = self._constants.get(node.input[0])
        if source is None:
            self._drop(node)
            self._eight.add(node.output[0])
            return
        self._constants[node.output[0]] = tensor_of(quantised(node, source, self._constants), node.output[0])
        self._eight.add(node.output[0])

    def _dequantiser(self, node: onnx.NodeProto) -> None:
        stored = self._constants.get(node.input[0])
        if stored is None:
            self._drop(node)
        else:
            values = dequantised(node, stored, self._constants)
            self._constants[node.output[0]] = tensor_of(values, node.output[0])

    def _drop(self, node: onnx.NodeProto) -> None:
        scale = scale_of_node(node, self._constants)
        if scale.size > 1:
            raise bad_node(node, "has a scale a channel on an activation")
        root = self._same[node.output[0]] = self._same.get(node.input[0], node.input[0])
        self.scales[root] = max(float(scale.item()), self.scales.get(root, 0.0))

    def _kept(self, original: onnx.NodeProto) -> onnx.NodeProto:
        if self._eight.intersection(original.input):
            fixed = [name for name in original.input if name in self._eight and name in self._constants]
            if original.op_type not in MOVERS or fixed:
                raise bad_node(original, "computes with integers, which has no plain form")
            self._eight.update(original.output)
        node = onnx.NodeProto()
        node.CopyFrom(original)
        node.input[:] = [self._same.get(name, name) for name in original.input]
        return node

    def _with_outputs(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """The nodes, and one for each output of the graph that a DQ made."""
        ends = [value.name for value in self._whole.graph.output if value.name in self._same]
        return nodes + [helper.make_node("Identity", [self._same[name]], [name], name=f"{name}_plain") for name in ends]


def _with_nodes(whole: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """The graph with these nodes, the constants that they read, and what is said of the tensors that are left."""
    model = onnx.ModelProto()
    model.CopyFrom(whole)
    graph = model.graph
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in kept for name in node.input} | {value.name for value in graph.output}
    made = {name for node in kept for name in node.output}
    constants = [tensor for tensor in whole.graph.initializer if tensor.name in read and tensor.name not in made]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    del graph.value_info[:]
    graph.value_info.extend(value for value in whole.graph.value_info if value.name in made)
    if not has_qdq(model):
        for value in graph.value_info:
            if value.type.tensor_type.elem_type in SMALL:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def complete_scales(
    plain: onnx.ModelProto,
    scales: dict[str, float],
    frames: Sequence[Frames],
    threads: int,
    progress: Callable[[float], None],
) -> dict[str, float]:
    """The scales with those of the tensors that have none, measured on `frames`, uint8 (H, W, 3) BGR.

    For a translated network whose pairs leave tensors without a scale. Raises ModelError when it does not run.
    """
    from edgeagent.engine.ranges import extreme_scales

    missing = tensors_without_scale(plain, scales)
    if not missing or not len(frames):
        return dict(scales)
    measured = extreme_scales(plain, frames, threads, progress, missing)
    return {**scales, **{name: scale for name, scale in measured.items() if scale > 0}}
