"""Networks of every family, in two kinds: some that answer with given arrays, some that convolve. No tests in here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from engine_kit import Net
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.bundle import Family, ModelBundle, load_bundle

Array = npt.NDArray[Any]
TYPES = {np.dtype(np.float32): 1, np.dtype(np.float16): 10, np.dtype(np.int64): 7, np.dtype(np.int32): 6}


@dataclass
class Fixed:
    """A network that looks at its picture and answers with `outputs` all the same; `last` is an output's last operator
    by the output's name, as a trained network would have it there (`Softmax`, `Sigmoid`)."""

    outputs: dict[str, Array]
    width: int = 32
    height: int = 32
    opset: int = 17
    last: dict[str, str] = field(default_factory=dict)
    half: bool = False

    def model(self) -> onnx.ModelProto:
        kind = TensorProto.FLOAT16 if self.half else TensorProto.FLOAT
        nodes = [helper.make_node("GlobalAveragePool", ["images"], ["mean"])]
        nodes.append(helper.make_node("Slice", ["mean", "zero", "one", "one"], ["one_channel"]))
        nodes.append(helper.make_node("Mul", ["one_channel", "nothing"], ["nought"]))
        nodes.append(helper.make_node("Reshape", ["nought", "one"], ["flat"]))
        numbers = np.float16 if self.half else np.float32
        constants = [
            numpy_helper.from_array(np.array([0], np.int64), "zero"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
            numpy_helper.from_array(np.array(0, numbers), "nothing"),
        ]
        for name, array in self.outputs.items():
            whole = array.astype(numbers) if array.dtype == np.float32 else array
            constants.append(numpy_helper.from_array(whole, f"{name}_values"))
            nodes += self._answer(name, TYPES[whole.dtype])
        infos = [
            helper.make_tensor_value_info(n, kind if a.dtype == np.float32 else TYPES[a.dtype], list(a.shape))
            for n, a in self.outputs.items()
        ]
        shape = [1, 3, self.height, self.width]
        graph = helper.make_graph(
            nodes, "fixed", [helper.make_tensor_value_info("images", kind, shape)], infos, constants
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def _answer(self, name: str, kind: int) -> list[onnx.NodeProto]:
        """Zero, made of the picture, plus the values."""
        last = self.last.get(name, "Identity")
        return [
            helper.make_node("Cast", ["flat"], [f"{name}_nought"], to=kind),
            helper.make_node("Add", [f"{name}_values", f"{name}_nought"], [f"{name}_sum"]),
            helper.make_node(last, [f"{name}_sum"], [name]),
        ]


def toml_text(
    classes: int,
    width: int = 32,
    height: int = 32,
    *,
    family: str | None = None,
    task: str = "detect",
    **output: object,
) -> str:
    """A model.toml of that content; `output` is the table [output]."""
    said = "" if family is None else f'family = "{family}"\n'
    options = "".join(f"{name} = {json.dumps(value)}\n" for name, value in output.items())
    names = json.dumps([f"class-{number}" for number in range(classes)])
    return (
        f'name = "fixed"\nversion = "1"\nonnx = "fixed.onnx"\ntask = "{task}"\n{said}classes = {names}\n'
        f"[input]\nwidth = {width}\nheight = {height}\n[output]\n{options}"
    )


def write_fixed(folder: Path, net: Fixed | onnx.ModelProto, text: str) -> ModelBundle:
    """A bundle of this network and this model.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    model = net.model() if isinstance(net, Fixed) else net
    (folder / "fixed.onnx").write_bytes(model.SerializeToString())
    (folder / "model.toml").write_text(text, encoding="utf-8")
    return load_bundle(str(folder))


CONVOLVING: dict[str, tuple[Family, dict[str, object]]] = {
    "yolov8": ("yolov8", {}),
    "yolov5": ("yolov5", {}),
    "end2end": ("end2end", {}),
    "rtdetr": ("rtdetr", {}),
    "detr": ("rtdetr", {}),
    "ssd": ("ssd", {"boxes": "xyxy"}),
    "classifier": ("classifier", {}),
}


def convolving(kind: str, classes: int = 3, opset: int = 17, side: int = 64) -> onnx.ModelProto:
    """A small network with weights, whose outputs are those of the family: a YOLOv8-style one with another end."""
    net = Net(width=side, height=side, classes=classes, opset=opset, strides=(4, 8))
    model = net.model()
    graph, n = model.graph, net.boxes
    if kind == "yolov8":
        return model
    end = _End(graph, opset)
    end.op("Transpose", ["output0"], "turned", perm=[0, 2, 1])
    end.split("turned", {"centres": 4, "chance": classes}, axis=2)
    del graph.output[:]
    match kind:
        case "yolov5":
            end.reduce("ReduceMean", "chance", "mean", 2, 1)
            end.op("Concat", ["centres", "mean", "chance"], "out", axis=2)
            end.output("out", [1, n, 5 + classes])
        case "end2end":
            _end2end(end, n)
        case "rtdetr":
            end.op("Div", ["centres", end.floats("size", [side] * 4)], "shares")
            end.op("Concat", ["shares", "chance"], "out", axis=2)
            end.output("out", [1, n, 4 + classes])
        case "detr":
            end.op("Div", ["centres", end.floats("size", [side] * 4)], "pred_boxes")
            _logits(end, classes, "logits")
            end.output("logits", [1, n, classes])
            end.output("pred_boxes", [1, n, 4])
        case "ssd":
            _ssd(end, n, classes, side)
        case "classifier":
            end.reduce("ReduceMean", "chance", "features", 1, 0)
            weight = np.random.default_rng(0).normal(0, 5, (classes, classes)).astype(np.float32)
            end.op("Gemm", ["features", end.constant("head", weight)], "out")
            end.output("out", [1, classes])
    return model


@dataclass
class _End:
    """Nodes behind a network's last."""

    graph: onnx.GraphProto
    opset: int

    def op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.graph.node.append(helper.make_node(kind, inputs, [output], name=f"end_{output}", **attributes))
        return output

    def reduce(self, kind: str, source: str, output: str, axis: int, keepdims: int) -> str:
        if self.opset < 18:
            return self.op(kind, [source], output, axes=[axis], keepdims=keepdims)
        axes = self.constant(f"{output}_axes", np.array([axis], np.int64))
        return self.op(kind, [source, axes], output, keepdims=keepdims)

    def split(self, source: str, sizes: dict[str, int], axis: int) -> None:
        parts = self.constant(f"{source}_parts", np.array(list(sizes.values()), np.int64))
        name = f"end_split_{source}"
        self.graph.node.append(helper.make_node("Split", [source, parts], list(sizes), name=name, axis=axis))

    def constant(self, name: str, array: Array) -> str:
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def floats(self, name: str, values: Any) -> str:
        return self.constant(name, np.array(values, np.float32))

    def output(self, name: str, shape: list[int]) -> None:
        self.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _logits(end: _End, classes: int, name: str) -> None:
    """Scores 0..1 back to what a Sigmoid makes them of, ending in a linear step as a trained head does."""
    end.op("Sub", [end.floats("whole", 1.0), "chance"], "unlikely")
    end.op("Div", ["chance", "unlikely"], "odds")
    end.op("Log", ["odds"], "log_odds")
    end.op("Add", ["log_odds", end.floats("bias", [0.0] * classes)], name)


def _corners(end: _End) -> None:
    matrix = [[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]]
    end.op("MatMul", ["centres", end.floats("to_corners", matrix)], "corners")


def _end2end(end: _End, n: int) -> None:
    _corners(end)
    end.reduce("ReduceMax", "chance", "best", 2, 1)
    end.op("ArgMax", ["chance"], "which", axis=2, keepdims=1)
    end.op("Cast", ["which"], "label", to=TensorProto.FLOAT)
    end.op("Concat", ["corners", "best", "label"], "out", axis=2)
    end.output("out", [1, n, 6])


def _ssd(end: _End, n: int, classes: int, side: int) -> None:
    _corners(end)
    end.op("Div", ["corners", end.floats("size", [side] * 4)], "boxes")
    _logits(end, classes, "log_odds_all")
    end.reduce("ReduceMin", "chance", "least", 2, 1)
    end.op("Concat", ["least", "log_odds_all"], "with_background", axis=2)
    end.op("Softmax", ["with_background"], "scores", axis=2)
    end.output("scores", [1, n, classes + 1])
    end.output("boxes", [1, n, 4])
