"""An ONNX network's tensors: shapes, types, which are the same for every frame, and the values of the small ones.

All shapes must be in the model (engine/shapes.py puts them there). Nothing of the network is run but what computes
small constants.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.dla.layer import Shape, Tensor
from edgeagent.engine.shapes import CALCULATED, SMALL
from edgeagent.errors import ModelError


@dataclass
class Graph:
    """`same` maps the outputs of nodes that do nothing to what they are; `constants` grows while nodes are folded."""

    shapes: dict[str, Shape]
    types: dict[str, str]
    constants: set[str]
    values: dict[str, np.ndarray]
    same: dict[str, str] = field(default_factory=dict)
    users: Mapping[str, list[onnx.NodeProto]] = field(default_factory=dict)
    makers: Mapping[str, onnx.NodeProto] = field(default_factory=dict)

    def resolve(self, name: str) -> str:
        return self.same.get(name, name)

    def shape(self, name: str) -> Shape:
        shape = self.shapes.get(name)
        if shape is None:
            raise ModelError(
                f"how large {name} is does not follow from the file, and a DLA needs static shapes",
                mend="export with fixed shapes and simplify it (onnxslim)",
                code="model_shapes",
            )
        return shape

    def tensor(self, name: str) -> Tensor:
        return Tensor(self.resolve(name), self.shape(name), self.types.get(name, "float"))

    def numbers(self, node: onnx.NodeProto, index: int) -> list[float] | None:
        """The values of a small constant input; None where it is missing or not constant."""
        name = node.input[index] if index < len(node.input) else ""
        value = self.values.get(self.resolve(name)) if name else None
        return None if value is None else [number.item() for number in np.ravel(value)]

    def is_constant(self, node: onnx.NodeProto, index: int) -> bool:
        return index < len(node.input) and self.resolve(node.input[index]) in self.constants

    def size(self, node: onnx.NodeProto, first: int) -> int:
        """How many numbers the constant inputs from `first` on hold."""
        return sum(math.prod(self.shape(name)) for name in node.input[first:] if self.resolve(name) in self.constants)


def graph_of(model: onnx.ModelProto) -> Graph:
    shapes: dict[str, Shape] = {}
    types: dict[str, str] = {}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        types[value.name] = TensorProto.DataType.Name(kind.elem_type).lower()
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes[value.name] = tuple(int(dim.dim_value) for dim in kind.shape.dim)
    values: dict[str, np.ndarray] = {}
    for tensor in model.graph.initializer:
        shapes[tensor.name] = tuple(int(side) for side in tensor.dims)
        types[tensor.name] = TensorProto.DataType.Name(tensor.data_type).lower()
        if math.prod(tensor.dims) <= SMALL:
            values[tensor.name] = numpy_helper.to_array(tensor)
    users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            users[name].append(node)
    return Graph(
        shapes=shapes,
        types=types,
        constants={tensor.name for tensor in model.graph.initializer},
        values=values,
        users=users,
        makers={name: node for node in model.graph.node for name in node.output},
    )


def is_folded(node: onnx.NodeProto, graph: Graph) -> bool:
    """Whether the node says the same for every frame."""
    if node.op_type in ("Constant", "Shape", "Size"):
        return True
    inputs = [name for name in node.input if name]
    return bool(inputs) and all(graph.resolve(name) in graph.constants for name in inputs)


def fold(node: onnx.NodeProto, graph: Graph, model: onnx.ModelProto) -> None:
    graph.constants.update(name for name in node.output if name)
    if node.op_type in ("Shape", "Size"):
        shape = graph.shape(node.input[0])
        cut = {attribute.name: int(attribute.i) for attribute in node.attribute}
        part = shape[cut.get("start", 0) : cut.get("end", len(shape))]
        graph.values[node.output[0]] = np.array(part if node.op_type == "Shape" else math.prod(shape), np.int64)
        return
    inputs = [name for name in node.input if name]
    known = all(graph.resolve(name) in graph.values for name in inputs)
    small = all(math.prod(graph.shapes.get(name, ())) <= SMALL for name in node.output)
    if (node.op_type in CALCULATED or node.op_type == "Constant") and known and small:
        graph.values.update(_calculate(node, graph, model))


def _calculate(node: onnx.NodeProto, graph: Graph, model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The node's small results; {} where the reference of ONNX cannot tell."""
    from onnx.reference import ReferenceEvaluator

    inputs = dict.fromkeys(name for name in node.input if name)
    single = helper.make_graph(
        [node],
        "one",
        [],
        [helper.make_tensor_value_info(name, 0, None) for name in node.output],
        [numpy_helper.from_array(graph.values[graph.resolve(name)], name) for name in inputs],
    )
    try:
        whole = helper.make_model(single, opset_imports=model.opset_import, ir_version=model.ir_version)
        results = ReferenceEvaluator(whole).run(None, {})
    except Exception:  # noqa: BLE001  not calculated is not known, and the rules say so
        return {}
    found = {name: np.asarray(value) for name, value in zip(node.output, results, strict=True)}
    return {name: value for name, value in found.items() if value.size <= SMALL}
