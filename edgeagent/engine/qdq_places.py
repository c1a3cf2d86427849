"""Where Q/DQ pairs belong in a float network, for TensorRT. Pure: reads the graph and changes nothing.

TensorRT computes a layer in eight bits when its inputs come through Q/DQ, and moves Q and DQ along the graph to fuse
them. Its developer guide (chapters "Working with quantized types", "Q/DQ layer placement") asks for

* pairs on the input and on the constant weight of every convolution, transposed convolution and matrix product;
* none on a bias: TensorRT takes no DQ of INT32, and the quantisation of the product says what the bias becomes;
* none behind such a layer: a Sigmoid or a decoding that follows wants the full product;
* one on the skip branch of a residual Add, none on the branch that comes straight from a convolution, which then adds
  in its epilogue.

Concat, MaxPool and Resize only move numbers. They get pairs where everything behind them takes eight bits, and all
tensors around them share one scale, so that no eight bits become another eight bits on the way. Elsewhere they stay
float, as do products of two activations (attention), Mul, Sigmoid, Softmax, normalisations, and averages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx

Ranges = dict[str, tuple[np.float32, np.float32]]
PAIRED_MOVERS = frozenset({"Concat", "MaxPool", "Resize"})
FREE_MOVERS = frozenset(
    {
        "DepthToSpace", "Flatten", "Identity", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose",
        "Unsqueeze",
    }
)  # fmt: skip
BENDS = frozenset({"Clip", "LeakyRelu", "Relu"})  # fused into what comes before a Q
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


class Edge(NamedTuple):
    """One input of one node."""

    node: str
    slot: int
    tensor: str


@dataclass(frozen=True)
class Places:
    """`edges` get a pair each; the tensors of one of the `groups` share a scale."""

    edges: tuple[Edge, ...]
    groups: tuple[frozenset[str], ...]


def choose_places(network: onnx.ModelProto, float_nodes: Iterable[str]) -> Places:
    """Where the pairs go, in the graph's order. Every node of the network has a name of its own."""
    graph = _Graph(network, frozenset(float_nodes))
    edges = [edge for node in network.graph.node for edge in graph.edges_of(node)]
    return Places(tuple(edges), graph.groups())


def share_ranges(ranges: Mapping[str, tuple[np.float32, np.float32]], groups: Iterable[frozenset[str]]) -> Ranges:
    """The ranges, where each tensor of a group has the group's lowest and highest value."""
    shared = dict(ranges)
    for group in groups:
        members = [ranges[name] for name in group if name in ranges]
        if members:
            whole = (min(low for low, _ in members), max(high for _, high in members))
            shared.update((name, whole) for name in group if name in ranges)
    return shared


