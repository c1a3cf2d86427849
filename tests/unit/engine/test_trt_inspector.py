"""Layers as an engine of 8.6.0 told of them on a real GPU, and as one on a DLA would."""

from __future__ import annotations

import json

import onnx
import pytest
from onnx import TensorProto, helper

from edgeagent.engine.build.tensorrt.inspector import read_layers
from edgeagent.engine.build.tensorrt.macs import count_macs

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
        layer("{ForeignNode[edgeagent/cast]}", "Myelin"),
    )
    assert found[1] == (
        "{ForeignNode[model/a...model/c]}",
        device,
        "",
        ("model/a", "model/relu", "model/mul", "model/c"),
        101,
    )
    assert found[2][3] == ("edgeagent/cast",)


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
