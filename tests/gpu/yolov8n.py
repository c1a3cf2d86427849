"""A network of the shape of YOLOv8n, with random weights, written as ONNX by hand. No tests in here.

Backbone, SPPF, PAN neck and a head with distributed box sides, as Ultralytics published them (v8.0, yolov8.yaml, scale
n: depth 0.33, width 0.25) and as their exporter writes them at opset 17: SiLU as Sigmoid and Mul, chunks as Split,
nearest Resize by two. Input (1, 3, 640, 640), output (1, 84, 8400), 3.18 million weights. The weights are random, drawn
so that signals keep their size from layer to layer, and find nothing that a person would. The last ones are settled by
what they give on a few pictures, so that detections are few and clear as those of a trained network are: every third
class is seen on one level only, where a cell passes 0.5 as seldom as one in PEAK, its boxes are some six cells wide
and tall, and the classes from SEEN on are never seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeagent.simulate.scenes import ConveyorStream

SIDE, CLASSES, BINS = 640, 80, 16
STRIDES = (8, 16, 32)
HELD_OUT = range(500, 692, 8)  # frames of the camera
SILU_GAIN = 1.68
SEEN, PEAK, STEEP = 12, 1 / 4000, 4.0  # classes seen; share of cells that see one; logits a standard deviation
NEVER = (0.5, -12.0)  # spread and mean of the logits of what is never seen
SIDES = (0.5, 11.0)  # spread of the logits of a box side; the bin they favour
OPSET = 17


class _Writer:
    def __init__(self, seed: int, side: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.side = side
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.channels: dict[str, int] = {"images": 3}

    def const(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, inputs: list[str], name: str, channels: int = 0, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"/{name}/{kind}", **attributes))
        self.channels[name] = channels
        return name

    def bare_conv(self, x: str, name: str, out: int, kernel: int = 1, stride: int = 1) -> str:
        into = self.channels[x]
        weights = self.rng.normal(0, SILU_GAIN / math.sqrt(into * kernel * kernel), (out, into, kernel, kernel))
        inputs = [
            x,
            self.const(f"{name}.weight", weights.astype(np.float32)),
            self.const(f"{name}.bias", self.rng.normal(0, 0.1, out).astype(np.float32)),
        ]
        pads = [kernel // 2] * 4
        return self.op("Conv", inputs, name, out, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)

    def conv(self, x: str, name: str, out: int, kernel: int = 1, stride: int = 1) -> str:
        made = self.bare_conv(x, f"{name}.conv", out, kernel, stride)
        return self.op("Mul", [made, self.op("Sigmoid", [made], f"{name}.act", out)], name, out)

    def concat(self, parts: list[str], name: str, axis: int = 1) -> str:
        return self.op("Concat", parts, name, sum(self.channels[part] for part in parts), axis=axis)

    def c2f(self, x: str, name: str, out: int, repeats: int, shortcut: bool) -> str:
        half = out // 2
        both = self.conv(x, f"{name}.cv1", out)
        sizes = self.const(f"{name}.sizes", np.array([half, half], np.int64))
        parts = [f"{name}.left", f"{name}.right"]
        self.nodes.append(helper.make_node("Split", [both, sizes], parts, name=f"/{name}/Split", axis=1))
        self.channels.update(dict.fromkeys(parts, half))
        for index in range(repeats):
            inner = self.conv(parts[-1], f"{name}.m{index}.cv1", half, 3)
            inner = self.conv(inner, f"{name}.m{index}.cv2", half, 3)
            parts.append(self.op("Add", [parts[-1], inner], f"{name}.m{index}", half) if shortcut else inner)
        return self.conv(self.concat(parts, f"{name}.cat"), f"{name}.cv2", out)

    def sppf(self, x: str, name: str, out: int) -> str:
        parts = [self.conv(x, f"{name}.cv1", out // 2)]
        for index in range(3):
            pool = {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [2] * 4}
            parts.append(self.op("MaxPool", [parts[-1]], f"{name}.pool{index}", out // 2, **pool))
        return self.conv(self.concat(parts, f"{name}.cat"), f"{name}.cv2", out)

    def up(self, x: str, name: str) -> str:
        scales = self.const(f"{name}.scales", np.array([1, 1, 2, 2], np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.op("Resize", [x, "", scales], name, self.channels[x], **how)

    def reshape(self, x: str, name: str, shape: list[int]) -> str:
        return self.op("Reshape", [x, self.const(f"{name}.shape", np.array(shape, np.int64))], name, shape[1])


def yolov8n(seed: int = 0, side: int = SIDE) -> onnx.ModelProto:
    """The network. `side` may be any multiple of 32."""
    w = _Writer(seed, side)
    p3, p4, p5 = _backbone(w)
    levels = _neck(w, p3, p4, p5)
    _head(w, levels)
    anchors = sum((side // stride) ** 2 for stride in STRIDES)
    graph = helper.make_graph(
        w.nodes,
        "yolov8n",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + CLASSES, anchors])],
        w.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _backbone(w: _Writer) -> tuple[str, str, str]:
    x = w.conv("images", "model.0", 16, 3, 2)
    x = w.conv(x, "model.1", 32, 3, 2)
    x = w.c2f(x, "model.2", 32, 1, shortcut=True)
    x = w.conv(x, "model.3", 64, 3, 2)
    p3 = w.c2f(x, "model.4", 64, 2, shortcut=True)
    x = w.conv(p3, "model.5", 128, 3, 2)
    p4 = w.c2f(x, "model.6", 128, 2, shortcut=True)
    x = w.conv(p4, "model.7", 256, 3, 2)
    x = w.c2f(x, "model.8", 256, 1, shortcut=True)
    return p3, p4, w.sppf(x, "model.9", 256)


def _neck(w: _Writer, p3: str, p4: str, p5: str) -> list[str]:
    n4 = w.c2f(w.concat([w.up(p5, "model.10"), p4], "model.11"), "model.12", 128, 1, shortcut=False)
    n3 = w.c2f(w.concat([w.up(n4, "model.13"), p3], "model.14"), "model.15", 64, 1, shortcut=False)
    x = w.concat([w.conv(n3, "model.16", 64, 3, 2), n4], "model.17")
    o4 = w.c2f(x, "model.18", 128, 1, shortcut=False)
    x = w.concat([w.conv(o4, "model.19", 128, 3, 2), p5], "model.20")
    return [n3, o4, w.c2f(x, "model.21", 256, 1, shortcut=False)]


def _head(w: _Writer, levels: list[str]) -> None:
    flat = []
    for index, level in enumerate(levels):
        name = f"model.22.{index}"
        box = w.conv(w.conv(level, f"{name}.box0", 64, 3), f"{name}.box1", 64, 3)
        box = w.bare_conv(box, f"{name}.box2", 4 * BINS)
        score = w.conv(w.conv(level, f"{name}.cls0", CLASSES, 3), f"{name}.cls1", CLASSES, 3)
        score = w.bare_conv(score, f"{name}.cls2", CLASSES)
        both = w.concat([box, score], f"{name}.cat")
        cells = (w.side // STRIDES[index]) ** 2
        flat.append(w.reshape(both, f"{name}.flat", [1, 4 * BINS + CLASSES, cells]))
    whole = w.op("Concat", flat, "model.22.all", 4 * BINS + CLASSES, axis=2)
    sizes = w.const("model.22.sizes", np.array([4 * BINS, CLASSES], np.int64))
    w.nodes.append(
        helper.make_node("Split", [whole, sizes], ["model.22.sides", "model.22.logits"], name="/model.22/Split", axis=1)
    )
    boxes = _boxes(w)
    scores = w.op("Sigmoid", ["model.22.logits"], "model.22.scores", CLASSES)
    w.op("Concat", [boxes, scores], "output0", 4 + CLASSES, axis=1)


def settle(model: onnx.ModelProto, pictures: list[np.ndarray]) -> None:
    """Scale and shift the head's last convolutions by what they give on `pictures`, so that detections are few.

    pictures: float32 (1, 3, side, side) each.
    """
    import onnxruntime

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    last = [node for node in model.graph.node if node.output[0].endswith(("box2", "cls2"))]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in last)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run(None, {"images": picture}) for picture in pictures]
    for node, outputs in zip(last, zip(*found, strict=True), strict=True):
        values = np.concatenate(outputs).swapaxes(0, 1)
        values = values.reshape(len(values), -1)
        scale, shift = _settled(values, int(node.output[0].split(".")[2]), "box2" in node.output[0])
        weights, bias = (constants[name] for name in node.input[1:])
        _replace(weights, numpy_helper.to_array(weights) * scale[:, None, None, None])
        _replace(bias, numpy_helper.to_array(bias) * scale + shift)


def _settled(values: np.ndarray, level: int, box: bool) -> tuple[np.ndarray, np.ndarray]:
    """By what to multiply each channel, and what to add then. values: (channels, cells of all pictures)."""
    spread, mean = values.std(1) + 1e-3, values.mean(1)
    if box:
        bins = np.tile(np.arange(BINS), 4)
        scale = SIDES[0] / spread
        return scale, -mean * scale - 0.25 * (bins - SIDES[1]) ** 2
    number = np.arange(CLASSES)
    seen = (number < SEEN) & (number % len(STRIDES) == level)
    scale = np.where(seen, STEEP, NEVER[0]) / spread
    return scale, np.where(seen, -np.quantile(values, 1 - PEAK, axis=1) * scale, NEVER[1] - mean * scale)


def _replace(tensor: onnx.TensorProto, array: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))


def _boxes(w: _Writer) -> str:
    """Distances by the mean of a distribution, then centre and size in pixels."""
    cells = [w.side // stride for stride in STRIDES]
    count = sum(cell * cell for cell in cells)
    x = w.reshape("model.22.sides", "model.22.bins", [1, 4, BINS, count])
    x = w.op("Transpose", [x], "model.22.turned", BINS, perm=[0, 2, 1, 3])
    x = w.op("Softmax", [x], "model.22.soft", BINS, axis=1)
    mean = w.const("model.22.dfl.weight", np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1))
    x = w.op("Conv", [x, mean], "model.22.dfl", 1, kernel_shape=[1, 1])
    x = w.reshape(x, "model.22.distances", [1, 4, count])
    sizes = w.const("model.22.twos", np.array([2, 2], np.int64))
    w.nodes.append(helper.make_node("Split", [x, sizes], ["lt", "rb"], name="/model.22/Split_1", axis=1))
    grids = [np.stack(np.meshgrid(np.arange(cell), np.arange(cell))).reshape(2, -1) + 0.5 for cell in cells]
    anchors = w.const("model.22.anchors", np.concatenate(grids, 1)[None].astype(np.float32))
    first = w.op("Sub", [anchors, "lt"], "model.22.first", 2)
    second = w.op("Add", [anchors, "rb"], "model.22.second", 2)
    centre = w.op(
        "Div", [w.op("Add", [first, second], "model.22.sum", 2), w.const("two", np.float32([2]))], "centre", 2
    )
    size = w.op("Sub", [second, first], "size", 2)
    strides = np.concatenate([np.full(cell * cell, stride) for cell, stride in zip(cells, STRIDES, strict=True)])
    box = w.op("Concat", [centre, size], "model.22.box", 4, axis=1)
    return w.op("Mul", [box, w.const("strides", strides[None, None].astype(np.float32))], "model.22.boxes", 4)


def camera(frames: Iterable[int], side: int = SIDE) -> list[np.ndarray]:
    """uint8 (side, side, 3) BGR frames of one camera above a belt: what the network is settled on, and made for."""
    stream = ConveyorStream(side, side, 5.0, seed=4)
    return [stream.frame(frame)[0] for frame in frames]


def write_yolov8n(folder: Path, side: int = SIDE, seed: int = 0) -> Path:
    """A bundle of it in `folder`: the ONNX and a model.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    model = yolov8n(seed, side)
    pictures = [picture[None] for picture in camera(HELD_OUT, side)]
    settle(model, [(picture.transpose(0, 3, 1, 2)[:, ::-1] / 255).astype(np.float32) for picture in pictures])
    onnx.save(model, str(folder / "yolov8n.onnx"))
    names = ", ".join(f'"class {index}"' for index in range(CLASSES))
    (folder / "model.toml").write_text(
        f'name = "yolov8n-random"\nversion = "1"\nonnx = "yolov8n.onnx"\ntask = "detect"\nfamily = "yolov8"\n'
        f'classes = [{names}]\n\n[input]\nwidth = {side}\nheight = {side}\ncolor = "rgb"\nscale = {1 / 255}\n'
    )
    return folder
