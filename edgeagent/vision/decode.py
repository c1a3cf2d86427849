"""Reference decoding of raw network outputs in plain numpy: what the grafts must agree with, box for box.

Never on a frame's way: the same arithmetic is part of the engine's graph (edgeagent/engine/families/back.py). For all
of them: rows come best first, a row's class is its best one and of equals the first, rows of equal score keep their
order, and at most `limit` come back. Boxes are xyxy in input pixels, whatever the network writes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Candidates, FloatArray

Activation = Literal["none", "sigmoid", "softmax"]
BoxFormat = Literal["cxcywh", "xyxy", "yxyx", "xywh"]
Background = Literal["none", "first", "last"]
LIMIT = 300
BEST_CLASSES = 5


def decode_yolov8(
    output: FloatArray,
    limit: int = LIMIT,
    *,
    activation: Activation = "none",
    boxes: BoxFormat = "cxcywh",
    size: tuple[int, int] | None = None,
) -> Candidates:
    """YOLOv8/v11 detect output (1, 4 + C, N): rows cx, cy, w, h in input pixels, then C class scores 0..1.

    `size` is the input's (width, height) where boxes are shares of it. Source: the exported graph's own layout, as
    Ultralytics documents it for `format="onnx"`. Raises ValueError for another shape, as do the others.
    """
    if output.ndim != 3 or output.shape[0] != 1 or output.shape[1] < 5:
        raise ValueError(f"a YOLOv8 output is (1, 4 + classes, boxes), not {output.shape}")
    return decode_pair(
        output[:, :4].transpose(0, 2, 1),
        output[:, 4:].transpose(0, 2, 1),
        limit,
        activation=activation,
        boxes_are=boxes,
        size=size,
    )


def decode_yolov5(
    output: FloatArray,
    limit: int = LIMIT,
    *,
    activation: Activation = "none",
    boxes: BoxFormat = "cxcywh",
    size: tuple[int, int] | None = None,
) -> Candidates:
    """YOLOv5 output (1, N, 5 + C): cx, cy, w, h in input pixels, objectness, then C class scores, all 0..1.

    A row's score is objectness times its best class's score, as in Ultralytics' yolov5 (`non_max_suppression` in
    utils/general.py).
    """
    if output.ndim != 3 or output.shape[0] != 1 or output.shape[2] < 6:
        raise ValueError(f"a YOLOv5 output is (1, boxes, 5 + classes), not {output.shape}")
    rows = output[0]
    there, best = rows[:, 4], rows[:, 5:].max(axis=1)
    if activation == "sigmoid":
        there, best = sigmoid(there), sigmoid(best)
    scores = there * best
    order = best_first(scores, limit)
    which = rows[order, 5:].argmax(axis=1)
    return Candidates(to_corners(rows[order, :4], boxes, size), scores[order], which.astype(np.int32))


def decode_rows(
    output: FloatArray,
    limit: int = LIMIT,
    *,
    activation: Activation = "none",
    boxes: BoxFormat = "cxcywh",
    size: tuple[int, int] | None = None,
    background: Background = "none",
) -> Candidates:
    """RT-DETR as Ultralytics exports it, (1, N, 4 + C): box as shares of the input's sides, then C scores 0..1."""
    if output.ndim != 3 or output.shape[0] != 1 or output.shape[2] < 5:
        raise ValueError(f"such an output is (1, rows, 4 + classes), not {output.shape}")
    return decode_pair(
        output[..., :4],
        output[..., 4:],
        limit,
        activation=activation,
        boxes_are=boxes,
        size=size,
        background=background,
    )


def decode_pair(
    boxes: FloatArray,
    scores: FloatArray,
    limit: int = LIMIT,
    *,
    activation: Activation = "none",
    boxes_are: BoxFormat = "cxcywh",
    size: tuple[int, int] | None = None,
    background: Background = "none",
) -> Candidates:
    """Boxes (1, N, 4) and scores (1, N, B), B being C and one more where there is a background class.

    SSD (Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016: softmax over the classes and the background) and
    DETR's kin (Carion et al. 2020: softmax, background last; RT-DETR, Zhao et al. 2024: sigmoid, no background). One
    class a row, its best.
    """
    if boxes.ndim != 3 or boxes.shape[0] != 1 or boxes.shape[2] != 4 or scores.shape[:2] != boxes.shape[:2]:
        raise ValueError(f"boxes are (1, rows, 4) and scores (1, rows, classes), not {boxes.shape} and {scores.shape}")
    table = softmax(scores[0]) if activation == "softmax" else scores[0]
    table = without_background(table, background)
    best = table.max(axis=1) if len(table) else np.zeros(0, np.float32)
    order = best_first(best, limit)
    chosen = sigmoid(best[order]) if activation == "sigmoid" else best[order]
    which = table[order].argmax(axis=1).astype(np.int32)
    return Candidates(to_corners(boxes[0][order], boxes_are, size), chosen, which)


