"""The INT8 form: what is quantised, how, and that the same frames always give the same bytes."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from engine_kit import Frames, Net, noise_frames, write_bundle
from onnx import TensorProto, helper, numpy_helper

from edgeagent.engine.graft import PREFIX, graft_bundle
from edgeagent.engine.quantise import QUANTISED, float_nodes, insert_scales, meter, quantise, tensors_to_measure
from edgeagent.engine.ranges import RangeMeter
from edgeagent.errors import EdgeAgentError, EngineError, ModelError

FRAMES = noise_frames(6, 64, 64)
NET = Net(width=64, height=64, strides=(4, 8), classes=4)


@pytest.fixture
def network(tmp_path: Path) -> onnx.ModelProto:
    return graft_bundle(write_bundle(tmp_path, NET))


def silent(percent: float) -> None:
    return None


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def bare(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto] | None = None) -> onnx.ModelProto:
    """A graph of these nodes from `x` to `y`; their types do not matter."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "bare", ends[:1], ends[1:], weights or [])
    return helper.make_model(graph)


def node(op: str, inputs: str, output: str, name: str = "") -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=name or f"{op}-{output}")


# which nodes stay in floating point


def test_a_chain_stays_float_behind_its_last_convolution() -> None:
    chain = bare([node("Relu", "x", "a"), node("Conv", "a w", "b"), node("Add", "b c", "d"), node("Mul", "d e", "y")])
    assert float_nodes(chain) == ["Add-d", "Mul-y"]


def test_one_branch_ends_sooner_than_the_other() -> None:
    branches = bare(
        [
            node("Conv", "x w", "stem"),
            node("Relu", "stem", "left"),
            node("Sigmoid", "stem", "right"),
            node("Conv", "left v", "boxes"),
            node("Add", "boxes grid", "placed"),
            node("Concat", "placed right", "y"),
        ]
    )
    assert float_nodes(branches) == ["Sigmoid-right", "Add-placed", "Concat-y"]


def test_a_skip_connection_around_the_last_convolution_is_body_before_it_and_not_after() -> None:
    skip = bare(
        [
            node("Relu", "x", "a"),
            node("Conv", "a w", "b"),
            node("Add", "b a", "c"),
            node("Relu", "c", "y"),
        ]
    )
    assert float_nodes(skip) == ["Add-c", "Relu-y"]


def test_the_grafts_own_matrix_product_is_no_body() -> None:
    """It once made everything before it count as body, and boxes went through eight bits."""
    grafted = bare(
        [
            node("Conv", "x w", "a"),
            node("Mul", "a strides", "b"),
            node("MatMul", "b corners", "y", name=f"{PREFIX}matmul_boxes"),
        ]
    )
    assert float_nodes(grafted) == ["Mul-b", f"{PREFIX}matmul_boxes"]


def test_a_convolution_that_takes_the_mean_of_a_distribution_is_decoding() -> None:
    dfl = bare(
        [
            node("Conv", "x w", "a"),
            node("Reshape", "a s", "b"),
            node("Softmax", "b", "c"),
            node("Transpose", "c", "d"),
            node("Conv", "d bins", "e"),
            node("Sub", "grid e", "y"),
        ]
    )
    assert float_nodes(dfl) == ["Reshape-b", "Softmax-c", "Transpose-d", "Conv-e", "Sub-y"]


def test_attention_inside_the_body_is_body() -> None:
    """YOLO11 has a Softmax in its backbone; the product behind it feeds further convolutions."""
    attention = bare(
        [
            node("Conv", "x w", "a"),
            node("Softmax", "a", "b"),
            node("MatMul", "a b", "c"),
            node("Conv", "c v", "d"),
            node("Sigmoid", "d", "y"),
        ]
    )
    assert float_nodes(attention) == ["Sigmoid-y"]


def test_the_bodys_nodes_are_quantised_and_the_decoding_is_not(network: onnx.ModelProto) -> None:
    behind = {name for name in float_nodes(network) if not name.startswith(PREFIX)}
    kinds = sorted(n.op_type for n in network.graph.node if n.name in behind)
    assert kinds == ["Add", "Add", "Concat", "Concat", "Concat", "Reshape", "Reshape", "Reshape", "Reshape", "Sigmoid"]


