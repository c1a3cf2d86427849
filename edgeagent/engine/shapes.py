"""Every tensor's size, told before anything is run: bombs and open shapes end here.

A file of a few hundred bytes can ask for terabytes (ConstantOfShape, Expand, Tile, Resize, Pad ...). So all shapes must
follow from the file. ONNX's own inference is run on a skeleton of the model, without large weights; what only computes
shapes (Shape, Gather, Concat, Where ...) is calculated here on small arrays, as far as it goes, and inference runs
again. ONNX's `data_prop` is left alone: twenty lines of Concat make it use gigabytes, and it stops at Where, which
exporters put before every Expand. What the file itself says of inner shapes is not believed.

Raises ModelError `model_shapes` for a tensor whose size stays open, `model_memory` for one that is absurd.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edgeagent.errors import ModelError

MAX_TENSOR_BYTES = 1 << 30
MAX_CONSTANT_BYTES = 1 << 31  # all that does not depend on the frame: a backend may compute it while loading
MAX_TOTAL_BYTES = 1 << 36
SMALL = 4096  # elements; shape arithmetic is never larger
ROUNDS = 200  # each finds shapes behind the last one's Reshape or Expand
VISITS = 1_000_000  # nodes looked at in all rounds together: half a minute
FOLDED = 100_000
CALCULATED = frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather",
        "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not",
        "Or", "Range", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "ScatterND", "Slice", "Split",
        "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
Dims = tuple[int, ...]


def settle_shapes(model: onnx.ModelProto, visits: int = VISITS) -> None:
    """Give every tensor of the model its shape, and check that all of it fits in memory. Control flow is no part."""
    inferred = _infer(_skeleton(model), visits)
    known = _known_shapes(inferred)
    sizes = _checked_sizes(model, known)
    _check_sums(model, sizes)
    _write_back(model, inferred, known)


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """The nodes, with small constants as initializers and large ones as inputs; nothing said of any inner shape."""
    bare = onnx.ModelProto()
    bare.ir_version = model.ir_version
    bare.opset_import.extend(model.opset_import)
    graph = bare.graph
    graph.name = "skeleton"
    graph.input.extend(model.graph.input)
    for tensor in model.graph.initializer:
        _add_constant(graph, tensor)
    for node in model.graph.node:
        value = _constant_value(node)
        if value is None:
            graph.node.add().CopyFrom(node)
        else:
            _add_constant(graph, value)
    for output in model.graph.output:
        kind = output.type.tensor_type.elem_type
        graph.output.append(helper.make_tensor_value_info(output.name, kind, None))
    return bare


def _constant_value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """What a Constant node holds, named as its output; None for any other node."""
    if node.op_type != "Constant" or len(node.attribute) != 1:
        return None
    value = helper.get_attribute_value(node.attribute[0])
    if isinstance(value, TensorProto):
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        return tensor
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    kind = kinds.get(node.attribute[0].name)
    return None if kind is None else numpy_helper.from_array(np.array(value, kind), node.output[0])


def _add_constant(graph: onnx.GraphProto, tensor: onnx.TensorProto) -> None:
    if math.prod(tensor.dims) <= SMALL:
        graph.initializer.add().CopyFrom(tensor)
    else:
        graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))


def _infer(bare: onnx.ModelProto, visits: int) -> onnx.ModelProto:
    folded = 0
    for _ in range(min(ROUNDS, visits // max(1, len(bare.graph.node)))):
        bare = shape_inference.infer_shapes(bare)
        count = _fold(bare)
        folded += count
        if count == 0 or folded > FOLDED:
            return bare
        del bare.graph.value_info[:]
    return shape_inference.infer_shapes(bare)


def _fold(bare: onnx.ModelProto) -> int:
    """Replace nodes whose small results follow from constants and known shapes by those results; how many."""
    known = _known_shapes(bare)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in bare.graph.initializer}
    kept: list[onnx.NodeProto] = []
    folded = 0
    outputs = {output.name for output in bare.graph.output}
    for node in bare.graph.node:
        results = None if outputs & set(node.output) else _calculated(node, values, known, bare)
        if results is None:
            kept.append(node)
            continue
        folded += 1
        for name, value in zip(node.output, results, strict=True):
            values[name] = value
            bare.graph.initializer.append(numpy_helper.from_array(value, name))
    if folded:
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del bare.graph.node[:]
        bare.graph.node.extend(nodes)
    return folded


def _calculated(
    node: onnx.NodeProto, values: dict[str, np.ndarray], known: dict[str, Dims], bare: onnx.ModelProto
) -> list[np.ndarray] | None:
    if node.op_type in ("Shape", "Size"):
        return _measured(node, known)
    inputs = [name for name in node.input if name]
    if node.op_type not in CALCULATED or not all(name in values for name in inputs):
        return None
    if any(math.prod(known.get(name, (SMALL + 1,))) > SMALL for name in node.output):
        return None
    graph = helper.make_graph(
        [node],
        "one",
        [],
        [helper.make_tensor_value_info(name, 0, None) for name in node.output],
        [numpy_helper.from_array(values[name], name) for name in dict.fromkeys(inputs)],
    )
    from onnx.reference import ReferenceEvaluator

    try:
        with np.errstate(all="ignore"):
            whole = helper.make_model(graph, opset_imports=bare.opset_import, ir_version=bare.ir_version)
            return [np.asarray(value) for value in ReferenceEvaluator(whole).run(None, {})]
    except Exception:  # noqa: BLE001  not calculated is not known, and that is told
        return None


def _measured(node: onnx.NodeProto, known: dict[str, Dims]) -> list[np.ndarray] | None:
    shape = known.get(node.input[0])
    if shape is None:
        return None
    if node.op_type == "Size":
        return [np.array(math.prod(shape), np.int64)]
    cut = {attribute.name: int(attribute.i) for attribute in node.attribute}
    return [np.array(shape[cut.get("start", 0) : cut.get("end", len(shape))], np.int64)]


def _known_shapes(bare: onnx.ModelProto) -> dict[str, Dims]:
    graph = bare.graph
    shapes = {name: shape for value in _values(graph) if (name := value.name) and (shape := _dims(value)) is not None}
    return {**shapes, **{tensor.name: tuple(tensor.dims) for tensor in graph.initializer}}


def _values(graph: onnx.GraphProto) -> Iterable[onnx.ValueInfoProto]:
    return (*graph.input, *graph.value_info, *graph.output)


def _dims(value: onnx.ValueInfoProto) -> Dims | None:
    """The shape where every side of it is a number; inference makes a size that overflows negative."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return tuple(int(dim.dim_value) for dim in kind.shape.dim)


