"""Reference decoding of raw network outputs in plain numpy: what the graft must agree with, box for box.

Never on a frame's way: the same arithmetic is part of the engine's graph (edgeagent/engine/graft.py).
"""

from __future__ import annotations

import numpy as np

from edgeagent.vision.detections import Candidates, FloatArray


def decode_yolov8(output: FloatArray, limit: int = 300) -> Candidates:
    """YOLOv8/v11 detect output (1, 4 + C, N): rows cx, cy, w, h in input pixels, then C class scores 0..1.

    Returns the `limit` best by their best class's score, best first. Source: the exported graph's own layout, as
    Ultralytics documents it for `format="onnx"`.
    """
    if output.ndim != 3 or output.shape[0] != 1 or output.shape[1] < 5:
        raise ValueError(f"a YOLOv8 output is (1, 4 + classes, boxes), not {output.shape}")
    boxes, scores = output[0, :4].T, output[0, 4:]
    best = scores.max(axis=0)
    order = np.argsort(-best, kind="stable")[: min(limit, best.shape[0])]
    chosen = boxes[order]
    half = chosen[:, 2:] / np.float32(2)
    xyxy = np.concatenate([chosen[:, :2] - half, chosen[:, :2] + half], axis=1)
    return Candidates(xyxy, best[order], scores.argmax(axis=0)[order].astype(np.int32))
