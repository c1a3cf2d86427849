"""Which tensors get a scale: by hand, and the same as Q/DQ nodes would get on the same network."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_kit import Net, write_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.engine.build.tensorrt.scaled import NetworkLayer, scaled_tensors
from edgeagent.engine.build.tensorrt.scales import fitting_scales
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.qdq_body import float_nodes
from edgeagent.engine.scales import CalibrationCache, parse_cache, write_cache
from edgeagent.errors import EngineError

KINDS = {"Conv": "CONVOLUTION", "MatMul": "MATRIX_MULTIPLY", "Softmax": "SOFTMAX"}


def layer(name: str, kind: str, inputs: str, outputs: str, floats: str | None = None) -> NetworkLayer:
    made = tuple(outputs.split())
    return NetworkLayer(name, kind, tuple(inputs.split()), made, frozenset((floats or outputs).split()))


def test_tensors_above_the_last_convolution_and_none_of_the_grafts() -> None:
    tensors = scaled_tensors(
        [
            layer("edgeagent/cast", "CAST", "frames", "edgeagent/float"),
            layer("edgeagent/mul", "ELEMENTWISE", "edgeagent/float", "edgeagent/image"),
            layer("a", "CONVOLUTION", "edgeagent/image", "a"),
            layer("relu", "ACTIVATION", "a", "relu"),
            layer("weights", "CONSTANT", "", "weights"),
            layer("scaled", "ELEMENTWISE", "weights", "scaled"),
            layer("b", "MATRIX_MULTIPLY", "relu scaled", "b"),
            layer("shape", "SHAPE", "relu", "shape", "-"),
            layer("c", "CONVOLUTION", "b", "c"),
            layer("sigmoid", "ACTIVATION", "c", "sigmoid"),
            layer("edgeagent/end", "MATRIX_MULTIPLY", "sigmoid", "boxes"),
        ]
    )
    assert tensors.wanted == ("edgeagent/image", "a", "relu", "b")
    assert tensors.needed == ("edgeagent/image", "relu", "b")


def test_a_convolution_that_decodes_a_softmax_counts_as_decoding() -> None:
    tensors = scaled_tensors(
        [
            layer("a", "CONVOLUTION", "image", "a"),
            layer("soft", "SOFTMAX", "a", "soft"),
            layer("dfl", "CONVOLUTION", "soft", "dfl"),
        ]
    )
    assert tensors.wanted == ()  # the image is the network's own input, made by no layer


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([0, 4]), st.sampled_from([(8,), (4, 8)]), st.integers(0, 3))
def test_the_rule_is_that_of_the_quantiser(
    tmp_path_factory: pytest.TempPathFactory, dfl: int, strides: tuple[int, ...], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("net")
    graph = graft_bundle(write_bundle(folder, Net(dfl=dfl, strides=strides, seed=seed))).graph
    made = {name for node in graph.node for name in node.output}
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    layers = [
        NetworkLayer(
            node.name,
            KINDS.get(node.op_type, "ELEMENTWISE"),
            tuple(name for name in node.input if name in made or name == "frames"),
            tuple(node.output),
            frozenset(name for name in node.output if types.get(name) == 1),
        )
        for node in graph.node
    ]
    full = set(float_nodes(graph_model(graph)))
    expected = {
        name for node in graph.node if node.name not in full for name in node.input if types.get(name) == 1
    }  # fmt: skip
    assert set(scaled_tensors(layers).wanted) == expected


def graph_model(graph: object) -> object:
    import onnx

    return onnx.helper.make_model(graph)


def test_scales_that_are_not_wanted_are_left_out_and_missing_ones_are_an_error(tmp_path: Path) -> None:
    tensors = scaled_tensors(
        [
            layer("edgeagent/mul", "ELEMENTWISE", "frames", "image"),
            layer("a", "CONVOLUTION", "image", "a"),
            layer("relu", "ACTIVATION", "a", "relu"),
            layer("b", "CONVOLUTION", "relu", "b"),
        ]
    )
    scales = {"image": 0.5, "a": 0.25, "relu": 0.25, "b": 1.0}
    cut, missing = fitting_scales(write_cache(CalibrationCache("8602", scales=scales)), tensors, on_dla=True)
    assert set(parse_cache(cut).scales) == {"image", "a", "relu"} and missing == ()
    del scales["a"]
    cache = write_cache(CalibrationCache("8602", scales=scales))
    assert fitting_scales(cache, tensors, on_dla=False)[1] == ("a",)
    for on_dla, dropped in [(True, None), (False, "relu")]:
        if dropped:
            del scales[dropped]
        with pytest.raises(EngineError) as caught:
            fitting_scales(write_cache(CalibrationCache("8602", scales=scales)), tensors, on_dla=on_dla)
        assert caught.value.error_code == "scales_missing"
        assert (dropped or "a") in caught.value.message
