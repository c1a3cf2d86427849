"""A bundle of every family, all the way: loaded, grafted, run by the session as the infer child does it, selected;
and in INT8, and through the proof of an engine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeagent.engine.build.compare import compare
from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.graft import graft_bundle, graft_network
from edgeagent.engine.network import LoadedNetwork, load_network
from edgeagent.engine.quantise import quantise
from edgeagent.errors import ModelError
from edgeagent.inference.onnxruntime_session import OnnxRuntimeSession
from edgeagent.vision.detections import Candidates, Detections
from edgeagent.vision.letterbox import fit_letterbox, map_to_source
from edgeagent.vision.nms import select_detections

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from engine_kit import noise_frames
from family_nets import CONVOLVING, Fixed, convolving, toml_text, write_fixed

SIDE = 64


def task_of(family: str) -> str:
    return "classify" if family == "classifier" else "detect"


def loaded(folder: Path, kind: str, opset: int = 17) -> LoadedNetwork:
    family, options = CONVOLVING[kind]
    text = toml_text(3, SIDE, SIDE, family=family, task=task_of(family), **options)
    return load_network(write_fixed(folder, convolving(kind, opset=opset, side=SIDE), text))


def run_plan(folder: Path, plan: onnx.ModelProto, frames: list[np.ndarray]) -> list[Candidates]:
    path = folder / "plan"
    path.write_bytes(plan.SerializeToString())
    session = OnnxRuntimeSession(path, threads=1)
    found = [session.run(frame[None])[0] for frame in frames]
    session.close()
    return found


def selected(network: LoadedNetwork, candidates: Candidates) -> Detections:
    return select_detections(candidates, min_score=0.05, iou=0.5 if network.nms else None, limit=100)


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("kind", CONVOLVING)
def test_a_network_with_weights_all_the_way(tmp_path: Path, kind: str, opset: int) -> None:
    network = loaded(tmp_path, kind, opset)
    (candidates,) = run_plan(tmp_path, graft_network(network), noise_frames(1, SIDE, SIDE))
    assert len(candidates) == network.head.candidates == (3 if kind == "classifier" else 300)
    assert np.isfinite(candidates.boxes).all() and (candidates.scores <= 1).all()
    found = selected(network, candidates)
    assert len(found) > 0 and (found.class_ids < 3).all()
    if kind == "classifier":
        assert found.boxes.tolist() == [[0, 0, SIDE, SIDE]] * len(found)
        assert candidates.scores.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [kind for kind in CONVOLVING if kind not in ("classifier", "yolov5", "ssd")])
def test_families_that_say_the_same_are_read_the_same(tmp_path: Path, kind: str) -> None:
    """All these ends are made of one network, so boxes, scores and classes must be those of its YOLOv8 form."""
    frames = noise_frames(2, SIDE, SIDE)
    plain = run_plan(tmp_path, graft_network(loaded(tmp_path / "plain", "yolov8")), frames)
    other = run_plan(tmp_path, graft_network(loaded(tmp_path / kind, kind)), frames)
    for one, two in zip(plain, other, strict=True):
        np.testing.assert_allclose(two.scores, one.scores, atol=1e-5)
        same = np.abs(one.scores[:-1] - one.scores[1:]) > 1e-4  # neighbours that no rounding can swap
        clear = np.flatnonzero(np.concatenate([[True], same]) & np.concatenate([same, [True]]))
        assert len(clear) > 50
        np.testing.assert_allclose(two.boxes[clear], one.boxes[clear], atol=1e-2)
        np.testing.assert_array_equal(two.class_ids[clear], one.class_ids[clear])


@pytest.mark.parametrize("kind", [kind for kind in CONVOLVING if kind != "ssd"])
def test_what_is_declared_is_also_recognised(tmp_path: Path, kind: str) -> None:
    family, _ = CONVOLVING[kind]
    text = toml_text(3, SIDE, SIDE, task=task_of(family))
    network = load_network(write_fixed(tmp_path / "open", convolving(kind, side=SIDE), text))
    assert network.family == family
    assert network.recognised.startswith(f"recognised as family {family}: ")
    declared = loaded(tmp_path / "declared", kind)
    assert (declared.recognised, declared.head) == ("", network.head)
    one, two = graft_network(network), graft_network(declared)
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


@pytest.mark.parametrize("kind", CONVOLVING)
def test_the_int8_form_of_every_family_agrees_with_its_reference(tmp_path: Path, kind: str) -> None:
    network = loaded(tmp_path, kind)
    reference = graft_network(network)
    frames = noise_frames(8, SIDE, SIDE)
    eight_bit = quantise(reference, frames, 1, lambda percent: None)
    ours, theirs = run_plan(tmp_path, eight_bit, frames), run_plan(tmp_path, reference, frames)
    how = {"task": task_of(network.family), "nms": network.nms}
    found = compare(ours, theirs, 1.0, 1.0, **how)
    assert found.basis == ("classes" if kind == "classifier" else "detections")
    assert found.value > 0.5
    assert compare(theirs, theirs, 1.0, 1.0, **how).value == 1.0


def test_a_classification_covers_the_source_frame(tmp_path: Path) -> None:
    """The letterbox's bars belong to the network's input and not to the camera's picture."""
    network = loaded(tmp_path, "classifier")
    (candidates,) = run_plan(tmp_path, graft_network(network), noise_frames(1, SIDE, SIDE))
    box = fit_letterbox(1280, 720, SIDE, SIDE)
    assert map_to_source(selected(network, candidates).boxes, box)[0].tolist() == [0, 0, 1280, 720]


