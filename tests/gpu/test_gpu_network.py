"""The network that the GPU tests are made with, checked where there is no GPU: its size, its shape, its detections."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx

sys.path.append(str(Path(__file__).parent))
from yolov8n import HELD_OUT, camera, write_yolov8n, yolov8n

from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.inference.onnxruntime_session import OnnxRuntimeSession


def test_it_is_as_large_as_yolov8n() -> None:
    model = yolov8n()
    weights = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    assert 3_100_000 < weights < 3_250_000
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 64
    shape = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    assert shape == [1, 84, 8400]


def test_it_can_be_grafted_and_sees_something(tmp_path: Path) -> None:
    onnx.save(graft_bundle(load_bundle(str(write_yolov8n(tmp_path, 128)))), str(tmp_path / "grafted.onnx"))
    session = OnnxRuntimeSession(tmp_path / "grafted.onnx", 1)
    found = [session.run(picture[None])[0] for picture in camera(HELD_OUT, 128)]
    session.close()
    assert all(len(one) == 300 and np.isfinite(one.boxes).all() for one in found)
    seen = [int((one.scores > 0.35).sum()) for one in found]
    assert max(seen) > 1 and np.median(seen) < 20  # few, as with a trained network