class _Graph:
    """What there is to know of the network's tensors: who makes them, who reads them, whether those take eight bits."""

    def __init__(self, network: onnx.ModelProto, float_nodes: frozenset[str]) -> None:
        graph = network.graph
        self._nodes = list(graph.node)
        self._floats = float_nodes
        self._constants = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
        self._outputs = {value.name for value in graph.output}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._shapes = {value.name: _shape(value) for value in (*graph.value_info, *graph.output, *graph.input)}
        self._readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for node in graph.node:
            for index, name in enumerate(node.input):
                self._readers.setdefault(name, []).append((node, index))
        self._lands: dict[str, bool] = {}  # some reader takes eight bits
        self._settled: dict[str, bool] = {}  # all of them do
        for node in reversed(self._nodes):
            for name in node.output:
                self._look_at(name)

    def _look_at(self, name: str) -> None:
        """Judge a tensor whose readers' outputs have been judged."""
        taken = [self._takes(node, index) for node, index in self._readers.get(name, [])]
        bent = [
            any(self._lands.get(output, False) for output in node.output)
            for node, _ in self._readers.get(name, [])
            if node.op_type in BENDS and node.name not in self._floats
        ]
        self._lands[name] = any(taken) or any(bent)
        self._settled[name] = bool(taken) and all(taken) and name not in self._outputs

    def _takes(self, node: onnx.NodeProto, index: int) -> bool:
        """Whether this input of the node is one of eight bits, or moves on to such inputs only."""
        if node.name in self._floats:
            return False
        if node.op_type in WEIGHTED:
            return index == 0 and self._weighted(node)
        if node.op_type == "Add":
            return self._residual(node)
        return self._moves(node) and (index == 0 or node.op_type == "Concat")

    def _weighted(self, node: onnx.NodeProto) -> bool:
        """A product of an activation and a constant, of a kind whose weights have a scale an output channel."""
        if len(node.input) < 2 or node.input[0] in self._constants:
            return False
        rank = self._constants.get(node.input[1], 0)
        if rank == 0 or (node.op_type == "MatMul" and rank != 2):
            return False
        wanted = {"ConvTranspose": ("group", 1), "Gemm": ("transA", 0)}
        return all(
            attribute.i == wanted[node.op_type][1]
            for attribute in node.attribute
            if node.op_type in wanted and attribute.name == wanted[node.op_type][0]
        )

    def _residual(self, node: onnx.NodeProto) -> bool:
        """The sum of two activations of one shape whose result goes on into eight bits."""
        if any(name in self._constants for name in node.input) or not self._lands.get(node.output[0], False):
            return False
        one, two = (self._shapes.get(name) for name in node.input)
        return one is not None and one == two

    def _moves(self, node: onnx.NodeProto) -> bool:
        """A node that only moves numbers, and whose numbers all go on into eight bits."""
        known = node.op_type in FREE_MOVERS or node.op_type in PAIRED_MOVERS
        exact = node.op_type != "Resize" or _is_nearest(node)
        plain = node.op_type != "MaxPool" or len(node.output) == 1
        return known and exact and plain and all(self._settled.get(name, False) for name in node.output if name)

    def edges_of(self, node: onnx.NodeProto) -> list[Edge]:
        """The inputs of the node that get a pair."""
        if node.name in self._floats:
            return []
        indices: list[int] = []
        if node.op_type in WEIGHTED and self._weighted(node):
            indices = [0, 1]
        elif node.op_type == "Add" and self._residual(node):
            indices = self._skips(node)
        elif node.op_type in PAIRED_MOVERS and self._moves(node):
            indices = list(range(len(node.input))) if node.op_type == "Concat" else [0]
        return [Edge(node.name, index, node.input[index]) for index in indices]

    def _skips(self, node: onnx.NodeProto) -> list[int]:
        """All inputs of a residual Add but the first that is the product of a layer which nobody else reads."""
        fused = next((i for i in range(len(node.input)) if self._is_bare_product(node.input[i])), None)
        return [index for index in range(len(node.input)) if index != fused]

    def _is_bare_product(self, name: str) -> bool:
        maker = self._makers.get(name)
        if maker is None or maker.op_type not in WEIGHTED or maker.name in self._floats:
            return False
        return self._weighted(maker) and len(self._readers[name]) == 1 and name not in self._outputs

    def groups(self) -> tuple[frozenset[str], ...]:
        """Tensors that are moved into each other: each group shares one scale."""
        joined: dict[str, set[str]] = {}
        for node in self._nodes:
            if node.name not in self._floats and self._moves(node):
                data = list(node.input) if node.op_type == "Concat" else [node.input[0]]
                _join(joined, [name for name in (*data, *node.output) if name and name not in self._constants])
        seen = {id(group): frozenset(group) for group in joined.values()}
        return tuple(sorted(seen.values(), key=min))


def _join(joined: dict[str, set[str]], names: list[str]) -> None:
    group: set[str] = set()
    for name in names:
        group |= joined.get(name, {name})
    for name in group:
        joined[name] = group


def _is_nearest(node: onnx.NodeProto) -> bool:
    mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"nearest")
    return bool(mode == b"nearest")


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    dims = value.type.tensor_type.shape.dim
    known = all(dim.HasField("dim_value") for dim in dims)
    return tuple(dim.dim_value for dim in dims) if known else None
