"""The signed form: pairs where TensorRT wants them and nowhere else, on every kind of network; and the checker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from engine_kit import noise_frames
from onnx import numpy_helper
from qdq_kit import BODIES, SIDE, Body, gemm_classifier

from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.qdq_body import float_nodes
from edgeagent.engine.qdq_check import check_trt_qdq
from edgeagent.engine.qdq_places import choose_places, share_ranges
from edgeagent.engine.quantise import insert_scales, meter, quantise, tensors_to_measure
from edgeagent.errors import EngineError
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

FRAMES = noise_frames(8, SIDE, SIDE)
Q, DQ = "QuantizeLinear", "DequantizeLinear"


def silent(percent: float) -> None:
    return None


def paired(network: onnx.ModelProto) -> set[tuple[str, int]]:
    """The inputs of the quantised network that come from a DQ: node name and place."""
    makers = {output: node.op_type for node in network.graph.node for output in node.output}
    return {
        (node.name, place)
        for node in network.graph.node
        for place, name in enumerate(node.input)
        if makers.get(name) == DQ
    }


def run(network: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    return [output.ravel() for frame in FRAMES for output in session.run(None, {"frames": frame[None]})]


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two / (np.linalg.norm(one) * np.linalg.norm(two)))


def beta_classifier() -> onnx.ModelProto:
    return gemm_classifier(trans_b=0, alpha=0.5, beta=2.0)


@pytest.mark.parametrize("body", [*BODIES.values(), beta_classifier], ids=[*BODIES, "beta"])
def test_each_kind_of_network_is_in_tensorrts_form_and_says_the_same(body: Callable[[], onnx.ModelProto]) -> None:
    network = body()
    done = quantise(network, FRAMES, 1, silent)
    onnx.checker.check_model(done, full_check=True)
    assert check_trt_qdq(done) == []
    assert len(paired(done)) >= 4
    for mine, reference in zip(run(done), run(network), strict=True):
        assert cosine(mine, reference) > 0.99


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_every_opset_that_is_taken_keeps_its_number(opset: int) -> None:
    b = Body(opset=opset)
    stem = b.relu(b.conv("edgeagent/image", "stem", 3, 8), "stem_relu")
    network = b.model(b.conv(b.op("Add", [b.conv(stem, "inner", 8, 8), stem], "sum"), "head", 8, 4, 1))
    done = quantise(network, FRAMES, 1, silent)
    onnx.checker.check_model(done, full_check=True)
    assert [entry.version for entry in done.opset_import] == [opset]
    assert check_trt_qdq(done) == []
    for mine, reference in zip(run(done), run(network), strict=True):
        assert cosine(mine, reference) > 0.99


def test_the_sample_model_is_in_tensorrts_form() -> None:
    bundle = load_bundle("sample:conveyor")
    size, stream = bundle.spec.input, ConveyorStream(640, 480, 30.0, 1)
    frame = np.empty((size.height, size.width, 3), np.uint8)
    apply_letterbox(stream.frame(10)[0], fit_letterbox(640, 480, size.width, size.height), frame)
    done = quantise(graft_bundle(bundle), [frame], 1, silent)
    assert check_trt_qdq(done) == []
    convolutions = [node.name for node in done.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 36
    assert {(name, place) for name in convolutions for place in (0, 1)} <= paired(done)


def test_a_skip_gets_a_pair_and_the_branch_from_the_convolution_none() -> None:
    got = paired(quantise(BODIES["residual"](), FRAMES, 1, silent))
    assert {("n_a_sum", 1), ("n_b_sum", 1)} <= got
    assert {("n_a_sum", 0), ("n_b_sum", 0)}.isdisjoint(got)


def test_both_branches_of_a_sum_behind_silu_get_a_pair_and_silu_none() -> None:
    got = paired(quantise(BODIES["yolo_block"](), FRAMES, 1, silent))
    assert {("n_m_sum", 0), ("n_m_sum", 1)} <= got
    assert not {name for name, _ in got if "sure" in name or name.endswith("_out")}


def test_what_is_moved_together_has_one_scale() -> None:
    done = quantise(BODIES["yolo_block"](), FRAMES, 1, silent)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in done.graph.initializer}
    scales = {
        node.input[0]: values[node.input[1]].item()
        for node in done.graph.node
        if node.op_type == Q and values[node.input[1]].size == 1
    }
    for group in ({"left", "right", "m_sum", "joined"}, {"c2f_out", "p1", "p2", "pools", "sppf_out", "up", "neck_in"}):
        found = {scales[name] for name in group if name in scales}
        assert len(found) == 1, group
    assert len(set(scales.values())) > 3


def test_a_bias_stays_float_and_keeps_its_factor() -> None:
    """ONNX Runtime's quantiser takes a Gemm's beta away, because it means to put it into an INT32 bias."""
    done = quantise(beta_classifier(), FRAMES, 1, silent)
    assert {(node, place) for node, place in paired(done) if place == 2} == set()
    betas = [a.f for node in done.graph.node if node.op_type == "Gemm" for a in node.attribute if a.name == "beta"]
    assert betas == [2.0, 2.0]


def test_weights_that_two_convolutions_share_have_a_pair_each() -> None:
    done = quantise(BODIES["shared_weights"](), FRAMES, 1, silent)
    assert {("n_stem_out_head", 1), ("n_down_head", 1)} <= paired(done)


def test_a_product_of_two_activations_stays_float() -> None:
    got = paired(quantise(BODIES["attention"](), FRAMES, 1, silent))
    assert {name for name, _ in got} == {"n_stem", "n_q", "n_head"}


def test_a_transposed_convolution_in_groups_stays_float() -> None:
    got = paired(quantise(BODIES["transposed"](), FRAMES, 1, silent))
    assert ("n_up", 1) in got and "n_each" not in {name for name, _ in got}


def test_movers_in_front_of_float_work_stay_float() -> None:
    b = Body()
    one, two = b.conv("edgeagent/image", "one", 3, 4), b.conv("edgeagent/image", "two", 3, 4)
    joined = b.op("Concat", [one, two], "joined", axis=1)
    network = b.model(b.conv(b.op("Tanh", [joined], "bent"), "head", 8, 2, 1))
    assert {name for name, _ in paired(quantise(network, FRAMES, 1, silent))} == {"n_one", "n_two", "n_head"}


def test_a_linear_resize_stays_float() -> None:
    b = Body()
    x = b.conv("edgeagent/image", "stem", 3, 4)
    up = b.op("Resize", [x, "", b.constant("scales", np.array([1, 1, 2, 2], np.float32))], "up", mode="linear")
    network = b.model(b.conv(up, "head", 4, 2, 1))
    assert {name for name, _ in paired(quantise(network, FRAMES, 1, silent))} == {"n_stem", "n_head"}


def test_a_network_with_nothing_to_quantise_is_told() -> None:
    b = Body()
    network = b.model(b.op("Relu", ["edgeagent/image"], "out"))
    with pytest.raises(EngineError) as caught:
        insert_scales(network, {})
    assert caught.value.error_code == "quantiser"
    assert tensors_to_measure(network) == []


def test_the_nodes_are_those_of_the_float_network_in_its_order() -> None:
    for body in BODIES.values():
        network = body()
        done = quantise(network, FRAMES, 1, silent)
        kept = [node.name for node in done.graph.node if node.op_type not in (Q, DQ)]
        assert kept == [node.name for node in network.graph.node if node.op_type != "Constant"]
        names = [node.name for node in done.graph.node]
        assert len(names) == len(set(names))


def test_a_group_has_the_widest_range_of_its_members() -> None:
    low, high = np.float32(-1), np.float32(2)
    ranges = {"a": (low, np.float32(1)), "b": (np.float32(0), high), "c": (np.float32(0), np.float32(9))}
    shared = share_ranges(ranges, [frozenset({"a", "b", "unknown"})])
    assert shared == {"a": (low, high), "b": (low, high), "c": ranges["c"]}


def test_every_edge_to_quantise_is_measured() -> None:
    for body in BODIES.values():
        network = body()
        with meter(network, 1) as gauge:
            gauge.show(FRAMES[0])
            ranges = gauge.ranges()
        constants = {tensor.name for tensor in network.graph.initializer}
        edges = choose_places(network, float_nodes(network)).edges
        assert {edge.tensor for edge in edges} - constants <= set(ranges)


# the checker finds what is not so


def quantised() -> onnx.ModelProto:
    return quantise(BODIES["yolo_block"](), FRAMES, 1, silent)


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(each for each in model.graph.node if each.name == name)


def constant(model: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    tensor = next(each for each in model.graph.initializer if each.name == name)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def zero_point(model: onnx.ModelProto) -> None:
    constant(model, node(model, "edgeagent/image_QuantizeLinear").input[2], np.int8(3))


def unsigned(model: onnx.ModelProto) -> None:
    constant(model, node(model, "edgeagent/image_QuantizeLinear").input[2], np.uint8(0))


def no_zero_point(model: onnx.ModelProto) -> None:
    del node(model, "edgeagent/image_QuantizeLinear").input[2:]


def no_scale(model: onnx.ModelProto) -> None:
    constant(model, node(model, "edgeagent/image_QuantizeLinear").input[1], np.float32(0))


def scale_a_channel_on_an_activation(model: onnx.ModelProto) -> None:
    constant(model, node(model, "edgeagent/image_QuantizeLinear").input[1], np.ones(3, np.float32))


def one_scale_for_all_weights(model: onnx.ModelProto) -> None:
    constant(model, node(model, "stem_w_QuantizeLinear").input[1], np.float32(0.01))


def unlike_pair(model: onnx.ModelProto) -> None:
    node(model, "edgeagent/image_DequantizeLinear").input[1] = node(model, "p1_QuantizeLinear").input[1]


def shared_pair(model: onnx.ModelProto) -> None:
    convolution = node(model, "n_m1")
    node(model, "n_m_sum").input[0] = convolution.input[0]


def quantised_bias(model: onnx.ModelProto) -> None:
    node(model, "n_stem").input[2] = "stem_w_DequantizeLinear_Output"


def weights_in_float(model: onnx.ModelProto) -> None:
    node(model, "n_stem").input[1] = "stem_w"


def eight_bits_before_a_sigmoid(model: onnx.ModelProto) -> None:
    node(model, "n_stem_out_sure").input[0] = node(model, "n_m1").input[0]


def half_a_sum(model: onnx.ModelProto) -> None:
    node(model, "n_m_sum").input[1] = "m2_out"


def half_a_concat(model: onnx.ModelProto) -> None:
    node(model, "n_joined").input[0] = "left"


def weights_in_eight_bits(model: onnx.ModelProto) -> None:
    weights = np.zeros((8, 3, 3, 3), np.int8)
    model.graph.initializer.append(numpy_helper.from_array(weights, "stored"))
    node(model, "stem_w_DequantizeLinear").input[0] = "stored"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (zero_point, "edgeagent/image_QuantizeLinear: has a zero point other than 0"),
        (unsigned, "edgeagent/image_QuantizeLinear: is not of signed INT8"),
        (no_zero_point, "edgeagent/image_QuantizeLinear: is not of signed INT8"),
        (no_scale, "edgeagent/image_QuantizeLinear: has a scale that is not positive and finite"),
        (scale_a_channel_on_an_activation, "edgeagent/image_QuantizeLinear: has a scale a channel on an activation"),
        (one_scale_for_all_weights, "n_stem: has no scale an output channel on its weights"),
        (unlike_pair, "edgeagent/image_QuantizeLinear: and the DequantizeLinear behind it have different scales"),
        (shared_pair, "right_DequantizeLinear: is shared by 2 inputs"),
        (quantised_bias, "stem_w_DequantizeLinear: quantises the bias of n_stem"),
        (weights_in_float, "n_stem: has a pair on one of its factors only"),
        (eight_bits_before_a_sigmoid, "right_DequantizeLinear: takes precision from Sigmoid n_stem_out_sure"),
        (half_a_sum, "n_m_sum: adds what is quantised to what is not"),
        (half_a_concat, "n_joined: joins tensors of different scales"),
        (weights_in_eight_bits, "stem_w_DequantizeLinear: has no QuantizeLinear before it, but INT8"),
    ],
)
def test_a_breach_is_told_with_the_node(spoil: Callable[[onnx.ModelProto], None], said: str) -> None:
    model = quantised()
    spoil(model)
    assert said in check_trt_qdq(model)


def test_a_float_network_breaks_no_rule() -> None:
    assert check_trt_qdq(BODIES["residual"]()) == []
