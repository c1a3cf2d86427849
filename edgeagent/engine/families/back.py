"""The back grafts: a family's outputs in, the best candidates out, in one form for all families.

    boxes    float32 (1, K, 4) xyxy in input pixels, best first
    scores   float32 (1, K)
    classes  int32 (1, K)

K is min(300, rows), and min(5, classes) for a classifier, whose boxes are the whole frame. A row's class is its best
one, the first of equals; rows of equal score stand in the network's order. Operators are those that parse and build in
every TensorRT from 8.6 on; vision/decode.py does the same in numpy.

A Sigmoid is applied after the best have been picked: it changes no order, and a few hundred numbers are cheaper than
all of them. It also keeps apart what eight or sixteen bits would round to the same 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from edgeagent.engine.bundle import BoxFormat
from edgeagent.engine.families.head import Head
from edgeagent.engine.families.pieces import BOXES, CLASSES, SCORES, Sketch, full_name, result_infos

RAW = ("raw", "raw_1", "raw_2")

# a row of four numbers times this is (x1, y1, x2, y2)
CORNERS: dict[BoxFormat, list[list[float]]] = {
    "cxcywh": [[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]],
    "xywh": [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
    "xyxy": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    "yxyx": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]],
}


def corners(head: Head) -> npt.NDArray[np.float32]:
    """float32 (4, 4): what a box of the network is multiplied with to be xyxy in input pixels."""
    matrix = np.array(CORNERS[head.boxes], np.float32)
    if head.normalised:
        matrix *= np.array([head.width, head.height] * 2, np.float32)
    return matrix


def graft_back(head: Head, outputs: Sequence[onnx.ValueInfoProto], opset: int, ir_version: int) -> onnx.ModelProto:
    """The graph behind the outputs of `head`, given in its order; they go to the inputs `RAW`, in that order too."""
    g = Sketch(opset)
    inputs = [_renamed(output, full_name(name)) for output, name in zip(outputs, RAW, strict=False)]
    match head.layout:
        case "columns":
            _columns(g, head)
        case "classes":
            _classes(g, head, len(inputs[0].type.tensor_type.shape.dim))
        case "found" | "labelled":
            _found(g, head)
        case _:
            _rows(g, head)
    return g.model("back", inputs, result_infos(head.candidates), ir_version)


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    kind = value.type.tensor_type
    return helper.make_tensor_value_info(name, kind.elem_type, [dim.dim_value for dim in kind.shape.dim])


def _columns(g: Sketch, head: Head) -> None:
    """float32 (1, 4 + C, N): YOLOv8. To change what this writes for plain scores is to make every engine anew."""
    g.split("raw", {"centres": 4, "all": head.classes}, axis=1)
    g.best_along("all", 1, "best", "which")
    _pick(g, head, "best", "which")
    g.op("Transpose", ["centres"], "list", perm=[0, 2, 1])
    _gather(g, head, "list", "picked")
    g.op("MatMul", ["picked", g.constant("corners", corners(head))], BOXES)


def _rows(g: Sketch, head: Head) -> None:
    """Boxes (1, N, 4) and scores (1, N, B), in one output or two; with an objectness between them for YOLOv5."""
    boxes, scores = "list", "all"
    match head.layout:
        case "rows":
            g.split("raw", {boxes: 4, scores: head.columns}, axis=2)
        case "scored":
            g.split("raw", {boxes: 4, "object": 1, scores: head.columns}, axis=2)
        case _:
            boxes, scores = "raw", "raw_1"
    scores = _without_background(g, head, scores, axis=2)
    g.best_along(scores, 2, "best", "which")
    _pick(g, head, _times_objectness(g, head) if head.layout == "scored" else "best", "which")
    _gather_boxes(g, head, boxes)


def _times_objectness(g: Sketch, head: Head) -> str:
    """A row's score is how sure an object is there, times how sure its class is: float32 (1, N)."""
    there = g.op("Squeeze", ["object", g.whole_numbers("axis", [2])], "there")
    best = "best"
    if head.activation == "sigmoid":
        there, best = g.op("Sigmoid", [there], "there_sure"), g.op("Sigmoid", [best], "best_sure")
    return g.op("Mul", [there, best], "product")


