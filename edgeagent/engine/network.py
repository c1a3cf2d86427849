"""The user's network, read with suspicion: what this module lets through, the graft can be put on.

Whatever is wrong with the file ends here in a ModelError of one line. Its `error_code` is one of

    model_too_large  model_data  model_not_onnx  model_opset  model_operators  model_input  model_family

and later, in graft.py and ranges.py, model_scaling, model_does_not_run or model_not_finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper, inliner, shape_inference

from edgeagent.engine.bundle import ModelBundle, ModelSpec, data_files, data_names
from edgeagent.errors import ModelError

MAX_MODEL_BYTES = (1 << 31) - (1 << 20)  # Protobuf's limit, less what the grafts add
OPSETS = range(13, 22)  # per-channel Q/DQ begins at 13; ONNX Runtime 1.20 ends at 21
IR_VERSIONS = (8, 10)  # what ONNX Runtime 1.20 reads; older files are lifted to it


def load_network(bundle: ModelBundle) -> tuple[onnx.ModelProto, int]:
    """The bundle's network, whole, checked and with shapes, and the number of boxes it gives. Raises ModelError."""
    model = _read(bundle.onnx_path)
    _check_opset(model)
    _check_operators(model)
    _normalise(model)
    _check_input(model, bundle.spec)
    return model, _check_output(model, bundle.spec)


def _read(path: Path) -> onnx.ModelProto:
    try:
        if sum(file.stat().st_size for file in (path, *data_files(path))) > MAX_MODEL_BYTES:
            raise ModelError(
                f"{path.name} with its weights is larger than 2 GiB",
                mend="use a smaller network",
                code="model_too_large",
            )
        model = onnx.load(str(path), load_external_data=False)
        _check_data(model, path)
        external_data_helper.load_external_data_for_model(model, str(path.parent))
        model = inliner.inline_local_functions(model)
        onnx.checker.check_model(model)
        return shape_inference.infer_shapes(model, data_prop=True)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path.name} is no valid ONNX model: {first_line(error)}",
            mend="export the network again",
            code="model_not_onnx",
        ) from error


def first_line(error: Exception) -> str:
    """What a library's error says, as far as a person wants to read it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def _check_data(model: onnx.ModelProto, path: Path) -> None:
    """External weights must lie in the files that the bundle's digest covers."""
    wanted = {_location(tensor) for tensor in _tensors(model) if external_data_helper.uses_external_data(tensor)}
    covered = {file.name for file in data_files(path)}
    for name in sorted(wanted - covered):
        allowed = name in data_names(path)
        raise ModelError(
            f"{path.name} keeps weights in {name!r}, "
            + ("which is missing" if allowed else "which is no part of a bundle"),
            mend=f"put the weights into {path.name} itself or into {data_names(path)[0]} beside it",
            code="model_data",
        )


def _location(tensor: onnx.TensorProto) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterator[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _graph_tensors(graph)


def _check_opset(model: onnx.ModelProto) -> None:
    version = opset_of(model)
    if version not in OPSETS:
        raise ModelError(
            f"the network uses ONNX opset {version}, and edgeagent takes {OPSETS[0]} to {OPSETS[-1]}",
            mend="export it with opset 17",
            code="model_opset",
        )


def opset_of(model: onnx.ModelProto) -> int:
    return max((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _check_operators(model: onnx.ModelProto) -> None:
    foreign = sorted(
        {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    )
    if foreign:
        raise ModelError(
            f"the network uses operators that are not ONNX's own: {', '.join(foreign[:3])}",
            mend="export it with standard operators only",
            code="model_operators",
        )


def _normalise(model: onnx.ModelProto) -> None:
    """One spelling for what ONNX lets one say in several ways, so that the graft meets one form only."""
    opset = opset_of(model)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", opset))
    model.ir_version = max(IR_VERSIONS[0], min(int(model.ir_version), IR_VERSIONS[1]))
    del model.training_info[:]
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initial]  # before IR 4 weights were inputs too
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _name_nodes(model)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own, its first user keeping it: the quantiser chooses nodes by name."""
    wished = {node.name for node in model.graph.node}
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            name = f"node_{index}"
            while name in wished or name in taken:
                name += "_"
            node.name = name
        taken.add(node.name)


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or "?") for dim in dims]


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def _listed(values: list[onnx.ValueInfoProto]) -> str:
    return ", ".join(f"{value.name} {_shape(value)}" for value in values) or "nothing"


def _check_input(model: onnx.ModelProto, spec: ModelSpec) -> None:
    inputs = list(model.graph.input)
    wanted: list[int | str] = [1, 3, spec.input.height, spec.input.width]
    if len(inputs) != 1 or _shape(inputs[0]) != wanted:
        raise ModelError(
            f"the network takes {_listed(inputs)}, and model.toml says one input {wanted}",
            mend="export with a fixed batch of 1 and the size that model.toml gives",
            code="model_input",
        )
    if not _is_float(inputs[0]):
        raise ModelError("the network's input is not float32", mend="export it in float32", code="model_input")


def _check_output(model: onnx.ModelProto, spec: ModelSpec) -> int:
    """The number of boxes N of a (1, 4 + classes, N) output."""
    outputs, rows = list(model.graph.output), 4 + len(spec.classes)
    shape = _shape(outputs[0]) if len(outputs) == 1 else []
    if len(shape) != 3 or shape[:2] != [1, rows] or not isinstance(shape[2], int) or shape[2] < 1:
        raise ModelError(
            f"the outputs fit no known family: found {_listed(outputs)}; family yolov8 with "
            f"{len(spec.classes)} classes has one output [1, {rows}, N] with a fixed N",
            mend="check the class list, and export without NMS",
            code="model_family",
        )
    if not _is_float(outputs[0]):
        raise ModelError("the network's output is not float32", mend="export it in float32", code="model_family")
    return shape[2]
