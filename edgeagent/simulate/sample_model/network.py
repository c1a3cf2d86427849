"""The sample detector as a table of layers, and the two things made from it: a torch module and an ONNX graph.

A convolutional backbone (strides 8, 16, 32), a top-down neck and a plain head: per cell of each stride one box as four
distances to its sides, and one score a class. Only operations that TensorRT's INT8 and the DLA take: 3x3 and 1x1
convolutions with ReLU, 5x5 max pooling, nearest doubling, concatenation. What follows the last convolutions (the
`decode/` nodes) is arithmetic on 2100 candidates and stays in floating point.

Torch and onnx are imported where they are used; the table itself needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edgeagent.simulate.scene_parts import CLASSES

SIDE: Final = 320
"""Width and height of the network's input in pixels."""
STRIDES: Final = (8, 16, 32)
CELLS: Final = sum((SIDE // stride) ** 2 for stride in STRIDES)
OPSET: Final = 17


@dataclass(frozen=True)
class Layer:
    """One row of the table; `channels`, `kernel`, `stride` and `relu` are for convolutions."""

    name: str
    op: Literal["conv", "pool", "double", "concat"]
    inputs: tuple[str, ...]
    channels: int = 0
    kernel: int = 1
    stride: int = 1
    relu: bool = True


def _conv(name: str, source: str, channels: int, kernel: int = 1, stride: int = 1, *, relu: bool = True) -> Layer:
    return Layer(name, "conv", (source,), channels, kernel, stride, relu)


def _stage(name: str, source: str, channels: int, inner: int, depth: int) -> list[Layer]:
    """Halve the picture, then a bypass and a chain of `depth` 3x3 convolutions side by side, joined by a 1x1."""
    layers = [
        _conv(f"{name}/down", source, channels, 3, 2),
        _conv(f"{name}/bypass", f"{name}/down", inner),
        _conv(f"{name}/chain0", f"{name}/down", inner),
    ]
    layers += [_conv(f"{name}/chain{i + 1}", f"{name}/chain{i}", inner, 3) for i in range(depth)]
    parts = (f"{name}/bypass", *(f"{name}/chain{i}" for i in range(1, depth + 1)))
    layers += [Layer(f"{name}/parts", "concat", parts), _conv(f"{name}/out", f"{name}/parts", channels)]
    return layers


def _pyramid(source: str, inner: int, channels: int) -> list[Layer]:
    """Three poolings in a row, so that the deepest cells see the whole picture."""
    layers = [_conv("wide/in", source, inner)]
    for i, name in enumerate(("wide/in", "wide/pool1", "wide/pool2")):
        layers.append(Layer(f"wide/pool{i + 1}", "pool", (name,)))
    layers.append(Layer("wide/parts", "concat", ("wide/in", "wide/pool1", "wide/pool2", "wide/pool3")))
    return [*layers, _conv("wide/out", "wide/parts", channels)]


def _head(stride: int, source: str, channels: int) -> list[Layer]:
    name = f"head{stride}"
    return [
        _conv(f"{name}/tower", source, channels, 3),
        _conv(f"{name}/box", f"{name}/tower", 4, relu=False),
        _conv(f"{name}/score", f"{name}/tower", len(CLASSES), relu=False),
    ]


LAYERS: Final[tuple[Layer, ...]] = (
    _conv("stem0", "images", 16, 3, 2),
    _conv("stem1", "stem0", 32, 3, 2),
    *_stage("stage8", "stem1", 48, 16, 3),
    *_stage("stage16", "stage8/out", 96, 32, 2),
    *_stage("stage32", "stage16/out", 128, 48, 2),
    *_pyramid("stage32/out", 64, 128),
    _conv("neck32", "wide/out", 64),
    Layer("neck32/double", "double", ("neck32",)),
    Layer("neck16/parts", "concat", ("stage16/out", "neck32/double")),
    _conv("neck16", "neck16/parts", 64),
    _conv("neck16/narrow", "neck16", 32),
    Layer("neck16/double", "double", ("neck16/narrow",)),
    Layer("neck8/parts", "concat", ("stage8/out", "neck16/double")),
    _conv("neck8", "neck8/parts", 48),
    *_head(8, "neck8", 32),
    *_head(16, "neck16", 64),
    *_head(32, "neck32", 64),
)

Weights = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""For each convolution its kernel (out, in, k, k) and bias (out,), batch normalisation folded in."""


def channels_of() -> dict[str, int]:
    """Output channels of every layer, and of the input `images`."""
    known = {"images": 3}
    for layer in LAYERS:
        known[layer.name] = layer.channels or sum(known[source] for source in layer.inputs)
    return known


def multiplications() -> int:
    """Multiply-accumulate operations of all convolutions for one picture."""
    channels, side, total = channels_of(), {"images": SIDE}, 0
    for layer in LAYERS:
        side[layer.name] = side[layer.inputs[0]] // layer.stride * (2 if layer.op == "double" else 1)
        if layer.op == "conv":
            total += side[layer.name] ** 2 * layer.channels * channels[layer.inputs[0]] * layer.kernel**2
    return total


def cell_centres() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centre (2, CELLS) xy in input pixels and stride (CELLS,) of every cell, in the order of the output's columns."""
    centres, strides = [], []
    for stride in STRIDES:
        line = (np.arange(SIDE // stride, dtype=np.float32) + 0.5) * stride
        x, y = np.meshgrid(line, line)
        centres.append(np.stack([x.ravel(), y.ravel()]))
        strides.append(np.full(x.size, stride, np.float32))
    return np.concatenate(centres, axis=1), np.concatenate(strides)


def build_torch() -> Any:  # noqa: ANN401  torch is not typed here
    """A torch module: uint8-scaled pictures (B, 3, SIDE, SIDE) -> box distances (B, 4, CELLS) in strides, before their
    ReLU, and class scores (B, C, CELLS) before their sigmoid."""
    import torch

    class Network(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            channels = channels_of()
            self.blocks = torch.nn.ModuleDict()
            for layer in LAYERS:
                if layer.op == "conv":
                    self.blocks[_key(layer)] = _torch_conv(layer, channels[layer.inputs[0]])

        def forward(self, images: Any) -> tuple[Any, Any]:  # noqa: ANN401
            made = {"images": images}
            for layer in LAYERS:
                made[layer.name] = self._step(layer, [made[source] for source in layer.inputs])
            box, score = (
                torch.cat([made[f"head{stride}/{what}"].flatten(2) for stride in STRIDES], 2)
                for what in ("box", "score")
            )
            return box, score

        def _step(self, layer: Layer, sources: list[Any]) -> Any:  # noqa: ANN401
            if layer.op == "conv":
                return self.blocks[_key(layer)](sources[0])
            if layer.op == "pool":
                return torch.nn.functional.max_pool2d(sources[0], 5, 1, 2)
            if layer.op == "double":
                return torch.nn.functional.interpolate(sources[0], scale_factor=2.0, mode="nearest")
            return torch.cat(sources, 1)

    return Network()


def _key(layer: Layer) -> str:
    return layer.name.replace("/", "_")


def _torch_conv(layer: Layer, sources: int) -> Any:  # noqa: ANN401
    from torch import nn

    if not layer.relu:
        conv = nn.Conv2d(sources, layer.channels, 1)
        nn.init.normal_(conv.weight, std=0.01)
        # A box starts at two strides to each side; a score at one in a hundred.
        nn.init.constant_(conv.bias, 2.0 if layer.name.endswith("box") else -4.6)
        return conv
    bare = nn.Conv2d(sources, layer.channels, layer.kernel, layer.stride, layer.kernel // 2, bias=False)
    nn.init.kaiming_normal_(bare.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(bare, nn.BatchNorm2d(layer.channels, eps=1e-3, momentum=0.03), nn.ReLU(inplace=True))


def folded_weights(network: Any) -> Weights:  # noqa: ANN401
    """The weights of `build_torch()`'s module with batch normalisation folded into the convolutions."""
    weights = {}
    for layer in LAYERS:
        if layer.op == "conv":
            weights[layer.name] = _folded(network.blocks[_key(layer)])
    return weights


def _folded(block: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # noqa: ANN401
    def plain(tensor: Any) -> NDArray[np.float64]:  # noqa: ANN401
        return np.asarray(tensor.detach().double().cpu().numpy(), np.float64)

    if hasattr(block, "bias"):
        return plain(block.weight).astype(np.float32), plain(block.bias).astype(np.float32)
    conv, norm = block[0], block[1]
    gain = plain(norm.weight) / np.sqrt(plain(norm.running_var) + norm.eps)
    kernel = plain(conv.weight) * gain[:, None, None, None]
    bias = plain(norm.bias) - plain(norm.running_mean) * gain
    return kernel.astype(np.float32), bias.astype(np.float32)


class _Graph:
    """Nodes and constants of an ONNX graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:  # noqa: ANN401
        """Add a node that makes one tensor, both called `name`."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name


def build_onnx(weights: Weights) -> Any:  # noqa: ANN401
    """The ONNX model: `images` float32 (1, 3, SIDE, SIDE) RGB 0..1 -> `output0` float32 (1, 4 + C, CELLS).

    Rows 0..3 of the output are the box's centre x, y, width and height in input pixels, the others one score 0..1 a
    class. Shapes are static. Raises onnx.checker.ValidationError if the graph is not sound.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph()
    graph.constant("double/scales", np.array([1, 1, 2, 2], np.float32))
    for layer in LAYERS:
        _add_layer(graph, layer, weights)
    _add_decode(graph)
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + len(CLASSES), CELLS])
    made = helper.make_graph(graph.nodes, "conveyor", [picture], [output], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edgeagent")
    model.ir_version = 8  # the oldest that opset 17 allows, so that old runtimes read it
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def _add_layer(graph: _Graph, layer: Layer, weights: Weights) -> None:
    sources = list(layer.inputs)
    if layer.op == "pool":
        graph.node("MaxPool", layer.name, sources, kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2])
    elif layer.op == "double":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        graph.node("Resize", layer.name, [*sources, "", "double/scales"], **how)
    elif layer.op == "concat":
        graph.node("Concat", layer.name, sources, axis=1)
    else:
        _add_conv(graph, layer, weights)


def _add_conv(graph: _Graph, layer: Layer, weights: Weights) -> None:
    kernel, bias = weights[layer.name]
    name = f"{layer.name}/conv" if layer.relu else layer.name
    inputs = [*layer.inputs, graph.constant(f"{name}.weight", kernel), graph.constant(f"{name}.bias", bias)]
    pad, size, step = layer.kernel // 2, [layer.kernel] * 2, [layer.stride] * 2
    graph.node("Conv", name, inputs, kernel_shape=size, strides=step, pads=[pad] * 4)
    if layer.relu:
        graph.node("Relu", layer.name, [name])


def _add_decode(graph: _Graph) -> None:
    centres, strides = cell_centres()
    sides = graph.node("Relu", "decode/sides", [_flat(graph, "box", 4)])
    scaled = graph.node("Mul", "decode/pixels", [sides, graph.constant("decode/stride", strides.reshape(1, 1, -1))])
    ends = [graph.constant(f"decode/at{i}", np.array([i], np.int64)) for i in (0, 2, 4)]
    axis = graph.constant("decode/axis", np.array([1], np.int64))
    before = graph.node("Slice", "decode/before", [scaled, ends[0], ends[1], axis])
    after = graph.node("Slice", "decode/after", [scaled, ends[1], ends[2], axis])
    lean = graph.node("Sub", "decode/lean", [after, before])
    half = graph.node("Mul", "decode/half", [lean, graph.constant("decode/0.5", np.array(0.5, np.float32))])
    centre = graph.node("Add", "decode/centre", [half, graph.constant("decode/cells", centres[None])])
    size = graph.node("Add", "decode/size", [before, after])
    score = graph.node("Sigmoid", "decode/score", [_flat(graph, "score", len(CLASSES))])
    graph.node("Concat", "output0", [centre, size, score], axis=1)


def _flat(graph: _Graph, what: str, rows: int) -> str:
    """The three heads' maps side by side, (1, rows, CELLS). The 0 keeps the batch, should someone make it dynamic."""
    shape = graph.constant(f"decode/{what}/shape", np.array([0, rows, -1], np.int64))
    flat = [graph.node("Reshape", f"decode/{what}{s}", [f"head{s}/{what}", shape]) for s in STRIDES]
    return graph.node("Concat", f"decode/all_{what}", flat, axis=2)
