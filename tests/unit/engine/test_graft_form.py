"""The YOLOv8 graft, pinned: another graph from the same model would build every engine of every fleet again.

Where it has to change, `GRAFT_VERSION` in edgeagent/engine/wish.py goes up with the digests below.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import onnx
import pytest
from engine_kit import Net, write_bundle
from family_nets import CONVOLVING, convolving, toml_text, write_fixed

from edgeagent.engine.graft import PREFIX, graft_bundle
from edgeagent.engine.wish import GRAFT_VERSION

ALLOWED = {
    *("Abs", "Add", "ArgMax", "Cast", "Clip", "Concat", "Expand", "Gather", "GatherElements", "MatMul", "Mul"),
    *("Reshape", "Sigmoid", "Softmax", "Split", "Squeeze", "Sub", "TopK", "Transpose", "Unsqueeze"),
}


def digest_of(model: onnx.ModelProto) -> str:
    """Of the graft's own nodes and constants, in their order."""
    whole = hashlib.sha256()
    for part in (*model.graph.node, *model.graph.initializer):
        if part.name.startswith(PREFIX):
            whole.update(part.SerializeToString(deterministic=True))
    return whole.hexdigest()[:16]


@pytest.mark.parametrize(
    ("opset", "values", "digest"),
    [
        (13, {}, "379facf9d3410a7c"),
        (17, {}, "379facf9d3410a7c"),
        (18, {}, "f791ef142fb3a79c"),
        (21, {}, "f791ef142fb3a79c"),
        (17, {"mean": [0.1, 0.2, 0.3], "color": "bgr"}, "6d4b6286840ab00a"),
    ],
)
def test_the_graft_of_yolov8_is_what_it_was(tmp_path: Path, opset: int, values: dict[str, Any], digest: str) -> None:
    net = Net(opset=opset, strides=(4, 8), width=96, height=64)
    assert (digest_of(graft_bundle(write_bundle(tmp_path, net, **values))), GRAFT_VERSION) == (digest, 5)


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("kind", CONVOLVING)
def test_grafts_use_operators_that_every_backend_has(tmp_path: Path, kind: str, opset: int) -> None:
    family, options = CONVOLVING[kind]
    task = "classify" if family == "classifier" else "detect"
    text = toml_text(3, 64, 64, family=family, task=task, **options)
    grafted = graft_bundle(write_fixed(tmp_path, convolving(kind, opset=opset), text))
    own = {node.op_type for node in grafted.graph.node if node.name.startswith(PREFIX)}
    reduced = {"ReduceMax"} if opset < 18 else set()  # TensorRT 8.6 misreads the later form
    assert own <= ALLOWED | reduced and {"TopK", "Cast"} <= own
