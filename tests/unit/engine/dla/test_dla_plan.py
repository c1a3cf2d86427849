"""A whole network's placement: pieces, shares, limits, and the known picture of YOLOv8n."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dla_kit import ORIN, ORIN_86, ORIN_HALF, XAVIER, Network, Yolo, convolution, layer

from edgeagent.engine.dla.budget import judge_placement, parts_of
from edgeagent.engine.dla.layer import Layer, Tensor
from edgeagent.engine.dla.layers import layers_of
from edgeagent.engine.dla.plan import Plan, find_limits, placed_layers, plan_network
from edgeagent.engine.dla.read import read_plain, read_subject
from edgeagent.engine.dla.verdict import Target

MAP = (1, 8, 16, 16)


def chain(*ops: str) -> tuple[Layer, ...]:
    """Layers one behind the other; `Elu` is what a DLA does not have."""
    made = []
    for index, op in enumerate(ops):
        kind = "activation" if op in ("Relu", "Sigmoid") else "other"
        one = layer(kind, op, MAP)  # type: ignore[arg-type]
        one = replace(one, name=f"{op}{index}", inputs=(Tensor(f"t{index}", MAP),))
        made.append(replace(one, outputs=(Tensor(f"t{index + 1}", MAP),)))
    return tuple(made)


def names(plan: Plan) -> list[tuple[str, ...]]:
    return [piece.layers for piece in plan.loadables]


def test_runs_between_gpu_layers_are_pieces() -> None:
    plan = plan_network(chain("Relu", "Sigmoid", "Elu", "Relu", "Elu", "Elu", "Relu"), ORIN)
    assert names(plan) == [("Relu0", "Sigmoid1"), ("Relu3",), ("Relu6",)]
    assert [one.loadable for one in plan.placed] == [0, 0, None, 1, None, None, 2]
    assert [piece.name for piece in plan.loadables] == [
        "{ForeignNode[Relu0...Sigmoid1]}", "{ForeignNode[Relu3]}", "{ForeignNode[Relu6]}",
    ]  # fmt: skip


def test_a_piece_never_waits_for_itself(tmp_path: Path) -> None:
    """x -> relu -> elu -> add and relu -> add: relu and add may not be one piece, for elu lies between."""
    network = Network()
    relu = network.add("Relu", network.feed("x", *MAP), name="relu")
    elu = network.add("Elu", relu, name="elu")
    plan = plan_network(network.layers(tmp_path, network.add("Add", relu, elu, name="add")), ORIN)
    assert names(plan) == [("relu",), ("add",)]


def test_branches_that_meet_are_one_piece(tmp_path: Path) -> None:
    network = Network()
    x = network.feed("x", *MAP)
    a, b = network.add("Relu", x, name="a"), network.add("Sigmoid", x, name="b")
    plan = plan_network(network.layers(tmp_path, network.add("Add", a, b, name="sum")), ORIN)
    assert names(plan) == [("a", "b", "sum")]


def test_branches_that_do_not_meet_are_two(tmp_path: Path) -> None:
    network = Network()
    x = network.feed("x", *MAP)
    a, b = network.add("Relu", x, name="a"), network.add("Sigmoid", x, name="b")
    assert names(plan_network(network.layers(tmp_path, a, b), ORIN)) == [("a",), ("b",)]


def test_another_batch_is_another_piece() -> None:
    first, second = chain("Relu", "Relu")
    second = replace(second, outputs=(Tensor("t2", (2, 8, 16, 16)),))
    assert len(plan_network((first, second), ORIN).loadables) == 2


def test_grafts_are_on_the_gpu_and_no_part_of_the_shares() -> None:
    front, body = chain("Relu", "Relu")
    plan = plan_network((replace(front, name="edgeagent/front"), body), ORIN)
    assert not plan.placed[0].verdict.on_dla
    assert (plan.summary.layers, plan.summary.share_gpu) == (1, 0.0)


def test_without_a_dla_everything_has_the_same_reason() -> None:
    plan = plan_network(chain("Relu", "Elu"), None, "Jetson Orin Nano 8GB has no DLA")
    assert {one.verdict.reason for one in plan.placed} == {"Jetson Orin Nano 8GB has no DLA"}
    assert (plan.summary.on_dla, plan.loadables) == (0, ())


def test_bytes_of_a_piece() -> None:
    """Two convolutions of 64 -> 64 channels over 40x40: one tensor inside, weights in INT8 and in FP16."""
    first = replace(convolution(), name="a", weights=36928, outputs=(Tensor("t", (1, 64, 40, 40)),))
    second = replace(convolution(), name="b", weights=36928, inputs=(Tensor("t", (1, 64, 40, 40)),))
    (small,) = plan_network((first, second), ORIN).loadables
    (large,) = plan_network((first, second), ORIN_HALF).loadables
    assert (small.inner_bytes, small.weights_bytes) == (64 * 40 * 40, 2 * 36928)
    assert (large.inner_bytes, large.weights_bytes) == (2 * 64 * 40 * 40, 4 * 36928)


def test_scales_take_four_bytes_a_number() -> None:
    one = replace(layer("scale", "Mul", MAP, constants=((1, 8, 1, 1),)), weights=8)
    assert plan_network((one,), ORIN).loadables[0].weights_bytes == 32


def test_limits_of_the_whole() -> None:
    heavy = replace(convolution(), weights=1 << 29)
    assert "512 MB of weights" in next(find_limits(plan_network((heavy,), ORIN)))
    light = replace(convolution(), weights=(1 << 29) - 1)
    assert list(find_limits(plan_network((light,), ORIN))) == []
    pieces = chain(*(["Relu", "Elu"] * 17))
    assert list(find_limits(plan_network(pieces, ORIN))) == ["17 pieces for the DLA, and a core holds 16"]
    assert list(find_limits(plan_network(pieces[2:], ORIN))) == []


def test_a_large_tensor_inside() -> None:
    shape = (1, 8, 8192, 8192)
    first, second = (replace(one, outputs=(Tensor(f"t{i}", shape),)) for i, one in enumerate(chain("Relu", "Relu")))
    first, second = replace(first, inputs=(Tensor("x", shape),)), replace(second, inputs=(Tensor("t0", shape),))
    assert "1024 MB of tensors inside" in " ".join(find_limits(plan_network((first, second), ORIN_HALF)))


def in_head(name: str) -> bool:
    """The part of YOLOv8's head that works on lists of boxes and no longer on maps."""
    return name == "output0" or (name.startswith("/head/") and name.split("/")[2] not in ("0", "1", "2"))


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layer, ...]:
    network = Yolo()
    return network.layers(tmp_path_factory.mktemp("yolo"), network.build())


