"""What the DLA's tests share: layers without ONNX, small ONNX networks, one like YOLOv8n. No tests in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.dla.layer import Kind, Layer, Shape, Tensor, Value
from edgeagent.engine.dla.layers import layers_of
from edgeagent.engine.dla.read import read_plain
from edgeagent.engine.dla.verdict import Target

ORIN = Target("orin", (10, 3), "int8")
ORIN_HALF = Target("orin", (10, 3), "fp16")
ORIN_86 = Target("orin", (8, 6, 2), "int8")
XAVIER = Target("xavier", (8, 5, 2), "int8")


def tensors(prefix: str, shapes: tuple[Shape, ...], kind: str = "float") -> tuple[Tensor, ...]:
    return tuple(Tensor(f"{prefix}{index}", shape, kind) for index, shape in enumerate(shapes))


def layer(
    kind: Kind,
    op: str,
    *inputs: Shape,
    out: Shape | None = None,
    constants: tuple[Shape, ...] = (),
    type_: str = "float",
    **attributes: Value,
) -> Layer:
    """A layer on tensors of these shapes; the result has the first one's, if `out` says nothing else."""
    return Layer(
        "the-layer",
        op,
        kind,
        tensors("in", inputs, type_),
        tensors("out", (out or inputs[0],), type_),
        tensors("constant", constants),
        attributes,
    )


def convolution(channels: int = 64, out: int = 64, side: int = 40, **changes: Value) -> Layer:
    """3x3, stride 1, padding 1; `width` replaces the side across."""
    width = changes.pop("width", side)
    assert isinstance(width, int)
    attributes: dict[str, Value] = {
        "kernel": (3, 3),
        "stride": (1, 1),
        "dilation": (1, 1),
        "padding": (1, 1, 1, 1),
        "groups": 1,
        "channels": (channels, out),
        "weights_constant": True,
    }
    shape = (1, channels, side, width)
    return layer("convolution", "Conv", shape, out=(1, out, side, width), **(attributes | changes))


def pooling(op: str = "MaxPool", **changes: Value) -> Layer:
    attributes: dict[str, Value] = {
        "kernel": (2, 2),
        "stride": (2, 2),
        "dilation": (1, 1),
        "padding": (0, 0, 0, 0),
        "padding_counts": False,
    }
    return layer("pooling", op, (1, 16, 40, 40), out=(1, 16, 20, 20), **(attributes | changes))


def deconvolution(**changes: Value) -> Layer:
    attributes: dict[str, Value] = {
        "kernel": (2, 2),
        "stride": (2, 2),
        "dilation": (1, 1),
        "padding": (0, 0, 0, 0),
        "groups": 1,
        "channels": (64, 32),
        "weights_constant": True,
        "output_padding": (),
    }
    return layer("deconvolution", "ConvTranspose", (1, 64, 20, 20), out=(1, 32, 40, 40), **(attributes | changes))


def resize(**changes: Value) -> Layer:
    attributes: dict[str, Value] = {
        "mode": "nearest",
        "coordinates": "asymmetric",
        "rounding": "floor",
        "scales": (1.0, 1.0, 2.0, 2.0),
        "sized": False,
        "antialias": False,
    }
    return layer("resize", "Resize", (1, 16, 20, 20), out=(1, 16, 40, 40), **(attributes | changes))


