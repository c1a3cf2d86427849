"""From ONNX to layers: folding, attributes with ONNX's defaults filled in, multiply-adds against a count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from dla_kit import ORIN, ORIN_86, Network
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.build.tensorrt.macs import count_macs
from edgeagent.engine.dla.layer import Layer
from edgeagent.engine.dla.layers import layers_of
from edgeagent.engine.dla.read import read_plain, read_subject
from edgeagent.engine.dla.rules import judge_layer
from edgeagent.errors import ModelError


def only(network: Network, folder: Path, output: str) -> Layer:
    (one,) = network.layers(folder, output)
    return one


def fed(*shape: int, opset: int = 17) -> tuple[Network, str]:
    network = Network(opset)
    return network, network.feed("x", *shape)


def test_a_convolution(tmp_path: Path) -> None:
    network, x = fed(1, 16, 20, 30)
    weights = network.number(np.zeros((8, 4, 3, 5)))
    bias = network.number(np.zeros(8))
    conv = network.add("Conv", x, weights, bias, name="c", strides=[2, 1], pads=[1, 2, 1, 2], dilations=[1, 1], group=4)
    one = only(network, tmp_path, conv)
    assert (one.kind, one.name, one.result.shape) == ("convolution", "c", (1, 8, 10, 30))
    assert one.ints("kernel") == (3, 5)
    assert one.ints("padding") == (1, 2, 1, 2)
    assert one.ints("channels") == (16, 8)
    assert (one.number("groups"), one.flag("weights_constant")) == (4, True)
    assert one.macs == 8 * 10 * 30 * 4 * 3 * 5
    assert one.weights == 8 * 4 * 3 * 5 + 8
    assert one.inputs[0].name == "x" and len(one.constants) == 2


@pytest.mark.parametrize(("auto", "padding"), [("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0))])
def test_padding_that_is_left_to_onnx(tmp_path: Path, auto: str, padding: tuple[int, ...]) -> None:
    """Stride 2 over an even side: one row more on one side; VALID has none."""
    network, x = fed(1, 4, 20, 20)
    weights = network.number(np.zeros((4, 4, 3, 3)))
    same = network.add("Conv", x, weights, strides=[2, 2], auto_pad=auto)
    valid = network.add("Conv", x, weights, auto_pad="VALID")
    one, other = network.layers(tmp_path, same, valid)
    assert one.ints("padding") == padding
    assert other.ints("padding") == (0, 0, 0, 0)


def test_a_deconvolution(tmp_path: Path) -> None:
    network, x = fed(1, 16, 10, 10)
    weights = network.number(np.zeros((16, 8, 2, 2)))
    plain = network.add("ConvTranspose", x, weights, strides=[2, 2])
    same = network.add(
        "ConvTranspose", x, network.number(np.zeros((16, 8, 4, 4))), strides=[2, 2], auto_pad="SAME_UPPER"
    )
    one, other = network.layers(tmp_path, plain, same)
    assert one.macs == 16 * 10 * 10 * 8 * 2 * 2
    assert one.ints("channels") == (16, 8)
    assert judge_layer(one, ORIN).on_dla
    assert other.ints("padding") == (1, 1, 1, 1)
    assert "padding" in judge_layer(other, ORIN).reason


def test_products(tmp_path: Path) -> None:
    network, x = fed(4, 32)
    b = network.number(np.zeros((10, 32)))
    gemm = network.add("Gemm", x, b, network.number(np.zeros(10)), transB=1)
    turned = network.add("Gemm", x, network.number(np.zeros((4, 7))), transA=1)
    matmul = network.add("MatMul", x, network.number(np.zeros((32, 5))))
    left = network.add("MatMul", network.number(np.zeros((3, 4))), x)
    layers = network.layers(tmp_path, gemm, turned, matmul, left)
    assert [one.macs for one in layers] == [4 * 10 * 32, 32 * 7 * 4, 4 * 5 * 32, 3 * 32 * 4]
    assert [judge_layer(one, ORIN).on_dla for one in layers] == [True, False, True, False]
    assert layers[0].ints("channels") == (32, 10)


def test_a_product_of_stacks_is_no_convolution(tmp_path: Path) -> None:
    network, x = fed(2, 3, 32)
    stacks = network.add("MatMul", x, network.number(np.zeros((2, 32, 5))))
    assert "1x1 convolution" in judge_layer(only(network, tmp_path, stacks), ORIN).reason


def test_pools(tmp_path: Path) -> None:
    network, x = fed(1, 4, 21, 21)
    first = network.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    second = network.add("AveragePool", x, kernel_shape=[2, 2], count_include_pad=1)
    third = network.add("MaxPool", x, kernel_shape=[2, 2], outputs=2)
    one, other, indices = network.layers(tmp_path, first, second, third, f"{third}.1")
    assert (one.ints("stride"), one.ints("padding"), one.ints("dilation")) == ((2, 2), (0, 0, 0, 0), (1, 1))
    assert other.flag("padding_counts") and other.ints("stride") == (1, 1)
    assert "int64" in judge_layer(indices, ORIN).reason
    assert one.macs == 0


def test_clips_and_slopes(tmp_path: Path) -> None:
    network, x = fed(1, 4, 8, 8)
    both = network.add("Clip", x, network.number(0), network.number(6))
    open_ = network.add("Clip", x, "", network.number(6))
    leaky = network.add("LeakyRelu", x)
    steep = network.add("LeakyRelu", x, alpha=0.5)
    layers = network.layers(tmp_path, both, open_, leaky, steep)
    assert layers[0].attributes == {"low": 0.0, "high": 6.0}
    assert layers[1].attributes["low"] is None
    assert layers[2].number("alpha") == pytest.approx(0.01)
    assert layers[3].number("alpha") == 0.5
    assert [judge_layer(one, ORIN).on_dla for one in layers] == [True, False, True, True]


def test_constants_make_a_scale(tmp_path: Path) -> None:
    network, x = fed(1, 4, 8, 8)
    c = network.number(np.ones((1, 4, 1, 1)))
    names = [
        network.add("Mul", x, c),
        network.add("Add", c, x),
        network.add("Sub", x, c),
        network.add("Sub", c, x),
        network.add("Div", x, c),
        network.add("Max", x, c),
        network.add("Mul", x, x),
    ]
    layers = network.layers(tmp_path, *names)
    assert [one.kind for one in layers] == ["scale", "scale", "scale", *["elementwise"] * 4]
    assert layers[0].weights == 4
    assert not judge_layer(layers[4], ORIN_86).on_dla


def test_normalisation(tmp_path: Path) -> None:
    network, x = fed(1, 4, 8, 8)
    values = [network.number(np.ones(4)) for _ in range(4)]
    one = only(network, tmp_path, network.add("BatchNormalization", x, *values))
    assert (one.kind, one.weights) == ("scale", 8)
    assert judge_layer(one, ORIN).on_dla


def test_axes_from_behind(tmp_path: Path) -> None:
    network, x = fed(1, 4, 8, 8)
    joined = network.add("Concat", x, x, axis=-3)
    soft = network.add("Softmax", x)
    one, other = network.layers(tmp_path, joined, soft)
    assert (one.number("axis"), other.number("axis")) == (1, 3)


def test_resizes(tmp_path: Path) -> None:
    network, x = fed(1, 4, 8, 8, opset=18)
    plain = network.add("Resize", x, "", network.number([1, 1, 2, 2]))
    sized = network.add("Resize", x, "", "", network.number([1, 4, 16, 16], np.int64))
    some = network.add("Resize", x, "", network.number([2, 4]), axes=[2, 3], mode="linear")
    one, two, three = network.layers(tmp_path, plain, sized, some)
    assert one.attributes["scales"] == (1.0, 1.0, 2.0, 2.0)
    assert (one.text("mode"), one.text("coordinates"), one.text("rounding")) == (
        "nearest", "half_pixel", "round_prefer_floor",
    )  # fmt: skip
    assert two.flag("sized") and "scale_factor" in judge_layer(two, ORIN).reason
    assert three.attributes["scales"] == (1.0, 1.0, 2.0, 4.0)


def test_slices_and_splits(tmp_path: Path) -> None:
    network, x = fed(1, 8, 9, 9)

    def ints(*values: int) -> str:
        return network.number(list(values), np.int64)

    half = network.add("Slice", x, ints(0), ints(4), ints(1))
    whole = network.add("Slice", x, ints(0, 0), ints(1, 4), ints(0, 1))
    gaps = network.add("Slice", x, ints(0), ints(9), ints(-1), ints(2))
    split = network.add("Split", x, ints(3, 5), axis=1, outputs=2)
    layers = network.layers(tmp_path, half, whole, gaps, split, f"{split}.1")
    assert [one.ints("axes") for one in layers] == [(1,), (1,), (3,), (1,)]
    assert [judge_layer(one, ORIN).on_dla for one in layers] == [True, True, False, True]
    assert layers[2].ints("steps") == (2,)
    assert [tensor.shape[1] for tensor in layers[3].outputs] == [3, 5]


def test_moves_and_reductions(tmp_path: Path) -> None:
    network, x = fed(1, 8, 6, 4, opset=18)
    turned = network.add("Transpose", x)
    some = network.add("ReduceMax", x, network.number([-1, 1], np.int64))
    mean = network.add("GlobalAveragePool", x)
    layers = network.layers(tmp_path, turned, some, mean)
    assert layers[0].ints("order") == (3, 2, 1, 0)
    assert layers[1].ints("axes") == (3, 1)
    assert layers[2].ints("axes") == (2, 3)
    assert [judge_layer(one, ORIN).on_dla for one in layers] == [False, True, False]


def test_comparisons_and_their_casts(tmp_path: Path) -> None:
    network, x = fed(1, 8, 6, 4)
    equal = network.add("Equal", x, network.number(1))
    cast = network.add("Cast", equal, to=TensorProto.FLOAT)
    lone = network.add("Cast", x, to=TensorProto.INT32)
    one, two, three = network.layers(tmp_path, cast, lone)
    assert one.flag("cast_behind") and judge_layer(one, ORIN).on_dla
    assert judge_layer(two, ORIN).on_dla
    assert not judge_layer(three, ORIN).on_dla


def test_what_does_not_depend_on_the_frame_is_folded(tmp_path: Path) -> None:
    """The scales of a Resize, reckoned from shapes as PyTorch exports them; Identity and Dropout vanish."""
    network, x = fed(1, 4, 8, 8)
    shape = network.add("Shape", x)
    some = network.add("Slice", shape, *(network.number([n], np.int64) for n in (2, 4)))
    as_float = network.add("Cast", some, to=TensorProto.FLOAT)
    twice = network.add("Div", network.add("Mul", as_float, network.number([2])), as_float)
    scales = network.add("Concat", network.number([1, 1]), twice, axis=0)
    same = network.add("Dropout", network.add("Identity", x))
    resized = network.add("Resize", same, "", scales, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    one = only(network, tmp_path, resized)
    assert one.inputs[0].name == "x"
    assert one.attributes["scales"] == (1.0, 1.0, 2.0, 2.0)
    assert judge_layer(one, ORIN).on_dla


def test_weights_behind_quantisation_are_constant(tmp_path: Path) -> None:
    network, x = fed(1, 4, 8, 8)
    scale, zero = network.number(0.1), network.number(0, np.int8)
    pair = network.add("DequantizeLinear", network.add("QuantizeLinear", x, scale, zero), scale, zero)
    weights = network.add("DequantizeLinear", network.number(np.zeros((4, 4, 3, 3)), np.int8), scale, zero)
    layers = network.layers(tmp_path, network.add("Conv", pair, weights))
    assert [one.kind for one in layers] == ["quantise", "quantise", "convolution"]
    assert layers[2].flag("weights_constant")
    assert [judge_layer(one, ORIN).on_dla for one in layers] == [False, False, True]


def test_nodes_without_names_are_named_by_their_output(tmp_path: Path) -> None:
    network, x = fed(1, 4, 8, 8)
    output = network.add("Relu", x, name="r")
    network.nodes[0].name = ""
    assert only(network, tmp_path, output).name == "node_of_r"


def test_layers_of_every_kind_match_what_onnxruntime_makes(tmp_path: Path) -> None:
    """The shapes that the rules look at are those of a real run."""
    network, x = fed(1, 6, 20, 20)
    conv = network.conv(x, 6, 8, 3, 2)
    up = network.add("ConvTranspose", conv, network.number(np.zeros((8, 4, 2, 2))), strides=[2, 2])
    pool = network.add("AveragePool", up, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    path = network.write(tmp_path, conv, up, pool)
    ran = onnxruntime.InferenceSession(str(path)).run(None, {"x": np.zeros((1, 6, 20, 20), np.float32)})
    assert [one.result.shape for one in layers_of(read_plain(path))] == [array.shape for array in ran]


def test_the_sample_model_with_its_grafts() -> None:
    subject = read_subject("sample:conveyor")
    layers = layers_of(subject.model)
    grafts = [one for one in layers if one.is_graft]
    convolutions = [one for one in layers if one.kind == "convolution"]
    assert subject.grafted and grafts[0].op == "Cast" and grafts[-1].op == "MatMul"
    assert sum(one.macs for one in layers if not one.is_graft) == sum(one.macs for one in convolutions)
    assert all(one.name.startswith("model/") for one in convolutions)


def test_open_shapes(tmp_path: Path) -> None:
    network = Network()
    relu = network.add("Relu", network.feed("x", "batch", 3, "h", 32))
    with pytest.raises(ModelError, match=r"input x is open \(batch, 3, h, 32\).*static") as caught:
        network.layers(tmp_path, relu)
    assert caught.value.error_code == "model_dynamic"


def test_a_shape_that_only_a_run_tells(tmp_path: Path) -> None:
    network = Network()
    found = network.add("NonZero", network.feed("x", 1, 3, 8, 8))
    with pytest.raises(ModelError) as caught:
        network.layers(tmp_path, network.add("Cast", found, to=TensorProto.FLOAT))
    assert caught.value.error_code == "model_shapes"


def test_a_foreign_operator(tmp_path: Path) -> None:
    network = Network()
    model = network.model(network.add("Relu", network.feed("x", 1, 3, 8, 8)))
    model.graph.node[0].op_type, model.graph.node[0].domain = "Fancy", "com.example"
    model.opset_import.add(domain="com.example", version=1)
    path = tmp_path / "fancy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"com\.example\.Fancy") as caught:
        read_plain(path)
    assert caught.value.error_code == "model_operators"


def test_an_operator_that_onnx_does_not_know(tmp_path: Path) -> None:
    network = Network()
    model = network.model(network.add("Relu", network.feed("x", 1, 3, 8, 8)))
    model.graph.node[0].op_type = "Fancy"
    path = tmp_path / "fancy.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"no valid ONNX model: .*Fancy"):
        read_plain(path)


def test_a_network_that_branches(tmp_path: Path) -> None:
    network = Network()
    model = network.model(network.add("Relu", network.feed("x", 1, 3, 8, 8), name="r"))
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "inner",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("If", ["yes"], ["r"], then_branch=inner, else_branch=inner))
    path = tmp_path / "network.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"branches or loops \(If\)"):
        read_plain(path)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "model_missing"), (b"no ONNX at all", "model_not_onnx"), (None, "model_missing")]
)
def test_no_network(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "network.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_plain(path)
    assert caught.value.error_code == code
    assert "\n" not in caught.value.line()


def test_an_old_opset(tmp_path: Path) -> None:
    network, x = fed(1, 3, 8, 8, opset=11)
    with pytest.raises(ModelError) as caught:
        network.layers(tmp_path, network.add("Relu", x))
    assert caught.value.error_code == "model_opset"


def test_plan_and_finished_engine_count_alike() -> None:
    """The share that a plan foresees and the one that an engine is judged by rest on the same multiply-adds."""
    model = read_subject("sample:conveyor").model
    foreseen = {one.name: one.macs for one in layers_of(model) if one.macs}
    assert {name: macs for name, macs in count_macs(model).items() if macs} == foreseen
