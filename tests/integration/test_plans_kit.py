"""Small engines for ONNX Runtime whose answers tell which frame they saw, and some that go wrong. No tests in here.

A frame's first byte is the score of all four boxes of its answer (times 1/255), so a result tells its frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FAILS_FROM = 250  # a frame whose first byte is this or more makes `failing` raise
BOXES = np.array([[0, 0, 8, 8], [16, 0, 24, 8], [0, 16, 8, 24], [16, 16, 24, 24]], np.float32)


def write_plan(
    path: Path,
    *,
    batch: int = 1,
    width: int = 64,
    height: int = 64,
    failing: bool = False,
    fails_from: int = FAILS_FROM,
    random: bool = False,
    no_numbers: bool = False,
    shift: float = 0.0,
    work: int = 0,
    ballast_mb: int = 0,
) -> str:
    """`random`: scores are new ones each time; `no_numbers`: they are none; `shift` moves the boxes; `work`: so many
    multiplications of two large matrices, for an engine that takes its time; `ballast_mb` of weights make it take its
    time to load."""
    constants = {
        "starts": np.zeros(4, np.int64),
        "ends": np.array([batch, 1, 1, 1], np.int64),
        "flat": np.array([batch, 1], np.int64),
        "scale": np.full((1, 4), 1 / 255, np.float32),
        "boxes_once": BOXES[None] + np.float32(shift),
        "boxes_shape": np.array([batch, 4, 4], np.int64),
        "classes_once": np.tile(np.array([[0, 1, 2, 0]], np.int32), (batch, 1)),
    }
    nodes = [
        helper.make_node("Slice", ["frames", "starts", "ends"], ["corner"]),
        helper.make_node("Reshape", ["corner", "flat"], ["byte"]),
        helper.make_node("Cast", ["byte"], ["value"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["boxes_once", "boxes_shape"], ["boxes"]),
        helper.make_node("Identity", ["classes_once"], ["classes"]),
    ]
    value = "value"

    def add(name: str, extra: str, op: str = "Add") -> None:
        nonlocal value
        nodes.append(helper.make_node(op, [value, extra], [name]))
        value = name

    if failing:
        constants["table"] = np.zeros(fails_from, np.float32)
        nodes.append(helper.make_node("Cast", ["byte"], ["index"], to=TensorProto.INT64))
        nodes.append(helper.make_node("Gather", ["table", "index"], ["looked_up"]))
        add("checked", "looked_up")
    if work:
        constants["matrix"] = np.full((512, 512), 1e-3, np.float32)
        constants["least"] = np.zeros((1, 1), np.float32)
        nodes.append(helper.make_node("Mul", ["value", "least"], ["nothing"]))
        nodes.append(helper.make_node("ReduceSum", ["nothing"], ["zero"], keepdims=0))
        nodes.append(helper.make_node("Add", ["matrix", "zero"], ["product0"]))
        for step in range(work):
            nodes.append(helper.make_node("MatMul", [f"product{step}", "matrix"], [f"product{step + 1}"]))
        nodes.append(helper.make_node("ReduceSum", [f"product{work}"], ["sum"], keepdims=0))
        nodes.append(helper.make_node("Mul", ["sum", "zero"], ["worked"]))
        add("tired", "worked")
    if ballast_mb:
        constants["ballast"] = np.zeros((ballast_mb, 1 << 18), np.float32)
        nodes.append(helper.make_node("Cast", ["byte"], ["row"], to=TensorProto.INT64))
        constants["lightest"] = np.zeros((1, 1), np.int64)
        nodes.append(helper.make_node("Mul", ["row", "lightest"], ["first_row"]))
        nodes.append(helper.make_node("GatherElements", ["ballast", "first_row"], ["weight"]))
        add("weighed", "weight")
    if no_numbers:
        constants["none"] = np.full((1, 1), np.nan, np.float32)
        add("not_a_number", "none")
    nodes.append(helper.make_node("Mul", [value, "scale"], ["scores" if not random else "plain"]))
    if random:
        nodes.append(helper.make_node("RandomUniform", [], ["scores"], shape=[batch, 4], low=0.0, high=1.0))
    graph = helper.make_graph(
        nodes,
        "plan",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, [batch, height, width, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, 4, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 4]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, [batch, 4]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return str(path)


def frame_of(byte: int, width: int = 64, height: int = 64) -> np.ndarray:
    """A frame whose answer has this byte for a score."""
    return np.full((height, width, 3), byte, np.uint8)