def _checked_sizes(model: onnx.ModelProto, known: dict[str, Dims]) -> dict[str, int]:
    """Bytes of every tensor that a node makes, at eight bytes a number."""
    sizes: dict[str, int] = {}
    for node in model.graph.node:
        for name in filter(None, node.output):
            shape = known.get(name)
            if shape is None:
                raise ModelError(
                    f"how large {name} is, made by node {node.name} ({node.op_type}), does not follow from the file",
                    mend="export with fixed shapes and without NMS, and simplify it (onnxslim); see docs/models.md",
                    code="model_shapes",
                )
            sizes[name] = 4 * math.prod(shape) if min(shape, default=1) >= 0 else MAX_TOTAL_BYTES
            if sizes[name] > MAX_TENSOR_BYTES:
                raise _too_much(f"node {node.name} ({node.op_type}) makes {_gib(sizes[name])}")
    return sizes


def _check_sums(model: onnx.ModelProto, sizes: dict[str, int]) -> None:
    """All tensors together, and those that are the same for every frame together with the weights."""
    moving = {value.name for value in model.graph.input}
    still = sum(4 * math.prod(tensor.dims) for tensor in model.graph.initializer)
    for node in model.graph.node:
        if moving & set(node.input):
            moving.update(node.output)
        else:
            still += sum(sizes[name] for name in node.output if name)
    if still > MAX_CONSTANT_BYTES:
        raise _too_much(f"its weights and constants take {_gib(still)}")
    if sum(sizes.values()) > MAX_TOTAL_BYTES:
        raise _too_much(f"a frame takes {_gib(sum(sizes.values()))}")


def _gib(size: int) -> str:
    return "more than any memory has" if size >= MAX_TOTAL_BYTES else f"{size / (1 << 30):.1f} GiB"


def _too_much(what: str) -> ModelError:
    return ModelError(
        f"the network does not fit in memory: {what}",
        mend="use a smaller network or a smaller input",
        code="model_memory",
    )


def _write_back(model: onnx.ModelProto, inferred: onnx.ModelProto, known: dict[str, Dims]) -> None:
    """Put the shapes found into the model, the outputs' among them."""
    kinds = {value.name: int(value.type.tensor_type.elem_type) for value in _values(inferred.graph)}
    kinds.update({tensor.name: int(tensor.data_type) for tensor in inferred.graph.initializer})
    results = {output.name for output in model.graph.output}
    inner = [name for node in model.graph.node for name in node.output if name and name not in results]
    del model.graph.value_info[:]
    model.graph.value_info.extend(helper.make_tensor_value_info(name, kinds[name], known[name]) for name in inner)
    for output in model.graph.output:
        output.CopyFrom(helper.make_tensor_value_info(output.name, kinds[output.name], known[output.name]))
