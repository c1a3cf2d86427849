"""A grafted network with its body in FP16, for releases that take precision from the network alone (TensorRT 11).

The same part stays in float32 as in the INT8 form (qdq_body.py): both grafts, and the decoding behind the
last heavy layers. A Cast stands wherever a tensor passes between the two, one for each tensor. Nothing is measured:
weights beyond FP16's range become its largest number.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper, shape_inference

from edgeagent.engine.qdq_body import float_nodes

FULL, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
HALF_MOST = float(np.finfo(np.float16).max)
# Inputs that ONNX wants in float32 whatever the data is in: regions and scales of Resize.
ALWAYS_FULL = {"Resize": (1, 2), "Upsample": (1,)}
PREFIX = "edgeagent/half/"


def halve_body(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` with its heavy part in FP16; inputs and outputs are as before."""
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    _Halving(halved).run()
    return shape_inference.infer_shapes(halved)


class _Halving:
    """One conversion, in the graph's order: what each tensor is in now, and the casts made so far."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        graph = model.graph
        self._full_nodes = set(float_nodes(model))
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        values = (*graph.input, *graph.value_info, *graph.output)
        self._floats = {v.name for v in values if v.type.tensor_type.elem_type == FULL}
        self._floats |= {name for name, tensor in self._constants.items() if tensor.data_type == FULL}
        self._half: set[str] = set()
        self._twins: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        graph = self._model.graph
        for node in list(graph.node):
            half = node.name not in self._full_nodes
            for position, name in enumerate(node.input):
                wants_half = half and position not in ALWAYS_FULL.get(node.op_type, ())
                node.input[position] = self._as(name, HALF if wants_half else FULL)
            if half:
                self._half.update(name for name in node.output if name in self._floats)
                _halve_attributes(node)
            self._nodes.append(node)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._nodes]
        kept = [value for value in graph.value_info if value.name not in self._floats]
        del graph.node[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.value_info.extend(kept)

    def _as(self, name: str, kind: int) -> str:
        """The tensor `name` in `kind`: itself, or a cast of it that is made when first asked for."""
        if name not in self._floats or (name in self._half) == (kind == HALF):
            return name
        twin = self._twins.get((name, kind))
        if twin is None:
            twin = self._twins[name, kind] = f"{PREFIX}{name}"
            if name in self._constants:
                self._model.graph.initializer.append(_halved(self._constants[name], twin))
            else:
                self._nodes.append(helper.make_node("Cast", [name], [twin], name=f"{PREFIX}cast/{name}", to=kind))
        return twin


def _halve_attributes(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR and attribute.t.data_type == FULL:
            attribute.t.CopyFrom(_halved(attribute.t, attribute.t.name))
        elif attribute.name == "to" and attribute.i == FULL:
            attribute.i = HALF


def _halved(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = np.clip(numpy_helper.to_array(tensor), -HALF_MOST, HALF_MOST)
    return numpy_helper.from_array(values.astype(np.float16), name)
