"""Shapes are found where exporters hide them, and a network in half precision is lifted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from engine_kit import Net, noise_frames, write_bundle
from family_nets import Fixed, toml_text, write_fixed
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.half import lift_to_float32
from edgeagent.engine.network import load_network
from edgeagent.engine.quantise import quantise
from edgeagent.engine.shapes import settle_shapes
from edgeagent.errors import ModelError

NET = Net(classes=2)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def ending_in(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """NET, whose output goes through `nodes` from `output0` to `end`, and of whose shape the file says nothing."""
    model = NET.model()
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("end", TensorProto.FLOAT, ["a", "b", "c"]))
    return model


# What torch writes for `x.expand(1, 6, -1)`: the -1 is replaced by 1 with Equal and Where, which ONNX's own inference
# does not follow.
EXPAND = (
    [
        helper.make_node("Shape", ["wish"], ["rank"]),
        helper.make_node("ConstantOfShape", ["rank"], ["ones"], value=numpy_helper.from_array(ints(1))),
        helper.make_node("Mul", ["ones", "minus"], ["minus_ones"]),
        helper.make_node("Equal", ["wish", "minus_ones"], ["open"]),
        helper.make_node("Where", ["open", "ones", "wish"], ["shape"]),
        helper.make_node("Expand", ["output0", "shape"], ["end"]),
    ],
    {"wish": ints(1, 6, -1), "minus": ints(-1)},
)
# What older torch writes for `x.view(x.shape[0], 6, h * w)`, through floats as for interpolation.
VIEW = (
    [
        helper.make_node("Shape", ["output0"], ["whole"]),
        helper.make_node("Gather", ["whole", "two"], ["n"]),
        helper.make_node("Cast", ["n"], ["n_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["n_float", "one_float"], ["n_scaled"]),
        helper.make_node("Floor", ["n_scaled"], ["n_floor"]),
        helper.make_node("Cast", ["n_floor"], ["n_again"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["n_again", "axis"], ["n_list"]),
        helper.make_node("Concat", ["front", "n_list"], ["target"], axis=0),
        helper.make_node("Reshape", ["output0", "target"], ["end"]),
    ],
    {"two": np.array(2), "one_float": np.array(1, np.float32), "axis": ints(0), "front": ints(1, 6)},
)
TILE = ([helper.make_node("Tile", ["output0", "times"], ["end"])], {"times": ints(1, 1, 2)})


@pytest.mark.parametrize(("tail", "boxes"), [(EXPAND, 16), (VIEW, 16), (TILE, 32)], ids=["expand", "view", "tile"])
def test_shape_arithmetic_is_followed(
    tmp_path: Path, tail: tuple[list[onnx.NodeProto], dict[str, np.ndarray]], boxes: int
) -> None:
    loaded = load_network(write_bundle(tmp_path, NET, ending_in(*tail)))
    assert loaded.count == boxes
    known = {value.name for value in loaded.model.graph.value_info} | {"end"}
    assert known >= {name for node in loaded.model.graph.node for name in node.output}


def test_following_shapes_leaves_the_nodes_alone(tmp_path: Path) -> None:
    model = ending_in(*EXPAND)
    loaded = load_network(write_bundle(tmp_path, NET, model))
    assert [node.op_type for node in loaded.model.graph.node] == [node.op_type for node in model.graph.node]
    assert list(loaded.model.graph.initializer) == list(model.graph.initializer)


def stairs(count: int) -> onnx.ModelProto:
    """NET with Reshapes, each to the shape of the last."""
    model, last = NET.model(), "images"
    for step in range(count):
        model.graph.node.append(helper.make_node("Shape", [last], [f"s{step}"]))
        model.graph.node.append(helper.make_node("Reshape", [last, f"s{step}"], [f"x{step}"]))
        last = f"x{step}"
    return model


def test_shapes_that_rest_on_each_other(tmp_path: Path) -> None:
    loaded = load_network(write_bundle(tmp_path, NET, stairs(50)))
    (end,) = [value for value in loaded.model.graph.value_info if value.name == "x49"]
    assert [side.dim_value for side in end.type.tensor_type.shape.dim] == [1, 3, 32, 32]


def test_the_search_for_shapes_has_an_end() -> None:
    """A hundred thousand nodes and two hundred steps would take a quarter of an hour."""
    with pytest.raises(ModelError) as caught:
        settle_shapes(stairs(50), visits=1000)
    assert caught.value.error_code == "model_shapes"
    settle_shapes(stairs(50), visits=100_000)


def test_a_shape_that_only_a_frame_tells(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["output0"], ["places"]),
        helper.make_node("Cast", ["places"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["float", "axis"], ["end"]),
    ]
    with pytest.raises(ModelError) as caught:
        load_network(write_bundle(tmp_path, NET, ending_in(nodes, {"axis": ints(0)})))
    assert caught.value.error_code == "model_shapes"
    assert "(NonZero), does not follow from the file" in caught.value.message


def test_nms_inside_the_network(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["output0", "parts"], ["b", "s"], axis=1),
        helper.make_node("Transpose", ["b"], ["boxes"], perm=[0, 2, 1]),
        helper.make_node("NonMaxSuppression", ["boxes", "s", "most"], ["chosen"]),
        helper.make_node("Cast", ["chosen"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["float", "axis"], ["end"]),
    ]
    model = ending_in(nodes, {"parts": ints(4, 2), "most": ints(9), "axis": ints(0)})
    with pytest.raises(ModelError) as caught:
        load_network(write_bundle(tmp_path, NET, model))
    assert caught.value.error_code == "model_shapes" and "without NMS" in caught.value.mend


# half precision


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with all its floats in half precision, input and output too."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def found_by(model: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["boxes", "scores", "classes"], {"frames": noise_frames(1)[0][None]})


def test_a_network_in_half_precision_is_lifted(tmp_path: Path) -> None:
    half = graft_bundle(write_bundle(tmp_path / "half", NET, halved(NET.model())))
    full = graft_bundle(write_bundle(tmp_path / "full", NET))
    assert not [t.name for t in half.graph.initializer if t.data_type == TensorProto.FLOAT16]
    assert not [v.name for v in half.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16]
    (boxes, scores, _), (true_boxes, true_scores, _) = found_by(half), found_by(full)
    np.testing.assert_allclose(scores, true_scores, atol=2e-3)
    assert np.abs(np.sort(boxes[0], axis=0) - np.sort(true_boxes[0], axis=0)).max() < 0.2


def test_a_network_in_half_precision_has_an_int8_form(tmp_path: Path) -> None:
    half = graft_bundle(write_bundle(tmp_path, NET, halved(NET.model())))
    ops = [node.op_type for node in quantise(half, noise_frames(4), 1, lambda percent: None).graph.node]
    assert "QuantizeLinear" in ops


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_casts_constants_and_labels_of_half_precision(tmp_path: Path, opset: int) -> None:
    rng = np.random.default_rng(0)
    outputs = {
        "boxes": rng.uniform(0, 30, (1, 9, 4)).astype(np.float32),
        "scores": rng.uniform(0, 1, (1, 9)).astype(np.float32),
        "labels": rng.integers(0, 3, (1, 9)),
    }
    net = Fixed(outputs, opset=opset, half=True)
    model = net.model()
    value = numpy_helper.from_array(np.array(0, np.float16))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=value))
    bundle = write_fixed(tmp_path, model, toml_text(3))
    scores = found_by(graft_bundle(bundle))[1][0]
    np.testing.assert_allclose(scores, np.sort(outputs["scores"][0].astype(np.float16))[::-1], atol=1e-6)


def test_a_network_in_full_precision_is_left_alone() -> None:
    model = NET.model()
    before = model.SerializeToString(deterministic=True)
    assert not lift_to_float32(model)
    assert model.SerializeToString(deterministic=True) == before


# Q/DQ


def test_a_model_with_scales_of_its_own_is_taken(tmp_path: Path) -> None:
    grafted = graft_bundle(write_bundle(tmp_path / "float", NET))
    own = own_scales(NET.model())
    taken = graft_bundle(write_bundle(tmp_path / "own", NET, own))
    ops = [node.op_type for node in taken.graph.node]
    assert ops.count("QuantizeLinear") >= 1 and ops.count("DequantizeLinear") >= 2
    assert np.abs(found_by(taken)[1] - found_by(grafted)[1]).mean() < 0.1


def own_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """The stem's input and weight through Q/DQ, as a quantising exporter writes them."""
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "stem_weight")
    array = numpy_helper.to_array(weight)
    scale = np.abs(array).max(axis=(1, 2, 3)) / 127
    eight = np.round(array / scale[:, None, None, None]).astype(np.int8)
    weight.CopyFrom(numpy_helper.from_array(eight, "stem_weight_q"))
    constants = {
        "in_scale": np.array(1 / 127, np.float32),
        "in_zero": np.array(0, np.int8),
        "w_scale": scale.astype(np.float32),
        "w_zero": np.zeros(len(scale), np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "in_scale", "in_zero"], ["in_q"]),
        helper.make_node("DequantizeLinear", ["in_q", "in_scale", "in_zero"], ["in_dq"]),
        helper.make_node("DequantizeLinear", ["stem_weight_q", "w_scale", "w_zero"], ["stem_weight"], axis=0),
    ]
    stem = next(node for node in model.graph.node if node.output[0] == "stem")
    stem.input[0] = "in_dq"
    rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    return model