def test_a_dfl_networks_last_convolutions_stay_float(tmp_path: Path) -> None:
    network = graft_bundle(write_bundle(tmp_path, Net(dfl=4)))
    assert {"model/n_p8_dfl", "model/n_p8_soft"} <= set(float_nodes(network))
    assert {"model/n_p8_box", "model/n_p8_score", "model/n_stem"}.isdisjoint(float_nodes(network))


# the form of the Q/DQ graph


def test_scales_are_symmetric_signed_and_per_channel_for_weights(network: onnx.ModelProto) -> None:
    done = quantise(network, FRAMES, 1, silent)
    values = constants(done)
    pairs = [n for n in done.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) > 20
    per_channel = []
    for pair in pairs:
        scale, zero = values[pair.input[1]], values[pair.input[2]]
        if zero.dtype == np.int32:
            continue  # a bias: its scale is the product of the two others
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (scale > 0).all() and np.isfinite(scale).all()
        if scale.size > 1:
            per_channel.append(scale.size)
    convolutions = [n for n in done.graph.node if n.op_type == "Conv"]
    assert sorted(set(per_channel)) == [4, 8]
    weights = {n.name: n for n in pairs}
    makers = {output: n for n in weights.values() for output in n.output}
    for convolution in convolutions:
        outputs = values[makers[makers[convolution.input[1]].input[0]].input[0]].shape[0]
        assert values[makers[convolution.input[1]].input[1]].size == outputs


def test_the_cpus_form_lets_onnx_runtime_convolve_in_eight_bits(network: onnx.ModelProto, tmp_path: Path) -> None:
    """The optimised graph that ONNX Runtime really runs: in the signed form its convolutions fall back to float."""
    kinds = {}
    for activations in ("signed", "unsigned"):
        done = quantise(network, FRAMES, 1, silent, activations)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(tmp_path / activations)
        options.log_severity_level = 4
        onnxruntime.InferenceSession(done.SerializeToString(), options, providers=["CPUExecutionProvider"])
        kinds[activations] = [node.op_type for node in onnx.load(str(tmp_path / activations)).graph.node]
    assert kinds["unsigned"].count("QLinearConv") > kinds["signed"].count("QLinearConv")


def test_every_input_of_a_quantised_node_comes_through_eight_bits_and_no_other(network: onnx.ModelProto) -> None:
    done = quantise(network, FRAMES, 1, silent, "unsigned")
    makers = {output: n.op_type for n in done.graph.node for output in n.output}
    behind = set(float_nodes(network))
    seen = 0
    for each in done.graph.node:
        from_eight_bits = [makers.get(name) == "DequantizeLinear" for name in each.input]
        if each.name in behind:
            assert not any(from_eight_bits), each.name
        elif each.op_type in QUANTISED:
            assert all(from_eight_bits), each.name
            seen += 1
    assert seen >= 7


def test_the_float_network_stays_as_it_is(network: onnx.ModelProto) -> None:
    before = network.SerializeToString(deterministic=True)
    quantise(network, FRAMES, 1, silent)
    assert network.SerializeToString(deterministic=True) == before


def test_the_inputs_and_outputs_are_those_of_the_graft(network: onnx.ModelProto) -> None:
    done = quantise(network, FRAMES, 1, silent)
    assert list(done.graph.input) == list(network.graph.input)
    assert list(done.graph.output) == list(network.graph.output)
    onnx.checker.check_model(done)


DIGEST = """
import hashlib, sys
from pathlib import Path
sys.path.append(sys.argv[1])
from engine_kit import Net, noise_frames, write_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.quantise import quantise
net = Net(width=64, height=64, strides=(4, 8), classes=4)
done = quantise(graft_bundle(write_bundle(Path(sys.argv[2]), net)), noise_frames(6, 64, 64), 1, lambda percent: None)
print(hashlib.sha256(done.SerializeToString(deterministic=True)).hexdigest())
"""


def test_the_same_frames_give_the_same_bytes_in_every_process(network: onnx.ModelProto, tmp_path: Path) -> None:
    """Sets of strings are ordered by a seed that differs from process to process."""
    mine = hashlib.sha256(quantise(network, FRAMES, 1, silent).SerializeToString(deterministic=True)).hexdigest()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", DIGEST, str(Path(__file__).parent), str(tmp_path / seed)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.strip() == mine


