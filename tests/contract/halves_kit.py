"""What the tests of `submit` and `collect` share: an engine of any batch whose answer tells its frame. No tests.

A frame's one candidate has as its score the mean of the frame, divided by 255, as its box that mean four times, and as
its class the mean rounded down.
"""

from __future__ import annotations

import mmap

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeagent.vision.detections import Candidates

WIDTH, HEIGHT = 64, 32


def mean_network(batch: int, width: int = WIDTH, height: int = HEIGHT) -> onnx.ModelProto:
    """A network with the inputs and outputs of a grafted one."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["means", "one_a_frame"], ["column"]),
        helper.make_node("Div", ["column", "full"], ["scores"]),
        helper.make_node("Cast", ["column"], ["classes"], to=TensorProto.INT32),
        helper.make_node("Concat", ["column"] * 4, ["sides"], axis=1),
        helper.make_node("Reshape", ["sides", "one_box_a_frame"], ["boxes"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([batch, 1]), "one_a_frame"),
        numpy_helper.from_array(np.array([batch, 1, 4]), "one_box_a_frame"),
        numpy_helper.from_array(np.array([255], np.float32), "full"),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, height, width, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, 1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 1]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, [batch, 1]),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def frame(value: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


class Pages:
    """Memory in whole pages, as a ring's is, with frames in it. `close` ends it."""

    def __init__(self, slots: int, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.slot_bytes = -(-width * height * 3 // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, slots * self.slot_bytes)
        self.memory = memoryview(self._map)
        self.frames = [
            np.ndarray((height, width, 3), np.uint8, buffer=self._map, offset=slot * self.slot_bytes)
            for slot in range(slots)
        ]

    def close(self) -> None:
        self.frames.clear()
        self.memory.release()
        self._map.close()


def same(found: Candidates, wanted: Candidates) -> bool:
    pairs = zip(vars(found).values(), vars(wanted).values(), strict=True)
    return all(np.array_equal(one, two) and one.dtype == two.dtype for one, two in pairs)
