"""Q/DQ pairs on the inputs where they are wanted, each its own, and nowhere else.

ONNX Runtime's quantiser puts one pair behind a tensor and lets every reader of it read the result, those too that
compute in float. TensorRT wants a pair an input ("QDQ pair can't be shared between nodes", says ONNX Runtime's
source), and a Sigmoid beside a convolution shall not lose its precision to it.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from edgeagent.engine.qdq_places import Edge

Q, DQ = "QuantizeLinear", "DequantizeLinear"
Pair = tuple[onnx.NodeProto, onnx.NodeProto]


def keep_pairs(quantised: onnx.ModelProto, network: onnx.ModelProto, edges: Iterable[Edge]) -> onnx.ModelProto:
    """The network with the pairs that `quantised` has for the tensors of `edges`, one for each of them.

    `quantised` is the same network with pairs behind those tensors at least. Nodes, their order and their attributes
    are those of `network`; scales and zero points are taken over.
    """
    pairs = _pairs_by_tensor(quantised)
    wanted: dict[str, dict[int, str]] = {}
    for edge in edges:
        wanted.setdefault(edge.node, {})[edge.slot] = edge.tensor
    nodes: list[onnx.NodeProto] = []
    counts: dict[str, int] = {}
    for original in network.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        for index, tensor in sorted(wanted.get(node.name, {}).items()):
            counts[tensor] = number = counts.get(tensor, 0) + 1
            pair = _own_pair(pairs[tensor], tensor, number)
            nodes += pair
            node.input[index] = pair[1].output[0]
        nodes.append(node)
    return _assembled(quantised, network, nodes)


def _pairs_by_tensor(quantised: onnx.ModelProto) -> dict[str, Pair]:
    """The pair behind each tensor. A result of the graph was renamed before its pair, and the DQ has its name."""
    followers = {node.input[0]: node for node in quantised.graph.node if node.op_type == DQ}
    results = {value.name for value in quantised.graph.output}
    pairs = [(node, followers[node.output[0]]) for node in quantised.graph.node if node.op_type == Q]
    return {dq.output[0] if dq.output[0] in results else q.input[0]: (q, dq) for q, dq in pairs}


def _own_pair(pair: Pair, tensor: str, number: int) -> Pair:
    """A copy of the pair for one reader of the tensor, with names of its own: later ones are numbered."""
    q, dq = onnx.NodeProto(), onnx.NodeProto()
    q.CopyFrom(pair[0])
    dq.CopyFrom(pair[1])
    mark = "" if number == 1 else f"_{number}"
    q.name, dq.name = f"{tensor}_{Q}{mark}", f"{tensor}_{DQ}{mark}"
    q.input[0] = tensor
    q.output[0] = dq.input[0] = f"{tensor}_{Q}_Output{mark}"
    dq.output[0] = f"{tensor}_{DQ}_Output{mark}"
    return q, dq


def _assembled(quantised: onnx.ModelProto, network: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(network)
    model.producer_name, model.producer_version = quantised.producer_name, quantised.producer_version
    del model.metadata_props[:]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = {tensor.name for tensor in network.graph.initializer}
    scales = [t for t in quantised.graph.initializer if t.name not in kept and t.name in read]
    model.graph.initializer.extend(scales)
    return model
