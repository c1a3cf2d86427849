"""The graft: normalisation at the front and candidate selection at the back of the user's ONNX, once.

Before: float32 (1, 3, H, W) in, the family's raw outputs out. After:

    frames   uint8 (1, H, W, 3) BGR, as the camera's ring holds them
    boxes    float32 (1, K, 4) xyxy in input pixels, best first
    scores   float32 (1, K)
    classes  int32 (1, K)

with K = min(300, boxes of the network), or min(5, classes) for a classifier. TensorRT and ONNX Runtime run this very
graph; Python touches only what is left. Operators are those that parse and build in every TensorRT from 8.6 on
(docs/decisions/0004-graft.md).
"""

from __future__ import annotations

import onnx
from onnx import compose, helper, shape_inference

from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.families.back import RAW, graft_back
from edgeagent.engine.families.front import IMAGE, graft_front
from edgeagent.engine.families.head import MAX_CANDIDATES
from edgeagent.engine.families.pieces import BOXES, CLASSES, FRAMES, PREFIX, SCORES, full_name
from edgeagent.engine.network import LoadedNetwork, load_network, opset_of

__all__ = [
    "BOXES",
    "CLASSES",
    "FRAMES",
    "MAX_CANDIDATES",
    "PREFIX",
    "SCORES",
    "graft_bundle",
    "graft_network",
]


def graft_bundle(bundle: ModelBundle) -> onnx.ModelProto:
    """The bundle's network with both grafts and all shapes. Raises ModelError when it is not what model.toml says."""
    return graft_network(load_network(bundle))


def graft_network(network: LoadedNetwork) -> onnx.ModelProto:
    """A loaded network with both grafts and all shapes. Raises ModelError `model_scaling`."""
    model, head = network.model, network.head
    opset, ir_version = opset_of(model), model.ir_version
    front = graft_front(network.spec.input, opset, ir_version)
    by_name = {output.name: output for output in model.graph.output}
    back = graft_back(head, [by_name[name] for name in head.names], opset, ir_version)
    body = compose.add_prefix(model, "model/")
    whole = compose.merge_models(front, body, io_map=[(full_name(IMAGE), body.graph.input[0].name)])
    joints = [(f"model/{name}", full_name(raw)) for name, raw in zip(head.names, RAW, strict=False)]
    whole = compose.merge_models(whole, back, io_map=joints)
    del whole.opset_import[:]  # the composer repeats them
    whole.opset_import.append(helper.make_opsetid("", opset))
    whole = shape_inference.infer_shapes(whole)
    onnx.checker.check_model(whole)
    return whole
