"""What the grafts are written with: nodes and constants under the graft's own prefix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

PREFIX = "edgeagent/"
FRAMES, BOXES, SCORES, CLASSES = "frames", "boxes", "scores", "classes"
RESULTS = (BOXES, SCORES, CLASSES)


@dataclass
class Sketch:
    """A graph in the making. Tensors are named without the prefix, but for the grafted network's own inputs and
    outputs, whose names are the contract with the sessions."""

    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:  # noqa: ANN401  what the operator takes
        """Add a node with one output and return that output's name."""
        names, made = [full_name(name) for name in inputs], full_name(output)
        self.nodes.append(helper.make_node(kind, names, [made], name=node_name(kind, output), **attributes))
        return output

    def split(self, source: str, sizes: dict[str, int], axis: int, name: str = "rows") -> None:
        """Cut `source` into the named pieces of these sizes along the axis; `name` is that of the sizes' constant."""
        inputs = [full_name(source), full_name(self.whole_numbers(name, list(sizes.values())))]
        made = [full_name(piece) for piece in sizes]
        node = f"{PREFIX}split" if name == "rows" else f"{PREFIX}split_{name}"
        self.nodes.append(helper.make_node("Split", inputs, made, name=node, axis=axis))

    def top(self, source: str, count: int, scores: str, index: str, axis: int = 1) -> None:
        """The `count` largest, best first. ONNX gives the earlier of equals first; TensorRT promises nothing there."""
        self.whole_numbers("k", [count])
        names, made = [full_name(source), full_name("k")], [full_name(scores), full_name(index)]
        self.nodes.append(helper.make_node("TopK", names, made, name=f"{PREFIX}topk", axis=axis, largest=1, sorted=1))

    def best_along(self, source: str, axis: int, best: str, which: str) -> None:
        """The largest along the axis, and where it stands, the axis gone from both.

        From opset 18 on ReduceMax takes its axes as an input. TensorRT 8.6 does not read them: it refuses the network,
        or computes something else without a word. So the largest is fetched from where ArgMax has found it.
        """
        if self.opset < 18:
            self.op("ReduceMax", [source], best, axes=[axis], keepdims=0)
            self.op("ArgMax", [source], which, axis=axis, keepdims=0)
            return
        self.whole_numbers("best_axis", [axis])
        self.op("ArgMax", [source], f"{which}_kept", axis=axis, keepdims=1)
        self.op("GatherElements", [source, f"{which}_kept"], f"{best}_kept", axis=axis)
        self.op("Squeeze", [f"{best}_kept", "best_axis"], best)
        self.op("Squeeze", [f"{which}_kept", "best_axis"], which)

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(array, full_name(name))
        return name

    def whole_numbers(self, name: str, values: list[int]) -> str:
        return self.constant(name, np.array(values, np.int64))

    def floats(self, name: str, values: Any) -> str:  # noqa: ANN401  what numpy takes
        return self.constant(name, np.array(values, np.float32))

    def model(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], ir_version: int
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
        return model_of(graph, self.opset, ir_version)


def full_name(name: str) -> str:
    return name if name == FRAMES or name in RESULTS else f"{PREFIX}{name}"


def node_name(kind: str, output: str) -> str:
    return f"{PREFIX}{kind.lower()}_{output}"


def model_of(graph: onnx.GraphProto, opset: int, ir_version: int) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="edgeagent")
    model.ir_version = ir_version
    return model


def result_infos(candidates: int) -> list[onnx.ValueInfoProto]:
    """The outputs of every grafted network, for K candidates."""
    return [
        helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [1, candidates, 4]),
        helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [1, candidates]),
        helper.make_tensor_value_info(CLASSES, TensorProto.INT32, [1, candidates]),
    ]
