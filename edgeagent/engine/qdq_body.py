"""Which part of a grafted network is its body: what may be computed in eight bits. Pure: reads the graph only.

The nodes behind the last convolution decode boxes and pick candidates, and eight bits would move every box by pixels.
"""

from __future__ import annotations

import onnx

from edgeagent.engine.graft import PREFIX

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def float_nodes(network: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay in floating point: both grafts, and all from which no heavy node is reached.

    A heavy node that turns a Softmax into the network's result counts as part of the decoding: YOLOv8's boxes are
    the mean of a distribution (its "DFL"), computed by such a convolution. Every node has a name of its own.
    """
    body = [node for node in network.graph.node if not node.name.startswith(PREFIX)]
    heavy = {node.name for node in body if node.op_type in HEAVY}  # the back graft has a MatMul of its own
    heavy -= {node.name for node in _decoders(network, heavy)}
    reaching = _reaching(network, heavy)
    eight_bit = {node.name for node in body if reaching[node.name] or node.name in heavy}
    return [node.name for node in network.graph.node if node.name not in eight_bit]


def _decoders(network: onnx.ModelProto, heavy: set[str]) -> list[onnx.NodeProto]:
    """Heavy nodes with a Softmax, and nothing heavy, between them and the last heavy node before them."""
    reaching = _reaching(network, heavy)
    makers = {output: node for node in network.graph.node for output in node.output}
    soft: dict[str, bool] = {}
    for node in network.graph.node:  # topological order, so what is above comes first here
        above = [makers[name] for name in node.input if name in makers]
        soft[node.name] = any(
            maker.op_type == "Softmax" or (soft[maker.name] and maker.name not in heavy) for maker in above
        )
    return [node for node in network.graph.node if node.name in heavy and soft[node.name] and not reaching[node.name]]


def _reaching(network: onnx.ModelProto, heavy: set[str]) -> dict[str, bool]:
    """Which nodes have a heavy one somewhere below them."""
    feeds: dict[str, list[onnx.NodeProto]] = {}
    for node in network.graph.node:
        for name in node.input:
            feeds.setdefault(name, []).append(node)
    reaching: dict[str, bool] = {}
    for node in reversed(network.graph.node):
        below = [feed for output in node.output for feed in feeds.get(output, [])]
        reaching[node.name] = any(feed.name in heavy or reaching[feed.name] for feed in below)
    return reaching