def _found(g: Sketch, head: Head) -> None:
    """Boxes, scores and labels that the network has picked itself; put in order, labels that no class has struck out.

    The labels' own errors cannot be seen in any shape: a network of 80 classes and a list of 3 would name parts that
    are not there. Such a row scores 0.
    """
    boxes, score, label = "raw", "raw_1", "raw_2"
    if head.layout == "found":
        boxes = "list"
        g.split("raw", {boxes: 4, "score_column": 1, "label_column": 1}, axis=2)
        axis = g.whole_numbers("axis", [2])
        score = g.op("Squeeze", ["score_column", axis], "score")
        label = g.op("Squeeze", ["label_column", axis], "label")
    else:
        label = g.op("Cast", [label], "label", to=TensorProto.FLOAT)
    if head.background == "first":
        label = g.op("Sub", [label, g.floats("one", 1.0)], "label_from_0")
    last = g.floats("last", float(head.classes - 1))
    inside = g.op("Clip", [label, g.floats("zero", 0.0), last], "inside")
    away = g.op("Abs", [g.op("Sub", [label, inside], "beyond")], "away")
    outside = g.op("Clip", [away, "zero", g.floats("one", 1.0)], "outside")
    known = g.op("Sub", ["one", outside], "known")
    _pick(g, head, g.op("Mul", [score, known], "product"), g.op("Add", [inside, g.floats("half", 0.5)], "which"))
    _gather_boxes(g, head, boxes)


def _classes(g: Sketch, head: Head, sides: int) -> None:
    """float32 (1, B) or (1, B, 1, 1): the best classes, each as a detection of the whole frame."""
    scores = "raw"
    if sides != 2:
        scores = g.op("Reshape", ["raw", g.whole_numbers("flat", [1, head.columns])], "all")
    scores = _without_background(g, head, scores, axis=1)
    top = _top(g, head, scores)
    g.op("Cast", ["index"], CLASSES, to=TensorProto.INT32)
    _finish_scores(g, top)
    # The frame's corners as a sum that depends on the scores: an output that is a constant is not built everywhere.
    g.op("Unsqueeze", [SCORES, g.whole_numbers("axis", [2])], "column")
    g.op("Mul", ["column", g.floats("nothing", [[[0.0] * 4]])], "empty")
    g.op("Add", ["empty", g.floats("frame", [[[0.0, 0.0, head.width, head.height]]])], BOXES)


def _without_background(g: Sketch, head: Head, scores: str, axis: int) -> str:
    """Scores of the classes alone; a Softmax counts the background in."""
    if head.activation == "softmax":
        scores = g.op("Softmax", [scores], "soft", axis=axis)
    if head.background == "none":
        return scores
    sizes = {"background": 1, "classes_only": head.classes}
    if head.background == "last":
        sizes = dict(reversed(sizes.items()))
    g.split(scores, sizes, axis, name="parts")
    return "classes_only"


def _pick(g: Sketch, head: Head, best: str, which: str) -> None:
    """The K best rows: their scores and classes; their places in `index`. `which` (1, N) has each row's class."""
    top = _top(g, head, best)
    g.op("GatherElements", [which, "index"], "chosen", axis=1)
    g.op("Cast", ["chosen"], CLASSES, to=TensorProto.INT32)
    _finish_scores(g, top)


def _top(g: Sketch, head: Head, scores: str) -> str:
    """The K best of (1, N) and their places `index`. Returns SCORES, or what a Sigmoid is still to make them of."""
    late = head.activation == "sigmoid" and head.layout != "scored"
    top = "top" if late else SCORES
    g.top(scores, head.candidates, top, "index")
    return top


def _finish_scores(g: Sketch, top: str) -> None:
    if top != SCORES:
        g.op("Sigmoid", [top], SCORES)


def _gather(g: Sketch, head: Head, boxes: str, picked: str) -> None:
    """The boxes (1, N, 4) of the rows in `index` (1, K)."""
    g.op("Unsqueeze", ["index", g.whole_numbers("axis", [2])], "column")
    g.op("Expand", ["column", g.whole_numbers("wide", [1, head.candidates, 4])], "columns")
    g.op("GatherElements", [boxes, "columns"], picked, axis=1)


def _gather_boxes(g: Sketch, head: Head, boxes: str) -> None:
    """The boxes of the rows in `index` as corners in input pixels, number by number.

    A matrix product would do it too, but a GPU multiplies matrices in TF32 even in an FP32 engine, with ten bits of
    fraction: a third of a pixel on 640.
    """
    last = "shares" if head.normalised else BOXES
    match head.boxes:
        case "xyxy":
            _gather(g, head, boxes, last)
        case "yxyx":
            _gather(g, head, boxes, "picked")
            g.op("Gather", ["picked", g.whole_numbers("turn", [1, 0, 3, 2])], last, axis=2)
        case _:
            _gather(g, head, boxes, "picked")
            _corners_of_sides(g, head, last)
    if head.normalised:
        g.op("Mul", [last, g.floats("size", [head.width, head.height] * 2)], BOXES)


def _corners_of_sides(g: Sketch, head: Head, output: str) -> None:
    """Corners of `picked`: a point and two sides a row."""
    g.split("picked", {"point": 2, "sides": 2}, axis=2, name="pairs")
    first, way = "point", "sides"
    if head.boxes == "cxcywh":
        way = g.op("Mul", ["sides", g.floats("half_side", 0.5)], "half_sides")
        first = g.op("Sub", ["point", way], "first_corner")
    g.op("Concat", [first, g.op("Add", ["point", way], "last_corner")], output, axis=2)
