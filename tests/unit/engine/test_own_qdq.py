"""A user's Q/DQ model: what is accepted, how TensorRT gets it, and the plain network with scales that a DLA gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from engine_kit import Frames, Net, noise_frames, write_bundle
from onnx import TensorProto, helper, numpy_helper
from qdq_kit import BODIES, SIDE, Body

from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.own_qdq import check_own_qdq, complete_scales, has_qdq, own_qdq_for, translate_qdq
from edgeagent.engine.qdq_constants import with_initializers
from edgeagent.engine.qdq_places import Ranges, choose_places, share_ranges
from edgeagent.engine.quantise import float_nodes, insert_scales, meter, quantise
from edgeagent.engine.scale_flow import tensors_without_scale
from edgeagent.errors import ModelError

FRAMES = noise_frames(6, SIDE, SIDE)
Q, DQ = "QuantizeLinear", "DequantizeLinear"


def silent(percent: float) -> None:
    return None


def run(network: onnx.ModelProto, frames: list[Frames] = FRAMES) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    return [output for frame in frames for output in session.run(None, {"frames": frame[None]})]


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one.ravel() @ two.ravel() / (np.linalg.norm(one) * np.linalg.norm(two)))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def measured(network: onnx.ModelProto) -> Ranges:
    with meter(network, 1) as gauge:
        for frame in FRAMES:
            gauge.show(frame)
        return gauge.ranges()


# the way there and back


@pytest.mark.parametrize("body", list(BODIES))
def test_translating_our_own_form_gives_the_network_and_the_scales_back(body: str) -> None:
    network = BODIES[body]()
    ranges = measured(network)
    plain, scales = translate_qdq(insert_scales(network, ranges))
    assert not has_qdq(plain)
    onnx.checker.check_model(plain, full_check=True)
    whole = with_initializers(network)
    skeleton = [(n.op_type, n.name, list(n.output), n.attribute) for n in whole.graph.node]
    assert [(n.op_type, n.name, list(n.output), n.attribute) for n in plain.graph.node] == skeleton
    groups = choose_places(whole, float_nodes(network)).groups
    for name, (low, high) in share_ranges(ranges, groups).items():
        assert scales[name] == pytest.approx(max(-low, high) / 127, rel=1e-5), name


@pytest.mark.parametrize("body", list(BODIES))
def test_the_plain_network_computes_what_the_eight_bit_weights_stand_for(body: str) -> None:
    network = BODIES[body]()
    plain, _ = translate_qdq(quantise(network, FRAMES, 1, silent))
    before, after = constants(with_initializers(network)), constants(plain)
    weights = 0
    for old, new in zip(with_initializers(network).graph.node, plain.graph.node, strict=True):
        for was, now in zip(old.input, new.input, strict=True):
            if was != now:
                channels = tuple(range(1, before[was].ndim)) if old.op_type in ("Conv", "Gemm") else None
                step = np.abs(before[was]).max(axis=channels, keepdims=channels is not None) / 127
                assert (np.abs(before[was] - after[now]) <= step * 0.501).all(), old.name
                weights += 1
    assert weights >= 2
    for mine, reference in zip(run(plain), run(network), strict=True):
        assert cosine(mine, reference) > 0.99


def test_a_grafted_detector_comes_back_whole(tmp_path: Path) -> None:
    net = Net(width=64, height=64, strides=(4, 8), classes=4)
    network = graft_bundle(write_bundle(tmp_path, net))
    plain, scales = translate_qdq(quantise(network, noise_frames(4, 64, 64), 1, silent))
    assert list(plain.graph.output) == list(network.graph.output)
    assert [n.name for n in plain.graph.node] == [n.name for n in network.graph.node]
    assert scales["edgeagent/image"] == pytest.approx(1 / 127, rel=0.01)


def test_onnx_runtimes_own_form_with_unsigned_activations_is_refused_for_tensorrt() -> None:
    done = quantise(BODIES["residual"](), FRAMES, 1, silent, "unsigned")
    check_own_qdq(done, "onnxruntime")
    assert own_qdq_for("onnxruntime", done) is done
    with pytest.raises(ModelError) as caught:
        own_qdq_for("tensorrt", done)
    assert caught.value.error_code == "model_qdq" and "float model" in caught.value.mend


@pytest.mark.parametrize("body", ["residual", "yolo_block", "gemm_classifier"])
def test_a_form_with_zero_points_can_be_made_plain_for_onnx_runtime(body: str) -> None:
    network = BODIES[body]()
    plain, _ = translate_qdq(quantise(network, FRAMES, 1, silent, "unsigned"), "onnxruntime")
    assert not has_qdq(plain)
    for mine, reference in zip(run(plain), run(network), strict=True):
        assert cosine(mine, reference) > 0.99


def test_weights_behind_a_pair_with_a_zero_point_are_what_onnx_runtime_makes_of_them() -> None:
    b = Body()
    weights = b.weight("w", 4, 3, 3, 3)
    x = b.op("Conv", ["edgeagent/image", pair_around(b, weights, 0.01, np.uint8(100))], "head", pads=[1] * 4)
    model = b.model(x)
    for mine, reference in zip(run(translate_qdq(model, "onnxruntime")[0]), run(model), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-5, atol=1e-5)


# models as other tools write them


def stored_weights() -> onnx.ModelProto:
    """As ONNX Runtime's `quantize_static` writes it: weights in INT8, bias in INT32, one pair that two nodes share."""
    b = Body()
    pair = pair_around(b, "edgeagent/image", 1 / 127)
    weight = np.random.default_rng(3).integers(-127, 128, (8, 3, 3, 3)).astype(np.int8)
    scale = np.linspace(0.001, 0.003, 8).astype(np.float32)
    b.constant("w8", weight), b.constant("w_scale", scale), b.constant("w_zero", np.zeros(8, np.int8))
    b.op(DQ, ["w8", "w_scale", "w_zero"], "w", axis=0)
    bias = np.arange(-4, 4).astype(np.int32) * 1000
    b.constant("b32", bias), b.constant("b_scale", (scale / 127).astype(np.float32))
    b.constant("b_zero", np.zeros(8, np.int32))
    b.op(DQ, ["b32", "b_scale", "b_zero"], "b", axis=0)
    one = b.relu(b.op("Conv", [pair, "w", "b"], "conv", pads=[1] * 4), "conv_out")
    two = b.op("AveragePool", [pair], "mean", kernel_shape=[2, 2], strides=[2, 2])
    b.conv(pair_around(b, one, 0.02), "head", 8, 4, 1)
    return b.model("head", two)