def test_other_frames_give_other_bytes(network: onnx.ModelProto) -> None:
    dark = [frame // 4 for frame in FRAMES]
    one, two = quantise(network, FRAMES, 1, silent), quantise(network, dark, 1, silent)
    assert one.SerializeToString(deterministic=True) != two.SerializeToString(deterministic=True)


# ranges


def test_ranges_are_the_lowest_and_highest_of_all_frames(network: onnx.ModelProto) -> None:
    import onnxruntime

    tensors = tensors_to_measure(network)
    watched = onnx.ModelProto()
    watched.CopyFrom(network)
    watched.graph.output.extend([helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors])
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    all_values = [session.run(tensors, {"frames": frame[None]}) for frame in FRAMES]
    with meter(network, 1) as gauge:
        for frame in FRAMES:
            gauge.show(frame)
        ranges = gauge.ranges()
    assert list(ranges) == tensors
    for index, name in enumerate(tensors):
        stacked = np.stack([values[index] for values in all_values])
        assert ranges[name] == pytest.approx((stacked.min(), stacked.max()), rel=1e-5, abs=1e-6)


def test_what_a_meter_was_warmed_with_is_in_no_range(network: onnx.ModelProto) -> None:
    with meter(network, 1) as gauge:
        for name, (low, high) in gauge_of(gauge, FRAMES[:1]).items():
            assert low <= high, name
    with meter(network, 1) as gauge, pytest.raises(ModelError):
        gauge.ranges()


def gauge_of(gauge: RangeMeter, frames: list[Frames]) -> dict[str, tuple[np.float32, np.float32]]:
    for frame in frames:
        gauge.show(frame)
    return gauge.ranges()


def test_a_network_that_computes_no_numbers_is_refused(tmp_path: Path) -> None:
    """A standard deviation so small that the normalised picture leaves float32."""
    network = graft_bundle(write_bundle(tmp_path, NET, std=[1e-40, 1.0, 1.0]))
    with pytest.raises(ModelError) as caught:
        quantise(network, FRAMES, 1, silent)
    assert caught.value.error_code == "model_not_finite"
    assert "\n" not in caught.value.line()


def test_no_frames_are_refused(network: onnx.ModelProto) -> None:
    with pytest.raises(EngineError) as caught:
        quantise(network, [], 1, silent)
    assert caught.value.error_code == "no_calibration"


def test_a_network_that_the_quantiser_cannot_take_is_one_line(network: onnx.ModelProto) -> None:
    with pytest.raises(EdgeAgentError) as caught:
        insert_scales(network, {})
    assert caught.value.error_code == "quantiser"
    assert "\n" not in caught.value.line()


# what it leaves alone


def test_frames_are_asked_for_one_by_one_and_progress_rises_to_the_end(network: onnx.ModelProto) -> None:
    told: list[float] = []
    asked: list[int] = []

    class Watched(list[Frames]):
        def __iter__(self):
            for number, frame in enumerate(FRAMES):
                asked.append(len(told))
                yield frame
                assert len(told) == number + 1

    quantise(network, Watched(FRAMES), 1, told.append)
    assert told == sorted(told)
    assert told[0] == 0 and told[-1] == 100
    assert asked == list(range(len(FRAMES)))


def test_a_failing_progress_ends_the_work(network: onnx.ModelProto) -> None:
    class Enough(Exception):
        pass

    def stop(percent: float) -> None:
        if percent > 30:
            raise Enough

    with pytest.raises(Enough):
        quantise(network, FRAMES, 1, stop)


def test_no_scratch_files_no_threads_and_no_logging(
    network: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "there-is-no-such-directory"
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere))
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    level, handlers, threads = logging.getLogger().level, list(logging.getLogger().handlers), threading.active_count()
    quantise(network, FRAMES, 1, silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (logging.getLogger().level, logging.getLogger().handlers) == (level, handlers)
    assert threading.active_count() == threads


def test_memory_does_not_grow_with_the_number_of_frames(network: onnx.ModelProto) -> None:
    """512 frames as 64: what is kept of a frame is two numbers a tensor, for all frames together."""
    with meter(network, 1) as gauge:
        for _ in range(64):
            gauge.show(FRAMES[0])
        after_64 = resident_bytes()
        for _ in range(512):
            gauge.show(FRAMES[0])
        grown = resident_bytes() - after_64
    assert grown < 4 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
