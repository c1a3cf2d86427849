"""The graft: normalisation at the front and candidate selection at the back of the user's ONNX, once.

Before: float32 (1, 3, H, W) in, the family's raw output out. After:

    frames   uint8 (1, H, W, 3) BGR, as the camera's ring holds them
    boxes    float32 (1, K, 4) xyxy in input pixels, best first
    scores   float32 (1, K)
    classes  int32 (1, K)

with K = min(300, boxes of the network). TensorRT and ONNX Runtime run this very graph; Python touches only what is
left. Operators are those that parse and build in every TensorRT from 8.6 on (docs/decisions/0004-graft.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, shape_inference

from edgeagent.engine.bundle import InputSpec, ModelBundle
from edgeagent.engine.network import load_network, opset_of
from edgeagent.errors import ModelError

MAX_CANDIDATES = 300
PREFIX = "edgeagent/"
FRAMES, BOXES, SCORES, CLASSES = "frames", "boxes", "scores", "classes"


def graft_bundle(bundle: ModelBundle) -> onnx.ModelProto:
    """The bundle's network with both grafts and all shapes. Raises ModelError when it is not what model.toml says."""
    model, count = load_network(bundle)
    opset, spec = opset_of(model), bundle.spec
    body = compose.add_prefix(model, "model/")
    image, raw = body.graph.input[0].name, body.graph.output[0].name
    front = _front(spec.input, opset, body.ir_version)
    back = _back_yolov8(len(spec.classes), count, opset, body.ir_version)
    whole = compose.merge_models(front, body, io_map=[(f"{PREFIX}image", image)])
    whole = compose.merge_models(whole, back, io_map=[(raw, f"{PREFIX}raw")])
    del whole.opset_import[:]  # the composer repeats them
    whole.opset_import.append(helper.make_opsetid("", opset))
    whole = shape_inference.infer_shapes(whole)
    onnx.checker.check_model(whole)
    return whole


def _constant(name: str, array: npt.NDArray[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(array, f"{PREFIX}{name}")


def _node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:  # noqa: ANN401  onnx takes what the operator takes
    name = f"{PREFIX}{op.lower()}_{output.rsplit('/', maxsplit=1)[-1]}"
    return helper.make_node(op, inputs, [output], name=name, **attributes)


def _model(graph: onnx.GraphProto, opset: int, ir_version: int) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="edgeagent")
    model.ir_version = ir_version
    return model


def _front(spec: InputSpec, opset: int, ir_version: int) -> onnx.ModelProto:
    """uint8 (1, H, W, 3) BGR -> float32 (1, 3, H, W) in the network's colours and scale."""
    p = PREFIX
    factor, offset = _scaling(spec)
    order = [2, 1, 0] if spec.color == "rgb" else [0, 1, 2]
    nodes = [_node("Cast", [FRAMES], f"{p}float", to=TensorProto.FLOAT)]
    nodes.append(_node("Transpose", [f"{p}float"], f"{p}planes", perm=[0, 3, 1, 2]))
    nodes.append(_node("Gather", [f"{p}planes", f"{p}order"], f"{p}colours", axis=1))
    last = f"{p}colours" if offset.any() else None
    nodes.append(_node("Mul", [f"{p}colours", f"{p}factor"], f"{p}scaled" if last else f"{p}image"))
    constants = [_constant("order", np.array(order, np.int64)), _constant("factor", factor)]
    if last:
        nodes.append(_node("Add", [f"{p}scaled", f"{p}offset"], f"{p}image"))
        constants.append(_constant("offset", offset))
    graph = helper.make_graph(
        nodes,
        "front",
        [helper.make_tensor_value_info(FRAMES, TensorProto.UINT8, [1, spec.height, spec.width, 3])],
        [helper.make_tensor_value_info(f"{p}image", TensorProto.FLOAT, [1, 3, spec.height, spec.width])],
        constants,
    )
    return _model(graph, opset, ir_version)


def _scaling(spec: InputSpec) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(pixel * scale - mean) / std as one factor and one offset a channel, float32 (1, 3, 1, 1) each."""
    std = np.array(spec.std)
    with np.errstate(over="ignore", under="ignore"):
        factor, offset = (spec.scale / std).astype(np.float32), (-np.array(spec.mean) / std).astype(np.float32)
    if not (np.isfinite(factor).all() and np.isfinite(offset).all() and factor.all()):
        raise ModelError(
            f"scale {spec.scale:g}, mean {spec.mean} and std {spec.std} leave the range of float32",
            mend="check them in model.toml",
            code="model_scaling",
        )
    return factor.reshape(1, 3, 1, 1), offset.reshape(1, 3, 1, 1)


# (cx, cy, w, h) as a row times this is (x1, y1, x2, y2)
CORNERS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32)


def _back_yolov8(classes: int, count: int, opset: int, ir_version: int) -> onnx.ModelProto:
    """float32 (1, 4 + C, N) -> the K best boxes by their best class (see edgeagent/vision/decode.py)."""
    p, k = PREFIX, min(MAX_CANDIDATES, count)
    reduce = _reduce_max(opset)
    nodes = [
        helper.make_node("Split", [f"{p}raw", f"{p}rows"], [f"{p}centres", f"{p}all"], name=f"{p}split", axis=1),
        reduce,
        _node("ArgMax", [f"{p}all"], f"{p}which", axis=1, keepdims=0),
        helper.make_node(
            "TopK", [f"{p}best", f"{p}k"], [SCORES, f"{p}index"], name=f"{p}topk", axis=1, largest=1, sorted=1
        ),
        _node("GatherElements", [f"{p}which", f"{p}index"], f"{p}chosen", axis=1),
        _node("Cast", [f"{p}chosen"], CLASSES, to=TensorProto.INT32),
        _node("Transpose", [f"{p}centres"], f"{p}list", perm=[0, 2, 1]),
        _node("Unsqueeze", [f"{p}index", f"{p}axis"], f"{p}column"),
        _node("Expand", [f"{p}column", f"{p}wide"], f"{p}columns"),
        _node("GatherElements", [f"{p}list", f"{p}columns"], f"{p}picked", axis=1),
        _node("MatMul", [f"{p}picked", f"{p}corners"], BOXES),
    ]
    constants = [
        _constant("rows", np.array([4, classes], np.int64)),
        _constant("k", np.array([k], np.int64)),
        _constant("axis", np.array([2], np.int64)),
        _constant("wide", np.array([1, k, 4], np.int64)),
        _constant("corners", CORNERS),
    ]
    if opset >= 18:
        constants.append(_constant("class_axis", np.array([1], np.int64)))
    graph = helper.make_graph(
        nodes,
        "back",
        [helper.make_tensor_value_info(f"{p}raw", TensorProto.FLOAT, [1, 4 + classes, count])],
        [
            helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [1, k, 4]),
            helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [1, k]),
            helper.make_tensor_value_info(CLASSES, TensorProto.INT32, [1, k]),
        ],
        constants,
    )
    return _model(graph, opset, ir_version)


def _reduce_max(opset: int) -> onnx.NodeProto:
    """ReduceMax took its axes as an attribute up to opset 17 and takes them as an input since 18."""
    if opset >= 18:
        return _node("ReduceMax", [f"{PREFIX}all", f"{PREFIX}class_axis"], f"{PREFIX}best", keepdims=0)
    return _node("ReduceMax", [f"{PREFIX}all"], f"{PREFIX}best", axes=[1], keepdims=0)
