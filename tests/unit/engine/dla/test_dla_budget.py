"""What engine layers' names hold, and when too much of a network is on the GPU."""

from __future__ import annotations

import pytest

from edgeagent.engine.build.backend import PlacedLayer
from edgeagent.engine.dla.budget import judge_placement, parts_of
from edgeagent.engine.manifest import LayerSummary
from edgeagent.errors import EngineError

ORDER = ("model/a", "model/b", "model/c", "model/d")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("model/conv1", ("model/conv1",)),
        ("model/conv1 + model/relu1", ("model/conv1", "model/relu1")),
        ("PWN(model/a/Sigmoid)", ("model/a/Sigmoid",)),
        ("PWN(PWN(/m.0/act/Sigmoid), /m.0/act/Mul)", ("/m.0/act/Sigmoid", "/m.0/act/Mul")),
        ("/m/Conv + PWN(PWN(/m/Sigmoid), /m/Mul)", ("/m/Conv", "/m/Sigmoid", "/m/Mul")),
        ("{ForeignNode[model/a...model/c]}", ("model/a", "model/b", "model/c")),
        ("{ForeignNode[model/c...model/a]}", ("model/a", "model/b", "model/c")),
        ("{ForeignNode[model/b]}", ("model/b",)),
        ("{ForeignNode[other/a...other/z]}", ("other/a", "other/z")),
        ("Reformatting CopyNode for Input Tensor 0 to model/a + model/b", ()),
        ("(Unnamed Layer* 12) [Shuffle]", ()),
        ("(Unnamed Layer* 12) [Shuffle] + model/a", ("model/a",)),
        ("[HostToDeviceCopy 0]", ()),
    ],
)
def test_parts_of_a_name(name: str, parts: tuple[str, ...]) -> None:
    assert parts_of(name, ORDER) == parts


def test_a_range_without_the_order_is_its_ends() -> None:
    assert parts_of("{ForeignNode[model/a...model/d]}") == ("model/a", "model/d")


def dla(*parts: str, macs: int | None = None) -> PlacedLayer:
    return PlacedLayer(f"{{ForeignNode[{parts[0]}...{parts[-1]}]}}", "dla", "DLA", macs=macs, parts=parts)


def gpu(*parts: str, macs: int | None = None) -> PlacedLayer:
    return PlacedLayer(" + ".join(parts), "gpu", macs=macs, parts=parts)


def judge(*layers: PlacedLayer, layers_share: float = 0.5, macs_share: float = 0.2) -> LayerSummary:
    return judge_placement(layers, max_gpu_layers=layers_share, max_gpu_macs=macs_share)


def test_within() -> None:
    summary = judge(dla("model/a", "model/b", macs=90), gpu("model/c", macs=10), gpu("edgeagent/topk", macs=1000))
    assert summary == LayerSummary(
        layers=3,
        on_dla=2,
        on_gpu=1,
        dla_loadables=1,
        share_gpu=1 / 3,
        macs_share_gpu=0.1,
        fallback=("model/c",),
    )


def test_exactly_at_the_limits() -> None:
    judge(dla("model/a", macs=80), gpu("model/b", macs=20))


def test_too_many_layers() -> None:
    head = [gpu(f"model/h{index}") for index in range(5)]
    with pytest.raises(EngineError) as caught:
        judge(dla("model/a"), *head)
    error = caught.value
    assert error.error_code == "dla_refused"
    assert error.message == (
        "5 of 6 layers (83.3 %) would run on the GPU, and engines.dla_max_gpu_layers allows 50.0 %: "
        "model/h0, model/h1, model/h2 and 2 more"
    )
    assert error.mend == 'raise engines.dla_max_gpu_layers, or set placement = "gpu" (engines, or the pipeline)'
    assert error.facts["share"] == pytest.approx(5 / 6, abs=1e-4)
    assert error.facts["limit"] == 0.5


def test_too_many_multiply_adds() -> None:
    with pytest.raises(EngineError, match=r"20\.1 % of the multiply-adds.*dla_max_gpu_macs allows 20\.0 %: model/b"):
        judge(dla("model/a", macs=799), gpu("model/b", macs=201))


def test_nothing_on_the_dla_is_refused_whatever_is_allowed() -> None:
    with pytest.raises(EngineError, match="nothing of the network would run on the DLA: model/a"):
        judge(gpu("model/a", macs=1), layers_share=1, macs_share=1)


def test_loadables() -> None:
    pieces = [dla(f"model/{index}") for index in range(17)]
    assert judge(*pieces[:16]).dla_loadables == 16
    with pytest.raises(EngineError, match="17 pieces for the DLA, and a core holds 16"):
        judge(*pieces)
    assert judge_placement(pieces, max_gpu_layers=0, max_gpu_macs=0, loadable_limit=17).dla_loadables == 17


def test_what_tensorrt_puts_in_does_not_count() -> None:
    copy = PlacedLayer(
        "Reformatting CopyNode for Input Tensor 0 to {ForeignNode[model/a...model/b]}", "gpu", "Reformat"
    )
    weights = PlacedLayer("model/b.weight", "gpu", "Constant")
    assert judge(dla("model/a", "model/b"), copy, weights, layers_share=0).on_gpu == 0


def test_names_alone_where_the_engine_names_no_parts() -> None:
    layers = [
        PlacedLayer("{ForeignNode[model/a...model/c]}", "dla", "DLA"),
        PlacedLayer("Reformatting CopyNode for Output Tensor 0 to model/d", "gpu"),
        PlacedLayer("model/d", "gpu"),
    ]
    summary = judge_placement(layers, max_gpu_layers=0.5, max_gpu_macs=0, order=ORDER)
    assert (summary.on_dla, summary.on_gpu, summary.macs_share_gpu) == (3, 1, None)


def test_a_layer_on_both_is_on_the_gpu() -> None:
    assert judge(dla("model/a", "model/b"), gpu("model/b")).fallback == ("model/b",)
    assert judge(gpu("model/b"), dla("model/a", "model/b")).fallback == ("model/b",)


def test_a_long_list_is_kept_short() -> None:
    head = [gpu(f"model/{index}") for index in range(200)]
    assert len(judge(dla("model/a"), *head, layers_share=1).fallback) == 100


def test_no_layers_known_is_no_refusal() -> None:
    assert judge() == LayerSummary(layers=0, on_dla=0, on_gpu=0)
