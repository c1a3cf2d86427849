"""Which scales follow from which: operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.scale_flow import spread_scales, tensors_without_scale

ONE = 1 / 127


def network(*nodes: onnx.NodeProto, constants: dict[str, Any] | None = None, outputs: str = "y") -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for node in nodes for name in node.output]
    graph = helper.make_graph(
        list(nodes),
        "flow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
        value_info=values,
    )
    return helper.make_model(graph)


def op(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        kind, inputs.split(), outputs.split(), name=f"n_{outputs.split(maxsplit=1)[0]}", **attributes
    )


@pytest.mark.parametrize("kind", ["MaxPool", "Reshape", "Transpose", "Relu", "Resize", "Slice", "Identity", "Flatten"])
def test_on_and_back_through_what_moves(kind: str) -> None:
    graph = network(op(kind, "x", "a"), op(kind, "a", "y"))
    assert spread_scales(graph, {"x": 0.5}) == {"x": 0.5, "a": 0.5, "y": 0.5}
    assert spread_scales(graph, {"a": 0.5})["y"] == 0.5


def test_a_convolutions_result_gets_what_the_relu_behind_it_lets_through() -> None:
    graph = network(op("Conv", "x w", "a"), op("Relu", "a", "b"), op("Conv", "b w", "y"))
    assert spread_scales(graph, {"x": 1.0, "b": 0.25}) == {"x": 1.0, "a": 0.25, "b": 0.25}
    assert tensors_without_scale(graph, {"x": 1.0, "a": 0.25, "b": 0.25}) == ["y"]


def test_a_concat_has_the_largest_and_gives_its_own_to_those_without() -> None:
    graph = network(op("Conv", "x w", "a"), op("Conv", "x w", "b"), op("Concat", "a b", "y", axis=1), outputs="z")
    assert spread_scales(graph, {"a": 0.5, "b": 2.0})["y"] == 2.0
    assert spread_scales(graph, {"a": 0.5, "y": 1.0}) == {"a": 0.5, "b": 1.0, "y": 1.0}
    assert spread_scales(graph, {"a": 0.5}) == {"a": 0.5}


def test_a_tensor_with_a_reader_that_implies_nothing_stays_unknown() -> None:
    graph = network(op("Conv", "x w", "a"), op("Relu", "a", "b"), op("Sigmoid", "a", "c"), outputs="b c")
    assert spread_scales(graph, {"b": 0.5}) == {"b": 0.5, "c": ONE}


def test_the_larger_of_two_readers_wins() -> None:
    graph = network(op("Conv", "x w", "a"), op("Relu", "a", "b"), op("Transpose", "a", "c"), outputs="b c")
    assert spread_scales(graph, {"b": 0.5, "c": 2.0})["a"] == 2.0


def test_a_result_of_the_network_is_not_cut_to_what_its_readers_want() -> None:
    graph = network(op("Conv", "x w", "a"), op("Relu", "a", "b"), outputs="a b")
    assert "a" not in spread_scales(graph, {"b": 0.5})


def test_all_parts_of_a_split_make_the_whole() -> None:
    graph = network(op("Conv", "x w", "a"), op("Split", "a", "b c", axis=1), outputs="b c")
    assert spread_scales(graph, {"b": 0.5, "c": 2.0})["a"] == 2.0
    assert "a" not in spread_scales(graph, {"b": 0.5})


@pytest.mark.parametrize("kind", ["Sigmoid", "Softmax", "Tanh", "HardSigmoid"])
def test_what_ends_at_one_says_so_itself(kind: str) -> None:
    assert spread_scales(network(op(kind, "x", "y")), {}) == {"y": ONE}


def test_a_clip_says_where_it_ends_if_its_bounds_are_constants() -> None:
    clip = op("Clip", "x low high", "y")
    bounds = {"low": np.float32(0), "high": np.float32(6)}
    assert spread_scales(network(clip, constants=bounds), {}) == {"y": pytest.approx(6 / 127)}
    assert spread_scales(network(clip), {}) == {}
    endless = {"low": np.float32(0), "high": np.float32(np.inf)}
    assert spread_scales(network(clip, constants=endless), {}) == {}


def test_an_average_needs_no_more_and_says_nothing_of_what_was_averaged() -> None:
    graph = network(op("Conv", "x w", "a"), op("GlobalAveragePool", "a", "y"), outputs="z")
    assert spread_scales(graph, {"a": 0.5})["y"] == 0.5
    assert "a" not in spread_scales(graph, {"y": 0.5})


def test_constants_that_are_joined_on_leave_the_result_open() -> None:
    joined = network(op("Concat", "x c", "y", axis=1), constants={"c": np.full(3, 99, np.float32)}, outputs="z")
    assert "y" not in spread_scales(joined, {"x": 0.5})
    padded = network(op("Pad", "x p v", "y"), constants={"v": np.float32(99)}, outputs="z")
    assert "y" not in spread_scales(padded, {"x": 0.5})


def test_what_is_given_stays() -> None:
    assert spread_scales(network(op("Relu", "x", "y")), {"x": 2.0, "y": 0.5}) == {"x": 2.0, "y": 0.5}