@pytest.mark.parametrize("target", [ORIN, ORIN_HALF, ORIN_86, XAVIER])
def test_yolov8n_has_its_body_on_the_dla_and_its_head_on_the_gpu(yolo: tuple[Layer, ...], target: Target) -> None:
    plan = plan_network(yolo, target)
    assert {one.layer.name for one in plan.placed if not one.verdict.on_dla} == {
        one.name for one in yolo if in_head(one.name)
    }
    assert len(plan.loadables) == 1
    summary = plan.summary
    assert summary.macs_share_gpu is not None and summary.macs_share_gpu < 0.001
    assert 0.05 < summary.share_gpu < 0.15
    assert list(find_limits(plan)) == []
    judge_placement(placed_layers(plan), max_gpu_layers=0.5, max_gpu_macs=0.2)


def test_yolov8n_has_the_multiply_adds_that_its_authors_say(yolo: tuple[Layer, ...]) -> None:
    """8.7 GFLOPs at 640x640, two a multiply-add, for 3.2 million parameters."""
    assert sum(one.macs for one in yolo) * 2 == pytest.approx(8.7e9, rel=0.02)
    assert sum(one.weights for one in yolo if one.kind == "convolution") == pytest.approx(3.15e6, rel=0.02)


def test_yolov8n_mixes_number_formats(yolo: tuple[Layer, ...]) -> None:
    """The gate of SiLU is computed in FP16; C2f's split too, before TensorRT 10."""
    for target, split in ((ORIN, "int8"), (ORIN_86, "fp16")):
        formats = {one.layer.name: one.verdict.precision for one in plan_network(yolo, target).placed}
        assert formats["/model.0/act/Sigmoid"] == "fp16"
        assert formats["/model.0/conv/Conv"] == "int8"
        assert formats["/model.2/Split"] == split


def test_a_slower_head_is_refused(yolo: tuple[Layer, ...]) -> None:
    """The same network with HardSwish in place of the body's products: nearly nothing is left in one piece."""
    worse = [replace(one, kind="other", op="HardSwish") if "act/Mul" in one.name else one for one in yolo]
    plan = plan_network(worse, ORIN)
    assert len(plan.loadables) > 16
    assert plan.summary.share_gpu > 0.25


def test_the_sample_model() -> None:
    layers = layers_of(read_subject("sample:conveyor").model)
    plan = plan_network(layers, ORIN)
    on_gpu = {one.layer.name for one in plan.placed if not one.verdict.on_dla and not one.layer.is_graft}
    assert on_gpu == {one.name for one in layers if one.name.startswith(("model/decode/", "model/output0"))}
    assert plan.summary.macs_share_gpu == 0.0
    assert len(plan.loadables) == 1


def test_a_piece_is_named_as_tensorrt_names_it(yolo: tuple[Layer, ...]) -> None:
    """What the names of pieces hold, read back in the network's order, is what is in them, and what lies between."""
    plan = plan_network(yolo, ORIN)
    order = [one.name for one in yolo]
    (piece,) = plan.loadables
    assert set(piece.layers) <= set(parts_of(piece.name, order))


def test_a_classifier(tmp_path: Path) -> None:
    """ResNet's end: the average over the map falls back, and what stands behind it is in another piece."""
    network = Network()
    conv = network.conv(network.feed("x", 1, 16, 7, 7), 16, 16, 3, name="conv")
    mean = network.add("GlobalAveragePool", conv, name="mean")
    flat = network.add("Flatten", mean, name="flat")
    fc = network.add("Gemm", flat, network.number([[0.0] * 10] * 16), name="fc")
    plan = plan_network(layers_of(read_plain(network.write(tmp_path, fc))), ORIN)
    assert names(plan) == [("conv",), ("fc",)]
