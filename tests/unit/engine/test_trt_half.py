"""A network brought into FP16: its heavy part only, valid, and close to what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from engine_kit import Net, noise_frames, write_bundle
from onnx import TensorProto, numpy_helper

from edgeagent.engine.build.tensorrt.half import halve_body
from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.qdq_body import float_nodes


def run(model: onnx.ModelProto, frame: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["boxes", "scores", "classes"], {"frames": frame[None]})


@pytest.fixture(params=[Net(width=64, height=32), Net(width=64, height=32, dfl=4), Net(opset=13, strides=(4, 8))])
def grafted(request: pytest.FixtureRequest, tmp_path: Path) -> onnx.ModelProto:
    return graft_bundle(write_bundle(tmp_path, request.param))


def test_types_fit_everywhere(grafted: onnx.ModelProto) -> None:
    onnx.checker.check_model(halve_body(grafted), full_check=True)


def test_heavy_nodes_compute_in_half_and_the_rest_in_full(grafted: onnx.ModelProto) -> None:
    halved, full = halve_body(grafted), set(float_nodes(grafted))
    types = {v.name: v.type.tensor_type.elem_type for v in (*halved.graph.value_info, *halved.graph.output)}
    for node in halved.graph.node:
        if node.op_type in ("Conv", "Relu"):
            assert (types[node.output[0]] == TensorProto.FLOAT16) == (node.name not in full)
    assert [(v.name, v.type.tensor_type.elem_type) for v in halved.graph.output] == [
        (v.name, v.type.tensor_type.elem_type) for v in grafted.graph.output
    ]
    assert halved.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_it_says_nearly_the_same() -> None:
    grafted = graft_bundle(load_bundle("sample:conveyor"))
    frame = noise_frames(1, 320, 320)[0]
    (_, scores, _), (_, halved, _) = run(grafted, frame), run(halve_body(grafted), frame)
    np.testing.assert_allclose(halved, scores, atol=0.01)


def test_the_network_given_stays_as_it_is(grafted: onnx.ModelProto) -> None:
    before = grafted.SerializeToString(deterministic=True)
    halve_body(grafted)
    assert grafted.SerializeToString(deterministic=True) == before


def test_a_weight_beyond_the_range_becomes_the_largest_number(grafted: onnx.ModelProto) -> None:
    weight = next(tensor for tensor in grafted.graph.initializer if tensor.name.startswith("model/") and tensor.dims)
    array = numpy_helper.to_array(weight).copy()
    array.flat[0] = 1e6
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in halve_body(grafted).graph.initializer}
    assert found[f"edgeagent/half/{weight.name}"].flat[0] == np.finfo(np.float16).max


def test_each_tensor_is_cast_once(grafted: onnx.ModelProto) -> None:
    names = [node.name for node in halve_body(grafted).graph.node]
    assert len(names) == len(set(names))
