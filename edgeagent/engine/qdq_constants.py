"""Constants of a network, however the file holds them. Pure."""

from __future__ import annotations

import onnx


def with_initializers(network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the network whose Constant nodes with a tensor are initializers, as most exporters write weights."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    nodes = [node for node in model.graph.node if holds_tensor(node)]
    for node in nodes:
        tensor = model.graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        model.graph.node.remove(node)
    return model


def holds_tensor(node: onnx.NodeProto) -> bool:
    """Whether the node is a Constant that holds a whole tensor."""
    return bool(node.op_type == "Constant" and [attribute.name for attribute in node.attribute] == ["value"])
