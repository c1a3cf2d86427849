"""Each family's graft on ONNX Runtime says what plain numpy says about the same outputs, whatever they are.

Scores and classes are compared exactly where nothing is computed before the best are picked. A Softmax, and YOLOv5's
product of two Sigmoids, round differently in the last digit: there, rows whose scores are that close may change places.
Boxes are all different, so that a row is known by its box.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.engine.graft import graft_network
from edgeagent.engine.network import load_network
from edgeagent.vision import decode
from edgeagent.vision.detections import Candidates

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from family_nets import Fixed, toml_text, write_fixed

CLOSE = 2e-6
FRAME = (96, 64)

rows = st.sampled_from([1, 2, 5, 17, 299, 300, 301, 640])
classes = st.sampled_from([1, 2, 3, 7, 80])
opsets = st.integers(13, 21)
seeds = st.integers(0, 10_000)
formats = st.sampled_from(["cxcywh", "xyxy", "yxyx", "xywh"])
ties = st.booleans()


class Draw:
    """Random outputs; with ties, numbers of a coarse grid."""

    def __init__(self, seed: int, with_ties: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._ties = with_ties

    def boxes(self, count: int) -> np.ndarray:
        """(1, count, 4), each row different from all others by half a pixel and more."""
        first = self._rng.permutation(count).astype(np.float32) * 0.5
        rest = self._rng.uniform(0, 60, (count, 3)).astype(np.float32)
        return np.concatenate([first[:, None], rest], axis=1)[None]

    def chances(self, *shape: int) -> np.ndarray:
        values = self._rng.integers(0, 9, shape) / 8 if self._ties else self._rng.uniform(0, 1, shape)
        return values.astype(np.float32)

    def logits(self, *shape: int) -> np.ndarray:
        values = self._rng.integers(-9, 10, shape) if self._ties else self._rng.normal(0, 5, shape)
        return values.astype(np.float32)

    def labels(self, count: int, classes: int) -> np.ndarray:
        """Some that no class has."""
        return self._rng.integers(-2, classes + 2, (1, count))


def grafted(outputs: dict[str, np.ndarray], opset: int, classes: int, **options: Any) -> Candidates:
    width, height = FRAME
    with tempfile.TemporaryDirectory() as folder:
        net = Fixed(outputs, width, height, opset)
        bundle = write_fixed(Path(folder), net, toml_text(classes, width, height, **options))
        loaded = load_network(bundle)
        data = graft_network(loaded).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    frame = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    boxes, scores, class_ids = session.run(["boxes", "scores", "classes"], {"frames": frame})
    assert (boxes.dtype, scores.dtype, class_ids.dtype) == (np.float32, np.float32, np.int32)
    count = loaded.head.candidates
    assert (boxes.shape, scores.shape, class_ids.shape) == ((1, count, 4), (1, count), (1, count))
    return Candidates(boxes[0], scores[0], class_ids[0])


def assert_exact(found: Candidates, expected: Candidates) -> None:
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.boxes, expected.boxes, rtol=1e-5, atol=1e-3)


def assert_same(found: Candidates, everything: Candidates) -> None:
    """`found` are the best of `everything`, up to the order of rows whose scores are CLOSE."""
    distance = np.abs(found.boxes[:, None] - everything.boxes[None]).max(axis=2)
    which = distance.argmin(axis=1)
    assert (distance.min(axis=1) < 0.1).all() and len(set(which.tolist())) == len(found)
    np.testing.assert_allclose(found.scores, everything.scores[which], atol=CLOSE)
    np.testing.assert_array_equal(found.class_ids, everything.class_ids[which])
    assert (np.diff(found.scores) <= 0).all()
    left_out = np.delete(everything.scores, which)
    assert left_out.size == 0 or left_out.max() <= found.scores.min() + CLOSE


def size_of(normalised: bool) -> tuple[int, int] | None:
    return FRAME if normalised else None


@settings(max_examples=40, deadline=None)
@given(seeds, rows, classes, opsets, ties, formats, st.booleans(), st.sampled_from(["none", "sigmoid"]))
def test_yolov8(
    seed: int, n: int, c: int, opset: int, tied: bool, boxes: Any, normalised: bool, activation: Any
) -> None:
    draw = Draw(seed, tied)
    scores = draw.chances(1, n, c) if activation == "none" else draw.logits(1, n, c)
    raw = np.concatenate([draw.boxes(n), scores], axis=2).transpose(0, 2, 1).copy()
    options = {"boxes": boxes, "normalised": normalised, "activation": activation}
    found = grafted({"out": raw}, opset, c, family="yolov8", **options)
    expected = decode.decode_yolov8(raw, boxes=boxes, size=size_of(normalised), activation=activation)
    assert_exact(found, expected)


@settings(max_examples=40, deadline=None)
@given(seeds, rows, classes, opsets, ties, formats, st.sampled_from(["none", "sigmoid"]))
def test_yolov5(seed: int, n: int, c: int, opset: int, tied: bool, boxes: Any, activation: Any) -> None:
    draw = Draw(seed, tied)
    scores = draw.chances(1, n, 1 + c) if activation == "none" else draw.logits(1, n, 1 + c)
    raw = np.concatenate([draw.boxes(n), scores], axis=2)
    found = grafted({"out": raw}, opset, c, family="yolov5", boxes=boxes, activation=activation)
    if activation == "none":
        assert_exact(found, decode.decode_yolov5(raw, boxes=boxes))
    else:
        assert_same(found, decode.decode_yolov5(raw, n, boxes=boxes, activation=activation))


@settings(max_examples=40, deadline=None)
@given(seeds, rows, classes, opsets, ties, formats, st.sampled_from(["none", "first"]))
def test_end_to_end_in_one_output(
    seed: int, n: int, c: int, opset: int, tied: bool, boxes: Any, background: Any
) -> None:
    draw = Draw(seed, tied)
    parts = [draw.boxes(n), draw.chances(1, n, 1), draw.labels(n, c).astype(np.float32)[..., None]]
    raw = np.concatenate(parts, axis=2)
    found = grafted({"out": raw}, opset, c, family="end2end", boxes=boxes, background=background)
    assert_exact(found, decode.decode_end2end_rows(raw, c, boxes=boxes, background=background))
    assert ((found.class_ids >= 0) & (found.class_ids < c)).all()


@settings(max_examples=40, deadline=None)
@given(seeds, rows, classes, opsets, ties, st.sampled_from([np.int64, np.int32, np.float32]), st.permutations(range(3)))
def test_end_to_end_in_three_outputs(
    seed: int, n: int, c: int, opset: int, tied: bool, kind: Any, order: list[int]
) -> None:
    draw = Draw(seed, tied)
    boxes, scores, labels = draw.boxes(n), draw.chances(1, n), draw.labels(n, c).astype(kind)
    outputs = {"boxes": boxes, "scores": scores, "labels": labels}
    names = [list(outputs)[place] for place in order]
    found = grafted({name: outputs[name] for name in names}, opset, c, family="end2end")
    assert_exact(found, decode.decode_end2end(boxes, scores, labels, c))


@settings(max_examples=40, deadline=None)
@given(seeds, rows, classes, opsets, ties, formats, st.booleans(), st.sampled_from(["none", "sigmoid"]))
def test_rtdetr_in_one_output(
    seed: int, n: int, c: int, opset: int, tied: bool, boxes: Any, normalised: bool, activation: Any
) -> None:
    draw = Draw(seed, tied)
    scores = draw.chances(1, n, c) if activation == "none" else draw.logits(1, n, c)
    raw = np.concatenate([draw.boxes(n), scores], axis=2)
    options = {"boxes": boxes, "normalised": normalised, "activation": activation}
    found = grafted({"out": raw}, opset, c, family="rtdetr", **options)
    expected = decode.decode_rows(raw, boxes=boxes, size=size_of(normalised), activation=activation)
    assert_exact(found, expected)


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    rows,
    classes,
    opsets,
    ties,
    formats,
    st.sampled_from(["none", "sigmoid", "softmax"]),
    st.sampled_from(["none", "first", "last"]),
    st.sampled_from(["rtdetr", "ssd"]),
    st.booleans(),
)
def test_boxes_and_scores_in_two_outputs(
    seed: int,
    n: int,
    c: int,
    opset: int,
    tied: bool,
    boxes_are: Any,
    activation: Any,
    background: Any,
    family: str,
    scores_first: bool,
) -> None:
    draw = Draw(seed, tied)
    columns = c + (background != "none")
    boxes = draw.boxes(n)
    scores = draw.chances(1, n, columns) if activation == "none" else draw.logits(1, n, columns)
    outputs = {"scores": scores, "boxes": boxes} if scores_first else {"boxes": boxes, "scores": scores}
    options = {"boxes": boxes_are, "activation": activation, "background": background}
    found = grafted(outputs, opset, c, family=family, **options)
    how = {"boxes_are": boxes_are, "activation": activation, "size": FRAME, "background": background}
    if activation == "softmax":
        assert_same(found, decode.decode_pair(boxes, scores, n, **how))
    else:
        assert_exact(found, decode.decode_pair(boxes, scores, **how))


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    classes,
    opsets,
    ties,
    st.sampled_from(["none", "sigmoid", "softmax"]),
    st.sampled_from(["none", "first", "last"]),
    st.booleans(),
)
def test_classifiers(seed: int, c: int, opset: int, tied: bool, activation: Any, background: Any, deep: bool) -> None:
    draw = Draw(seed, tied)
    columns = c + (background != "none")
    raw = draw.chances(1, columns) if activation == "none" else draw.logits(1, columns)
    raw = raw.reshape(1, columns, 1, 1) if deep else raw
    found = grafted({"out": raw}, opset, c, task="classify", activation=activation, background=background)
    how = {"activation": activation, "background": background}
    everything = decode.decode_classes(raw, FRAME, c, **how)
    assert len(found) == min(5, c)
    assert (found.boxes == [0, 0, *FRAME]).all()
    np.testing.assert_allclose(found.scores, everything.scores[: len(found)], atol=CLOSE)
    said = dict(zip(everything.class_ids.tolist(), everything.scores.tolist(), strict=True))
    assert len(set(found.class_ids.tolist())) == len(found)
    np.testing.assert_allclose([said[one] for one in found.class_ids.tolist()], found.scores, atol=CLOSE)
    if activation != "softmax":
        assert_exact(found, decode.decode_classes(raw, FRAME, **how))
