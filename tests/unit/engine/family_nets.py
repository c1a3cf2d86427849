"""Networks of every family, in two kinds: some that answer with given arrays, some that convolve. No tests in here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.bundle import ModelBundle, load_bundle

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