def decode_end2end(
    boxes: FloatArray,
    scores: FloatArray,
    labels: npt.NDArray[np.generic],
    classes: int,
    limit: int = LIMIT,
    *,
    boxes_are: BoxFormat = "xyxy",
    size: tuple[int, int] | None = None,
    background: Background = "none",
) -> Candidates:
    """Boxes (1, N, 4), scores (1, N) and labels (1, N) that the network has picked itself.

    YOLOv10 and YOLO26 write them as one output (1, N, 6), see `decode_end2end_rows`. A label that is none of the
    classes 0..C-1 (1..C with background "first") makes its row score 0.
    """
    if boxes.ndim != 3 or boxes.shape[0] != 1 or boxes.shape[2] != 4 or scores.shape != boxes.shape[:2]:
        raise ValueError(f"boxes are (1, rows, 4) and scores (1, rows), not {boxes.shape} and {scores.shape}")
    label = labels[0].astype(np.float32) - np.float32(background == "first")
    inside = np.clip(label, 0, classes - 1)
    sure = scores[0] * (1 - np.clip(np.abs(label - inside), 0, 1))
    order = best_first(sure, limit)
    which = (inside[order] + np.float32(0.5)).astype(np.int32)
    return Candidates(to_corners(boxes[0][order], boxes_are, size), sure[order], which)


def decode_end2end_rows(
    output: FloatArray,
    classes: int,
    limit: int = LIMIT,
    *,
    boxes: BoxFormat = "xyxy",
    size: tuple[int, int] | None = None,
    background: Background = "none",
) -> Candidates:
    """YOLOv10/YOLO26 output (1, N, 6): x1, y1, x2, y2 in input pixels, score, class."""
    if output.ndim != 3 or output.shape[0] != 1 or output.shape[2] != 6:
        raise ValueError(f"an end-to-end output is (1, rows, 6), not {output.shape}")
    box, score, label = output[..., :4], output[..., 4], output[..., 5]
    return decode_end2end(box, score, label, classes, limit, boxes_are=boxes, size=size, background=background)


def decode_classes(
    output: FloatArray,
    size: tuple[int, int],
    limit: int = BEST_CLASSES,
    *,
    activation: Activation = "none",
    background: Background = "none",
) -> Candidates:
    """A classifier's output (1, B) or (1, B, 1, 1): its best classes, each with the whole frame for a box."""
    if output.size != output.shape[1] or output.shape[0] != 1:
        raise ValueError(f"a classifier's output is (1, classes), not {output.shape}")
    table = output.reshape(1, -1)
    table = without_background(softmax(table) if activation == "softmax" else table, background)[0]
    order = best_first(table, limit)
    scores = sigmoid(table[order]) if activation == "sigmoid" else table[order]
    boxes = np.tile(np.array([0, 0, *size], np.float32), (len(order), 1))
    return Candidates(boxes, scores, order.astype(np.int32))


def best_first(scores: FloatArray, limit: int) -> npt.NDArray[np.int64]:
    """Places of the `limit` best of (N,), best first, of equals the earlier first."""
    return np.argsort(-scores, kind="stable")[:limit]


def sigmoid(values: FloatArray) -> FloatArray:
    """1 / (1 + e^-x) without overflow, in float32."""
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1 / (1 + small), small / (1 + small)), np.float32)


def softmax(values: FloatArray) -> FloatArray:
    """Along the last axis, in float32."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def without_background(table: FloatArray, background: Background) -> FloatArray:
    """The columns of (N, B) that stand for things."""
    return {"none": table, "first": table[:, 1:], "last": table[:, :-1]}[background]


def to_corners(boxes: FloatArray, boxes_are: BoxFormat, size: tuple[int, int] | None) -> FloatArray:
    """Boxes (K, 4) as xyxy in input pixels; `size` is (width, height) where they are shares of it."""
    a, b, c, d = boxes.T
    match boxes_are:
        case "cxcywh":
            corners = np.stack([a - c / 2, b - d / 2, a + c / 2, b + d / 2], axis=1)
        case "xywh":
            corners = np.stack([a, b, a + c, b + d], axis=1)
        case "yxyx":
            corners = np.stack([b, a, d, c], axis=1)
        case _:
            corners = np.stack([a, b, c, d], axis=1)
    return np.asarray(corners if size is None else corners * np.array([*size, *size], np.float32), np.float32)
