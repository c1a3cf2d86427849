"""The shipped sample model: what it takes and gives, and that it still finds the parts that the renderer draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgeagent.engine.bundle import load_bundle  # noqa: E402
from edgeagent.simulate import sample_model  # noqa: E402
from edgeagent.simulate.sample_model import checking, network, pictures  # noqa: E402
from edgeagent.simulate.scenes import CLASSES, ConveyorStream  # noqa: E402

FOLDER = Path(sample_model.__file__).parent
DLA_OPERATIONS = {"Conv", "Relu", "MaxPool", "Resize", "Concat"}


@pytest.fixture(scope="module")
def model() -> object:
    return onnx.load(str(FOLDER / "conveyor.onnx"))


@pytest.fixture(scope="module")
def scores() -> dict:
    return json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))


def random_weights() -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    channels, rng = network.channels_of(), np.random.default_rng(0)
    for layer in network.LAYERS:
        if layer.op == "conv":
            shape = (layer.channels, channels[layer.inputs[0]], layer.kernel, layer.kernel)
            kernel = (rng.standard_normal(shape) * 0.05).astype(np.float32)
            yield layer.name, (kernel, np.zeros(layer.channels, np.float32))


def test_the_bundle_names_the_renderers_classes() -> None:
    bundle = load_bundle("sample:conveyor")
    assert tuple(bundle.spec.classes) == CLASSES
    assert (bundle.spec.input.width, bundle.spec.input.height) == (network.SIDE, network.SIDE)
    assert bundle.spec.input.scale == 1 / 255


def test_input_and_output_are_static(model) -> None:
    def shape(value) -> list[int]:
        return [dim.dim_value for dim in value.type.tensor_type.shape.dim]

    assert [(v.name, shape(v)) for v in model.graph.input] == [("images", [1, 3, 320, 320])]
    assert [(v.name, shape(v)) for v in model.graph.output] == [("output0", [1, 4 + len(CLASSES), 2100])]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    onnx.checker.check_model(model, full_check=True)


def test_the_body_is_made_of_what_a_dla_takes(model) -> None:
    body = [node for node in model.graph.node if not node.name.startswith("decode/") and node.name != "output0"]
    assert {node.op_type for node in body} == DLA_OPERATIONS
    assert not {node.op_type for node in model.graph.node} & {"NonMaxSuppression", "BatchNormalization"}


def test_it_is_small(model, scores) -> None:
    assert (FOLDER / "conveyor.onnx").stat().st_size == scores["bytes"] < 3_000_000
    assert network.multiplications() == scores["multiply_accumulates"] < 200_000_000


def test_the_shipped_graph_is_the_tables(model) -> None:
    """Someone who changes the table has to train again."""
    rebuilt = network.build_onnx(dict(random_weights()))
    assert [(n.op_type, n.name) for n in rebuilt.graph.node] == [(n.op_type, n.name) for n in model.graph.node]


def test_cells_and_columns_agree() -> None:
    centres, strides = network.cell_centres()
    assert centres.shape == (2, network.CELLS)
    assert strides.shape == (network.CELLS,)
    assert centres[:, 0].tolist() == [4.0, 4.0]
    assert centres[:, 1].tolist() == [12.0, 4.0]
    assert (strides[1599], strides[1600], strides[2000]) == (8.0, 16.0, 32.0)


def test_the_recorded_scores_meet_the_bar(scores) -> None:
    for kind in ("mAP50_scenes", "mAP50_streams"):
        assert scores[kind]["fp32"]["mean"] >= 0.95
        assert scores[kind]["fp32"]["mean"] - scores[kind]["int8"]["mean"] <= 0.01


def test_it_finds_the_parts_in_held_out_scenes() -> None:
    """A sample of what scores.json was measured on; a renderer that drifted away from the model would show here."""
    drawn = [next(pictures.draw_view(pictures.HELD_OUT, number)) for number in range(60)]
    held_out = pictures.Pictures(np.stack([image for image, _ in drawn]), np.stack([truth for _, truth in drawn]))
    assert checking.score_pictures(FOLDER / "conveyor.onnx", held_out).mean >= 0.95


def test_it_finds_the_parts_in_a_stream() -> None:
    scored = checking.score_streams(FOLDER / "conveyor.onnx", [8_000_000, 8_000_001, 8_000_003], range(0, 900, 100))
    assert scored.mean >= 0.9


def test_truth_follows_the_picture_into_the_letterbox() -> None:
    scene = ConveyorStream(640, 480, 30.0, 5).frame(300)
    image, rows = pictures.letterboxed(scene)
    assert image.shape == (320, 320, 3)
    assert (image[:40] == 114).all()
    boxes, class_ids = checking.truth_of(rows)
    assert np.array_equal(class_ids, scene[2])
    assert boxes == pytest.approx(scene[1] / 2 + np.array([0, 40, 0, 40]))


def test_pictures_are_drawn_alike_by_many(tmp_path: Path) -> None:
    drawn = pictures.draw_pictures(pictures.TRAINING, 8, tmp_path, 2)
    again = [picture for number in range(2) for picture in pictures.draw_view(pictures.TRAINING, number)]
    assert np.array_equal(drawn.images, np.stack([image for image, _ in again]))
    assert np.array_equal(drawn.truth, np.stack([truth for _, truth in again]))
