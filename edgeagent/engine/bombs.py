"""What a small file may not do: claim weights that are not there, or unfold into millions of nodes.

Looked at before external weights are read and before functions are put in place of their calls. Bombs of shape are
found later (shapes.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper

from edgeagent.engine.bundle import MAX_MODEL_BYTES, data_files, data_names
from edgeagent.errors import ModelError

MAX_NODES = 100_000
MAX_CALLS = 64  # functions that call functions, so deep
NARROW: dict[int, int] = {int(TensorProto.UINT4): 4, int(TensorProto.INT4): 4, int(TensorProto.STRING): 8}  # bits


def check_claims(model: onnx.ModelProto, path: Path) -> None:
    """Raises ModelError `model_data`, `model_too_large`, `model_nodes` or `model_operators`."""
    _check_places(model, path)
    _check_weights(model, path)
    _check_nodes(model)


def _check_places(model: onnx.ModelProto, path: Path) -> None:
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
    return _entry(tensor, "location")


def _entry(tensor: onnx.TensorProto, key: str) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == key), "")


def _check_weights(model: onnx.ModelProto, path: Path) -> None:
    """A thousand tensors may claim the same gigabyte of a file, so what they claim is added up before it is read."""
    sizes = {file.name: file.stat().st_size for file in data_files(path)}
    claimed = 0
    for tensor in _tensors(model):
        wanted = _claimed_bytes(tensor)
        claimed += wanted
        if external_data_helper.uses_external_data(tensor):
            _check_place(tensor, wanted, sizes[_location(tensor)], path)
    if claimed > MAX_MODEL_BYTES:
        raise ModelError(
            f"the weights in {path.name} claim {claimed / (1 << 30):.1f} GiB, and 2 GiB is the most",
            mend="use a smaller network",
            code="model_too_large",
        )
    if model.graph.sparse_initializer:
        raise ModelError(
            f"{path.name} keeps weights in sparse form, which TensorRT does not read",
            mend="export them in dense form",
            code="model_operators",
        )


def _claimed_bytes(tensor: onnx.TensorProto) -> int:
    if any(side < 0 for side in tensor.dims):
        raise ModelError(
            f"weight {tensor.name} has a negative size", mend="export the network again", code="model_not_onnx"
        )
    return math.prod(int(side) for side in tensor.dims) * _bits(tensor.data_type) // 8


def _bits(kind: int) -> int:
    if kind in NARROW:
        return NARROW[kind]
    try:
        return 8 * int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, TypeError, ValueError):
        return 64  # the checker refuses it later


def _check_place(tensor: onnx.TensorProto, wanted: int, size: int, path: Path) -> None:
    try:
        offset = int(_entry(tensor, "offset") or 0)
        length = int(_entry(tensor, "length") or wanted)
    except ValueError:
        offset = length = -1
    if offset < 0 or length != wanted or offset + length > size:
        raise ModelError(
            f"weight {tensor.name} does not lie where {path.name} says: {wanted} bytes at {offset} in a file of {size}",
            mend="copy the file of weights again, whole",
            code="model_data",
        )


def _check_nodes(model: onnx.ModelProto) -> None:
    """Functions that call each other twice double with every line; they are counted before they are unfolded."""
    lengths: dict[tuple[str, str], int] = {}
    functions = {(function.domain, function.name): function for function in model.functions}

    def length(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        if depth > MAX_CALLS:
            raise _too_many("its functions call each other without end")
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            if called in functions and called not in lengths:
                lengths[called] = length(functions[called].node, depth + 1)
            total += lengths.get(called, 1)
        return total

    count = length(model.graph.node, 0)
    if count > MAX_NODES:
        raise _too_many(f"it has {count} operators, and {MAX_NODES} is the most")


def _too_many(what: str) -> ModelError:
    return ModelError(f"the network is unreasonably large: {what}", mend="export the network again", code="model_nodes")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _graph_tensors(graph)
