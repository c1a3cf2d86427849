"""From an ONNX network to the layers that TensorRT would place. Nothing of the network is run but small constants.

One layer a node, as TensorRT's own records count them, named as TensorRT's parser names it. Gone are nodes that depend
on no frame (TensorRT folds them, Shape among them, since all shapes are fixed) and those that do nothing (Identity,
Dropout). Not modelled: that TensorRT melts BatchNormalization, activations and sums into the convolution before them
(each still counts one here, and in the budget over a finished engine too), that it drops a Transpose and its inverse,
that a Split is a slice for each output, and the Shuffle layers it puts in to spread constants.
"""

from __future__ import annotations

import onnx

from edgeagent.engine.dla.graph import Graph, fold, graph_of, is_folded
from edgeagent.engine.dla.layer import Layer
from edgeagent.engine.dla.readers import read_node

NOTHING = frozenset({"Identity", "Dropout"})


def layers_of(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """The layers of a network with all shapes, in its order. Raises ModelError `model_shapes`."""
    graph = graph_of(model)
    layers: list[Layer] = []
    for node in model.graph.node:
        if is_folded(node, graph):
            fold(node, graph, model)
        elif node.op_type in NOTHING:
            graph.same[node.output[0]] = graph.resolve(node.input[0])
        else:
            layers.append(_layer(node, graph))
    return tuple(layers)


def _layer(node: onnx.NodeProto, graph: Graph) -> Layer:
    read = read_node(node, graph)
    names = [name for name in node.input if name]
    return Layer(
        name=node.name or f"node_of_{node.output[0]}",
        op=node.op_type,
        kind=read.kind,
        inputs=tuple(graph.tensor(name) for name in names if graph.resolve(name) not in graph.constants),
        outputs=tuple(graph.tensor(name) for name in node.output if name),
        constants=tuple(graph.tensor(name) for name in names if graph.resolve(name) in graph.constants),
        attributes=read.attributes,
        macs=read.macs,
        weights=read.weights,
    )
