"""The grafted graph on ONNX Runtime says what plain numpy says about the raw network's output, for any network.

Tolerance: scores within 1e-4, boxes within 1e-2 pixels. The two normalise in another order of operations, and a
network multiplies that difference of some 1e-6.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.engine.bundle import InputSpec
from edgeagent.engine.graft import MAX_CANDIDATES, graft_bundle
from edgeagent.engine.quantise import float_nodes, quantise
from edgeagent.vision.decode import decode_yolov8
from edgeagent.vision.detections import Candidates

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from engine_kit import Frames, Net, noise_frames, write_bundle

SCORE, PIXEL = 1e-4, 1e-2

sides = st.sampled_from([32, 40, 64, 96, 120])
networks = st.builds(
    Net,
    width=sides,
    height=sides,
    classes=st.sampled_from([1, 2, 3, 7, 80]),
    opset=st.integers(13, 21),
    strides=st.sampled_from([(4,), (8,), (4, 8)]),
    dfl=st.sampled_from([0, 0, 4]),
    named=st.booleans(),
    seed=st.integers(0, 1000),
)
values = st.floats(0.05, 2.0)
scalings = st.fixed_dictionaries(
    {
        "color": st.sampled_from(["rgb", "bgr"]),
        "scale": st.sampled_from([1 / 255, 1.0, 0.01]),
        "mean": st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3) | st.just([0.0, 0.0, 0.0]),
        "std": st.lists(values, min_size=3, max_size=3) | st.just([1.0, 1.0, 1.0]),
    }
)


def session_of(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def normalised(frame: Frames, spec: InputSpec) -> np.ndarray:
    pixels = frame[..., ::-1] if spec.color == "rgb" else frame
    wide = (pixels.astype(np.float64) * spec.scale - spec.mean) / spec.std
    return np.ascontiguousarray(wide.transpose(2, 0, 1)[None], np.float32)


def run_graft(data: bytes, frame: Frames) -> Candidates:
    boxes, scores, classes = session_of(data).run(["boxes", "scores", "classes"], {"frames": frame[None]})
    assert (boxes.dtype, scores.dtype, classes.dtype) == (np.float32, np.float32, np.int32)
    return Candidates(boxes[0], scores[0], classes[0])


def assert_same(found: Candidates, raw: np.ndarray, count: int) -> None:
    """`found` are the `count` best of the raw output; equal scores may stand in any order."""
    truth = decode_yolov8(raw, limit=raw.shape[2])
    assert len(found) == count == len(found.boxes) == len(found.class_ids)
    np.testing.assert_allclose(found.scores, truth.scores[:count], atol=SCORE)
    assert (np.diff(found.scores) <= 0).all()
    distance = np.abs(found.boxes[:, None] - truth.boxes[None]).max(axis=2)
    apart = np.abs(found.scores[:, None] - truth.scores[None])
    distance[apart > SCORE] = np.inf
    which = distance.argmin(axis=1)
    assert (distance.min(axis=1) <= PIXEL).all(), "a box is none of the network's"
    assert len(set(which.tolist())) == count, "a box came twice"
    order = np.argsort(-raw[0, 4:].max(axis=0), kind="stable")
    said = raw[0, 4:][found.class_ids, order[which]]  # what the network gave the class that was chosen
    np.testing.assert_allclose(said, truth.scores[which], atol=SCORE)


@settings(max_examples=60, deadline=None)
@given(net=networks, scaling=scalings, seed=st.integers(0, 100))
def test_the_graft_agrees_with_the_reference(net: Net, scaling: dict[str, object], seed: int) -> None:
    frame = noise_frames(1, net.width, net.height, seed)[0]
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder), net, **scaling)
        raw = session_of(bundle.onnx_path.read_bytes()).run(None, {"images": normalised(frame, bundle.spec.input)})[0]
        found = run_graft(graft_bundle(bundle).SerializeToString(), frame)
    assert_same(found, raw, min(MAX_CANDIDATES, net.boxes))


def test_equal_scores_keep_the_networks_order(tmp_path: Path) -> None:
    """On a frame of one colour the inner boxes of a grid score exactly alike."""
    net = Net(width=96, height=96, strides=(4,), classes=3)
    frame = np.full((96, 96, 3), 77, np.uint8)
    bundle = write_bundle(tmp_path, net)
    raw = session_of(bundle.onnx_path.read_bytes()).run(None, {"images": normalised(frame, bundle.spec.input)})[0]
    found = run_graft(graft_bundle(bundle).SerializeToString(), frame)
    assert len(np.unique(found.scores)) < 100 < len(found)
    assert_same(found, raw, 300)


@settings(max_examples=25, deadline=None)
@given(net=networks, seed=st.integers(0, 100))
def test_the_int8_form_runs_on_any_network_and_decodes_in_float(net: Net, seed: int) -> None:
    frames = noise_frames(4, net.width, net.height, seed)
    with tempfile.TemporaryDirectory() as folder:
        network = graft_bundle(write_bundle(Path(folder), net))
    eight_bit = quantise(network, frames, 1, lambda percent: None)
    found = run_graft(eight_bit.SerializeToString(), frames[0])
    float_found = run_graft(network.SerializeToString(), frames[0])
    assert np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()
    assert np.abs(found.scores - float_found.scores).mean() < 0.15
    behind = set(float_nodes(network))
    assert {node.op_type for node in network.graph.node if node.name in behind} >= {"TopK", "Sigmoid", "Add"}
