"""Layers as an engine of 8.6.0 told of them on a real GPU, and as one on a DLA would."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgeagent.engine.build.tensorrt.inspector import read_layers
from edgeagent.engine.build.tensorrt.macs import count_macs
from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle

NODES = [
    "edgeagent/cast",
    "edgeagent/order",
    "model/a",
    "model/relu",
    "model/b",
    "model/mul",
    "model/c",
    "edgeagent/end",
]
MACS = {"model/a": 100, "model/b": 10, "model/c": 1}


def layer(name: str, kind: str, metadata: str = "", *formats: str) -> dict[str, object]:
    tensors = [{"Name": "x", "Format/Datatype": text} for text in formats]
    return {"Name": name, "LayerType": kind, "Inputs": tensors[:1], "Outputs": tensors[1:], "Metadata": metadata}


def read(*layers: object) -> list[tuple[str, str, str, tuple[str, ...], int | None]]:
    text = json.dumps({"Layers": layers}).replace("\\u001e", "\x1e")
    return [(one.name, one.device, one.precision, one.parts, one.macs) for one in read_layers(text, NODES, MACS)]


def test_names_precision_parts_and_multiply_adds() -> None:
    int8, fp16 = "Thirty-two wide channel vectorized row major Int8 format", "Channel major FP16 format"
    both = "[ONNX Layer: model/a]\x1e[ONNX Layer: model/relu]"
    found = read(
        layer("model/a + model/relu", "CaskConvolution", both, int8, fp16),
        layer("PWN(PWN(model/relu), model/mul)", "PointWiseV2", "", fp16),
        layer("model/b", "CaskConvolution", "", "Row major linear FP32"),
    )
    assert found == [
        ("model/a + model/relu", "gpu", "int8", ("model/a", "model/relu"), 100),
        ("PWN(PWN(model/relu), model/mul)", "gpu", "fp16", ("model/relu", "model/mul"), 0),
        ("model/b", "gpu", "fp32", ("model/b",), 10),
    ]


def test_a_copy_is_no_part_of_the_network_though_it_names_one() -> None:
    name = "Reformatting CopyNode for Input Tensor 0 to model/a + model/relu"
    assert read(layer(name, "NoOp", "", "Row major linear FP32")) == [(name, "gpu", "fp32", (), None)]


@pytest.mark.parametrize(("kind", "device"), [("DLA", "dla"), ("Myelin", "gpu")])
def test_a_subgraph_holds_what_lies_between_and_is_nobody_elses(kind: str, device: str) -> None:
    found = read(
        layer("model/b", "CaskConvolution", "[ONNX Layer: model/b]"),
        layer("{ForeignNode[model/a...model/c]}", kind),
        layer("{ForeignNode[edgeagent/cast...edgeagent/order]}", "Myelin"),
    )
    back = ("edgeagent/end",)
    body = ("model/a", "model/relu", "model/mul", "model/c")
    assert found[1][1:] == (device, "", body if kind == "DLA" else body + back, 101)
    assert found[2][3] == ("edgeagent/cast", "edgeagent/order", *(back if kind == "DLA" else ()))


def test_the_only_subgraph_holds_all_that_nobody_else_names() -> None:
    (myelin,) = read(layer("{ForeignNode[model/relu...model/b]}", "Myelin"))
    (dla,) = read(layer("{ForeignNode[model/relu...model/b]}", "DLA"))
    assert myelin[3] == tuple(NODES)
    assert dla[3] == tuple(name for name in NODES if name.startswith("model/"))


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"Layers": []}', "null"])
def test_an_engine_that_does_not_tell(text: str) -> None:
    assert read_layers(text, NODES, MACS) == ()


def test_names_alone() -> None:
    assert read("model/a", "unknown") == [("model/a", "gpu", "", ("model/a",), 100), ("unknown", "gpu", "", (), None)]


def test_multiply_adds_of_every_kind_of_product() -> None:
    weights = {"w": (8, 2, 3, 3), "t": (4, 6, 2, 2), "g": (10, 5)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1], group=2),
        helper.make_node("ConvTranspose", ["x", "t"], ["d"], name="deconv", strides=[2, 2]),
        helper.make_node("MatMul", ["m", "g"], ["p"], name="matmul"),
        helper.make_node("Gemm", ["g", "g"], ["q"], name="gemm", transA=1),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6]),
         helper.make_tensor_value_info("m", TensorProto.FLOAT, [1, 7, 10])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("r", "d", "p", "q")],
        [helper.make_tensor(name, TensorProto.FLOAT, dims, [0.0] * onnx.numpy_helper.np.prod(dims))
         for name, dims in weights.items()],
    )  # fmt: skip
    found = count_macs(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert found == {
        "conv": 8 * 6 * 6 * 2 * 9,
        "deconv": 4 * 6 * 6 * 6 * 4,
        "matmul": 7 * 5 * 10,
        "gemm": 5 * 5 * 10,
    }


def test_the_sample_model_as_8_6_0_built_it() -> None:
    """What the inspector said of a real FP16 engine (docs/gpu-lab.md), cut down to what is read."""
    model = graft_bundle(load_bundle("sample:conveyor"))
    nodes = [node.name for node in model.graph.node]
    text = (Path(__file__).parent / "trt_facts/inspector-8.6.0-conveyor-fp16.json").read_text(encoding="utf-8")
    layers = read_layers(text, nodes, count_macs(model))
    assert len(layers) == 80 and {layer.device for layer in layers} == {"gpu"}
    assert sum(layer.macs or 0 for layer in layers) == sum(count_macs(model).values()) == 186_846_400
    assert {part for layer in layers for part in layer.parts} == set(nodes)
    twice = [layer for layer in layers if layer.kind == "Reformat" and layer.parts]
    assert all(layer.name.endswith(" copy") for layer in twice)  # a Concat, made by copying its inputs