def pair_around(b: Body, name: str, scale: float, zero: np.ndarray | None = None) -> str:
    b.constant(f"{name}_s", np.float32(scale))
    b.constant(f"{name}_z", np.int8(0) if zero is None else zero)
    b.op(Q, [name, f"{name}_s", f"{name}_z"], f"{name}_q")
    return b.op(DQ, [f"{name}_q", f"{name}_s", f"{name}_z"], f"{name}_dq")


def in_constant_nodes() -> onnx.ModelProto:
    """As PyTorch exports fake quantisation: scales and zero points in Constant nodes."""
    model = stored_weights()
    for tensor in list(model.graph.initializer):
        if tensor.name.endswith(("_s", "_z", "_scale", "_zero")):
            model.graph.initializer.remove(tensor)
            node = helper.make_node("Constant", [], [tensor.name], name=f"c_{tensor.name}", value=tensor)
            model.graph.node.insert(0, node)
    return model


def moved_in_eight_bits() -> onnx.ModelProto:
    """A MaxPool and a Reshape between Q and DQ, on integers; and a DQ as the network's result."""
    b = Body()
    x = b.relu(b.conv("edgeagent/image", "stem", 3, 4), "stem_out")
    b.constant("s", np.float32(0.02)), b.constant("z", np.int8(0))
    b.op(Q, [x, "s", "z"], "x_q")
    b.op("MaxPool", ["x_q"], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    b.op("Reshape", ["pooled", b.constant("shape", np.array([1, 4, 64]))], "rows")
    return b.model(b.op(DQ, ["rows", "s", "z"], "out"))


@pytest.mark.parametrize("make", [stored_weights, in_constant_nodes, moved_in_eight_bits])
def test_other_tools_spellings_translate_and_compute_the_same(make: Callable[[], onnx.ModelProto]) -> None:
    model = make()
    assert has_qdq(model)
    plain, scales = translate_qdq(model)
    assert not has_qdq(plain)
    onnx.checker.check_model(plain, full_check=True)
    assert [value.name for value in plain.graph.output] == [value.name for value in model.graph.output]
    for mine, reference in zip(run(plain), run(model), strict=True):
        assert np.abs(mine - reference).max() < 0.05 * np.abs(reference).max()
    assert scales["stem_out" if make is moved_in_eight_bits else "conv_out"] == pytest.approx(0.02)


@pytest.mark.parametrize("make", [stored_weights, in_constant_nodes])
def test_tensorrt_gets_biases_in_float_and_weights_behind_a_pair_and_computes_the_same(
    make: Callable[[], onnx.ModelProto],
) -> None:
    model = make()
    spelled = own_qdq_for("tensorrt", model)
    onnx.checker.check_model(spelled, full_check=True)
    makers = {output: node.op_type for node in spelled.graph.node for output in node.output}
    assert all(makers.get(node.input[0]) == Q for node in spelled.graph.node if node.op_type == DQ)
    assert "b" in constants(spelled)
    for mine, reference in zip(run(spelled), run(model), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-5, atol=1e-5)


def test_the_given_model_stays_as_it_is() -> None:
    model = stored_weights()
    before = model.SerializeToString(deterministic=True)
    translate_qdq(model)
    own_qdq_for("tensorrt", model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_tensor_with_two_pairs_has_the_larger_scale() -> None:
    b = Body()
    b.constant("edgeagent/image_s2", np.float32(0.5))
    one = pair_around(b, "edgeagent/image", 0.25)
    b.op(Q, [one, "edgeagent/image_s2", "edgeagent/image_z"], "again")
    b.op(DQ, ["again", "edgeagent/image_s2", "edgeagent/image_z"], "twice")
    assert translate_qdq(b.model(b.conv("twice", "head", 3, 4)))[1]["edgeagent/image"] == 0.5


# what is refused


def spoilt(change: Callable[[dict[str, onnx.TensorProto], onnx.ModelProto], None]) -> onnx.ModelProto:
    model = stored_weights()
    change({tensor.name: tensor for tensor in model.graph.initializer}, model)
    return model


def put(tensor: onnx.TensorProto, array: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))


@pytest.mark.parametrize("scale", [0.0, -0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt"])
def test_a_scale_that_means_nothing_is_refused_everywhere(scale: float, backend: str) -> None:
    model = spoilt(lambda tensors, _: put(tensors["edgeagent/image_s"], np.float32(scale)))
    with pytest.raises(ModelError) as caught:
        own_qdq_for(backend, model)
    assert caught.value.error_code == "model_qdq"
    assert "edgeagent/image" in caught.value.message and "not positive and finite" in caught.value.message


def computed_scale(tensors: dict[str, onnx.TensorProto], model: onnx.ModelProto) -> None:
    model.graph.initializer.remove(tensors["conv_out_s"])
    model.graph.node.insert(3, helper.make_node("ReduceMax", ["edgeagent/image"], ["conv_out_s"], keepdims=0))


def zero_point(tensors: dict[str, onnx.TensorProto], model: onnx.ModelProto) -> None:
    put(tensors["conv_out_z"], np.int8(-128))


def unsigned(tensors: dict[str, onnx.TensorProto], model: onnx.ModelProto) -> None:
    put(tensors["conv_out_z"], np.uint8(0))


def no_zero_point(tensors: dict[str, onnx.TensorProto], model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.input[0] in ("conv_out", "conv_out_q"):
            del node.input[2:]


def weights_with_zero_points(tensors: dict[str, onnx.TensorProto], model: onnx.ModelProto) -> None:
    put(tensors["w_zero"], np.arange(8).astype(np.int8))


def channels_on_an_activation(tensors: dict[str, onnx.TensorProto], model: onnx.ModelProto) -> None:
    put(tensors["conv_out_s"], np.full(8, 0.1, np.float32))
    put(tensors["conv_out_z"], np.zeros(8, np.int8))


def too_few_scales(tensors: dict[str, onnx.TensorProto], model: onnx.ModelProto) -> None:
    put(tensors["w_scale"], np.full(5, 0.1, np.float32))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (computed_scale, "a scale that is no constant"),
        (zero_point, "a zero point other than 0"),
        (unsigned, "UINT8"),
        (no_zero_point, "UINT8"),
        (weights_with_zero_points, "a zero point other than 0"),
        (channels_on_an_activation, "a scale a channel on an activation"),
        (too_few_scales, "5 scales or zero points for a tensor of shape [8, 3, 3, 3]"),
    ],
)
def test_what_tensorrt_does_not_compute_is_refused(
    change: Callable[[dict[str, onnx.TensorProto], onnx.ModelProto], None], said: str
) -> None:
    model = spoilt(change)
    for refuse in (translate_qdq, lambda model: own_qdq_for("tensorrt", model)):
        with pytest.raises(ModelError) as caught:
            refuse(model)
        assert caught.value.error_code == "model_qdq"
        assert said in caught.value.message and caught.value.mend


def test_arithmetic_of_integers_has_no_plain_form() -> None:
    b = Body()
    b.constant("s", np.float32(0.02)), b.constant("z", np.int8(0))
    b.op(Q, ["edgeagent/image", "s", "z"], "x_q")
    b.op("Add", ["x_q", "x_q"], "sum")
    model = b.model(b.op(DQ, ["sum", "s", "z"], "out"))
    with pytest.raises(ModelError) as caught:
        translate_qdq(model)
    assert "Add n_sum computes with integers" in caught.value.message


def test_a_float_network_has_no_qdq() -> None:
    assert not has_qdq(BODIES["residual"]())


# what has no scale yet


def test_what_nothing_follows_for_is_listed_and_can_be_measured() -> None:
    network = BODIES["yolo_block"]()
    plain, scales = translate_qdq(quantise(network, FRAMES, 1, silent))
    missing = tensors_without_scale(plain, scales)
    assert "stem" in missing and "stem_out" not in missing and "stem_out_sure" not in missing
    told: list[float] = []
    whole = complete_scales(plain, scales, FRAMES, 1, told.append)
    assert tensors_without_scale(plain, whole) == []
    assert {name: whole[name] for name in scales} == scales
    assert told[0] == 0 and told[-1] == 100


def test_measured_scales_are_those_of_the_plain_networks_tensors() -> None:
    plain, scales = translate_qdq(quantise(BODIES["yolo_block"](), FRAMES, 1, silent))
    whole = complete_scales(plain, scales, FRAMES, 1, silent)
    plain.graph.output.append(helper.make_tensor_value_info("stem", TensorProto.FLOAT, None))
    largest = max(float(np.abs(output).max()) for output in run(plain)[1::2])
    assert whole["stem"] == pytest.approx(largest / 127, rel=1e-4)


def test_without_frames_nothing_is_measured() -> None:
    plain, scales = translate_qdq(quantise(BODIES["yolo_block"](), FRAMES, 1, silent))
    assert complete_scales(plain, scales, [], 1, silent) == scales