def test_overlapping_boxes_of_an_end_to_end_network_are_kept(tmp_path: Path) -> None:
    rows = np.array([[[1, 1, 30, 30, 0.9, 0], [2, 1, 31, 30, 0.8, 0], [1, 1, 30, 31, 0.7, 1]]], np.float32)
    bundle = write_fixed(tmp_path, Fixed({"out": rows}), toml_text(2, family="end2end"))
    network = load_network(bundle)
    (candidates,) = run_plan(tmp_path, graft_network(network), noise_frames(1))
    assert selected(network, candidates).scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert len(select_detections(candidates, min_score=0.05, iou=0.5, limit=100)) == 2


def test_outputs_that_do_not_count_are_dropped_with_what_made_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outputs = {
        "aux": rng.uniform(0, 1, (1, 7)).astype(np.float32),
        "pred_boxes": rng.uniform(0, 1, (1, 20, 4)).astype(np.float32),
        "logits": rng.normal(0, 1, (1, 20, 3)).astype(np.float32),
    }
    net = Fixed(outputs, last={"aux": "Sqrt"})
    bundle = write_fixed(tmp_path, net, toml_text(3, use=["logits", "pred_boxes"]))
    network = load_network(bundle)
    assert network.recognised.startswith("recognised as family rtdetr")
    assert "Sqrt" not in [node.op_type for node in network.model.graph.node]
    assert [output.name for output in network.model.graph.output] == ["pred_boxes", "logits"]
    (candidates,) = run_plan(tmp_path, graft_network(network), noise_frames(1))
    assert candidates.scores[0] == pytest.approx(1 / (1 + np.exp(-outputs["logits"].max())), abs=1e-5)


def named(folder: Path, names: str) -> ModelBundle:
    """An end-to-end network of two classes, as model.toml has it, with this text for names in the file."""
    model = Fixed({"out": np.zeros((1, 9, 6), np.float32)}).model()
    entry = model.metadata_props.add()
    entry.key, entry.value = "names", names
    return write_fixed(folder, model, toml_text(2, family="end2end"))


@pytest.mark.parametrize("names", ["{0: 'a', 1: 'b'}", "['a', 'b']", "rubbish(", "", "7"])
def test_class_names_in_the_file_that_say_nothing_else(tmp_path: Path, names: str) -> None:
    assert load_network(named(tmp_path, names)).count == 9


@pytest.mark.parametrize("names", ["{0: 'a'}", "['a', 'b', 'c']"])
def test_class_names_in_the_file_speak_where_no_shape_does(tmp_path: Path, names: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_network(named(tmp_path, names))
    assert caught.value.error_code == "model_classes"
    assert "classes, as its file says, and model.toml lists 2" in caught.value.message


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid", "Identity"])
def test_a_classifier_s_scores_are_made_once(tmp_path: Path, last: str) -> None:
    logits = np.array([[0.3, -1.0, 2.0, 0.1]], np.float32)
    net = Fixed({"out": logits}, last={"out": last})
    bundle = write_fixed(tmp_path, net, toml_text(4, task="classify"))
    network = load_network(bundle)
    (candidates,) = run_plan(tmp_path, graft_bundle(bundle), noise_frames(1))
    raw = onnxruntime.InferenceSession(bundle.onnx_path.read_bytes(), providers=["CPUExecutionProvider"])
    (said,) = raw.run(None, {"images": np.zeros((1, 3, 32, 32), np.float32)})
    powers = np.exp(logits[0])
    expected = powers / powers.sum() if last == "Identity" else said[0]
    assert network.head.activation == ("softmax" if last == "Identity" else "none")
    np.testing.assert_allclose(candidates.scores, np.sort(expected)[::-1], atol=1e-6)
    assert candidates.class_ids[0] == 2