@dataclass
class Network:
    """An ONNX graph under construction. Tensors are named after the node that makes them."""

    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def feed(self, name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def number(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def add(self, op: str, *inputs: str, name: str = "", outputs: int = 1, **attributes: object) -> str:
        name = name or f"{op.lower()}{len(self.nodes)}"
        names = [name, *(f"{name}.{index}" for index in range(1, outputs))]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, **attributes))
        return name

    def conv(self, source: str, into: int, out: int, size: int, stride: int = 1, name: str = "", **more: object) -> str:
        weights = self.number(np.zeros((out, into, size, size)))
        pad = [size // 2] * 4
        return self.add("Conv", source, weights, name=name, strides=[stride, stride], pads=pad, **more)

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The outputs have the types and shapes that ONNX infers, as an exporter would write them."""
        graph = helper.make_graph(self.nodes, "network", self.inputs, [], self.constants)
        bare = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        known = {value.name: value for value in onnx.shape_inference.infer_shapes(bare).graph.value_info}
        bare.graph.output.extend(
            known.get(name, helper.make_tensor_value_info(name, TensorProto.FLOAT, ["?"])) for name in outputs
        )
        return bare

    def write(self, folder: Path, *outputs: str) -> Path:
        path = folder / "network.onnx"
        path.write_bytes(self.model(*outputs).SerializeToString())
        return path

    def layers(self, folder: Path, *outputs: str) -> tuple[Layer, ...]:
        return layers_of(read_plain(self.write(folder, *outputs)))


@dataclass
class Yolo(Network):
    """YOLOv8n's layers as its exporter writes them: 80 classes, weights zero."""

    side: int = 640
    classes: int = 80

    def silu(self, source: str, into: int, out: int, size: int, stride: int, name: str) -> str:
        conv = self.conv(source, into, out, size, stride, f"{name}/conv/Conv")
        gate = self.add("Sigmoid", conv, name=f"{name}/act/Sigmoid")
        return self.add("Mul", conv, gate, name=f"{name}/act/Mul")

    def c2f(self, source: str, into: int, out: int, deep: int, shortcut: bool, name: str) -> str:
        half = out // 2
        wide = self.silu(source, into, out, 1, 1, f"{name}/cv1")
        split = self.add("Split", wide, self.number([half, half], np.int64), name=f"{name}/Split", outputs=2, axis=1)
        parts = [split, f"{split}.1"]
        for index in range(deep):
            inner = self.silu(parts[-1], half, half, 3, 1, f"{name}/m.{index}/cv1")
            inner = self.silu(inner, half, half, 3, 1, f"{name}/m.{index}/cv2")
            if shortcut:
                inner = self.add("Add", parts[-1], inner, name=f"{name}/m.{index}/Add")
            parts.append(inner)
        joined = self.add("Concat", *parts, name=f"{name}/Concat", axis=1)
        return self.silu(joined, half * (2 + deep), out, 1, 1, f"{name}/cv2")

    def sppf(self, source: str, wide: int, name: str) -> str:
        parts = [self.silu(source, wide, wide // 2, 1, 1, f"{name}/cv1")]
        for index in range(3):
            pool = {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [2, 2, 2, 2]}
            parts.append(self.add("MaxPool", parts[-1], name=f"{name}/m{index}/MaxPool", **pool))
        return self.silu(self.add("Concat", *parts, name=f"{name}/Concat", axis=1), wide * 2, wide, 1, 1, f"{name}/cv2")

    def double(self, source: str, name: str) -> str:
        modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", source, "", self.number([1, 1, 2, 2]), name=f"{name}/Resize", **modes)

    def head(self, source: str, wide: int, name: str) -> str:
        boxes = self.silu(self.silu(source, wide, 64, 3, 1, f"{name}/cv2.0"), 64, 64, 3, 1, f"{name}/cv2.1")
        boxes = self.conv(boxes, 64, 64, 1, name=f"{name}/cv2.2/Conv")
        scores = self.silu(source, wide, self.classes, 3, 1, f"{name}/cv3.0")
        scores = self.silu(scores, self.classes, self.classes, 3, 1, f"{name}/cv3.1")
        scores = self.conv(scores, self.classes, self.classes, 1, name=f"{name}/cv3.2/Conv")
        return self.add("Concat", boxes, scores, name=f"{name}/Concat", axis=1)

    def decode(self, levels: list[str]) -> str:
        rows, cells = 64 + self.classes, sum((self.side // stride) ** 2 for stride in (8, 16, 32))
        flat = self.number([1, rows, -1], np.int64)
        lists = [self.add("Reshape", one, flat, name=f"/head/Reshape_{i}") for i, one in enumerate(levels)]
        whole = self.add("Concat", *lists, name="/head/Concat", axis=2)
        sizes = self.number([64, self.classes], np.int64)
        box = self.add("Split", whole, sizes, name="/head/Split", outputs=2, axis=1)
        dfl = self.add("Reshape", box, self.number([1, 4, 16, cells], np.int64), name="/head/dfl/Reshape")
        dfl = self.add("Transpose", dfl, name="/head/dfl/Transpose", perm=[0, 2, 1, 3])
        dfl = self.add("Softmax", dfl, name="/head/dfl/Softmax", axis=1)
        dfl = self.conv(dfl, 16, 1, 1, name="/head/dfl/conv/Conv")
        dfl = self.add("Reshape", dfl, self.number([1, 4, cells], np.int64), name="/head/dfl/Reshape_1")
        near = self.add("Split", dfl, self.number([2, 2], np.int64), name="/head/Split_1", outputs=2, axis=1)
        low = self.add("Sub", self.number(np.zeros((1, 2, cells))), near, name="/head/Sub")
        high = self.add("Add", self.number(np.zeros((1, 2, cells))), f"{near}.1", name="/head/Add")
        middle = self.add("Div", self.add("Add", low, high, name="/head/Add_1"), self.number(2), name="/head/Div")
        size = self.add("Sub", high, low, name="/head/Sub_1")
        boxes = self.add("Concat", middle, size, name="/head/Concat_1", axis=1)
        boxes = self.add("Mul", boxes, self.number(np.zeros((1, cells))), name="/head/Mul")
        scores = self.add("Sigmoid", f"{box}.1", name="/head/Sigmoid")
        return self.add("Concat", boxes, scores, name="output0", axis=1)

    def build(self) -> str:
        images = self.feed("images", 1, 3, self.side, self.side)
        stem = self.silu(images, 3, 16, 3, 2, "/model.0")
        two = self.c2f(self.silu(stem, 16, 32, 3, 2, "/model.1"), 32, 32, 1, True, "/model.2")
        four = self.c2f(self.silu(two, 32, 64, 3, 2, "/model.3"), 64, 64, 2, True, "/model.4")
        six = self.c2f(self.silu(four, 64, 128, 3, 2, "/model.5"), 128, 128, 2, True, "/model.6")
        eight = self.c2f(self.silu(six, 128, 256, 3, 2, "/model.7"), 256, 256, 1, True, "/model.8")
        nine = self.sppf(eight, 256, "/model.9")
        up = self.add("Concat", self.double(nine, "/model.10"), six, name="/model.11/Concat", axis=1)
        twelve = self.c2f(up, 384, 128, 1, False, "/model.12")
        up = self.add("Concat", self.double(twelve, "/model.13"), four, name="/model.14/Concat", axis=1)
        small = self.c2f(up, 192, 64, 1, False, "/model.15")
        down = self.add("Concat", self.silu(small, 64, 64, 3, 2, "/model.16"), twelve, name="/model.17/Concat", axis=1)
        medium = self.c2f(down, 192, 128, 1, False, "/model.18")
        down = self.add("Concat", self.silu(medium, 128, 128, 3, 2, "/model.19"), nine, name="/model.20/Concat", axis=1)
        large = self.c2f(down, 384, 256, 1, False, "/model.21")
        wide = ((small, 64), (medium, 128), (large, 256))
        return self.decode([self.head(one, width, f"/head/{index}") for index, (one, width) in enumerate(wide)])
