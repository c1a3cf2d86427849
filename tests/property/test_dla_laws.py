"""Laws of the DLA's planner: smaller stays allowed, shares add up, pieces can be run one after the other."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine" / "dla"))
from dla_kit import ORIN, ORIN_86, ORIN_HALF, XAVIER, convolution, layer, pooling

from edgeagent.engine.build.backend import PlacedLayer
from edgeagent.engine.dla.budget import judge_placement, parts_of, summarise
from edgeagent.engine.dla.layer import Layer, Tensor
from edgeagent.engine.dla.plan import Plan, placed_layers, plan_network
from edgeagent.engine.dla.rules import judge_layer
from edgeagent.engine.dla.rules_conv import buffer_banks
from edgeagent.engine.dla.verdict import Target
from edgeagent.errors import EngineError

MAP = (1, 8, 16, 16)
targets = st.sampled_from([ORIN, ORIN_HALF, ORIN_86, XAVIER])


def convolutions(most: dict[str, int]) -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({name: st.integers(1, largest) for name, largest in most.items()})


SIZES = {"channels": 9000, "out": 9000, "side": 200, "width": 1500, "kernel": 40, "stride": 10, "dilation": 40}


def convolution_of(sizes: dict[str, int]) -> Layer:
    kernel, stride, dilation = ((sizes[name],) * 2 for name in ("kernel", "stride", "dilation"))
    return convolution(
        sizes["channels"], sizes["out"], sizes["side"],
        width=sizes["width"], kernel=kernel, stride=stride, dilation=dilation, padding=(0, 0, 0, 0),
    )  # fmt: skip


@given(convolutions(SIZES), st.data(), targets)
def test_what_is_taken_stays_taken_when_a_side_shrinks(
    sizes: dict[str, int], data: st.DataObject, target: Target
) -> None:
    name = data.draw(st.sampled_from(sorted(SIZES)))
    smaller = sizes | {name: data.draw(st.integers(1, sizes[name]))}
    if judge_layer(convolution_of(sizes), target).on_dla:
        assert judge_layer(convolution_of(smaller), target).on_dla


@given(
    st.integers(1, 12), st.integers(1, 20), st.integers(0, 10), st.data(), st.sampled_from(["MaxPool", "AveragePool"])
)
def test_smaller_pools_stay_taken(window: int, stride: int, pad: int, data: st.DataObject, op: str) -> None:
    def one(window: int, stride: int, pad: int) -> Layer:
        return pooling(op, kernel=(window, window), stride=(stride, stride), padding=(pad,) * 4)

    if judge_layer(one(window, stride, pad), ORIN).on_dla:
        less = data.draw(st.tuples(st.integers(1, window), st.integers(1, stride), st.integers(0, pad)))
        assert judge_layer(one(*less), ORIN).on_dla


@given(convolutions(SIZES), targets)
def test_a_newer_release_and_fewer_bytes_take_no_less(sizes: dict[str, int], target: Target) -> None:
    one = convolution_of(sizes)
    if judge_layer(one, target).on_dla:
        assert judge_layer(one, Target(target.soc, (10, 7), "int8")).on_dla


@given(
    st.integers(1, 8192), st.integers(1, 8192), st.integers(1, 32), st.integers(1, 32), st.integers(1, 32),
    st.sampled_from([1, 2]),
)  # fmt: skip
def test_the_buffer_against_the_formula_in_fractions(c: int, w: int, kh: int, kw: int, d: int, b: int) -> None:
    """The same formula written the long way round, and that neither part is ever nothing."""
    padded = c * kh * kw * b
    while padded % 128:
        padded += 1
    weights = padded // 32768 + (padded % 32768 > 0)
    atoms = c * b // 32 + (c * b % 32 > 0)
    entries = atoms * w // 4 + (atoms * w % 4 > 0)
    rows = entries * ((kh - 1) * d + 1)
    assert buffer_banks(c, w, (kh, kw), d, b) == weights + rows // 256 + (rows % 256 > 0)
    assert buffer_banks(c, w, (kh, kw), d, b) >= 2


@st.composite
def networks(draw: st.DrawFn) -> tuple[Layer, ...]:
    """Layers in order, each fed by some before it; `Elu` is what a DLA does not have, some are grafts."""
    made: list[Layer] = []
    for index in range(draw(st.integers(1, 14))):
        op = draw(st.sampled_from(["Relu", "Relu", "Elu"]))
        fed = draw(st.lists(st.integers(-1, index - 1), min_size=1, max_size=3, unique=True))
        batch = draw(st.sampled_from([1, 1, 1, 2]))
        name = draw(st.sampled_from(["", "", "", "edgeagent/"])) + f"layer{index}"
        one = layer("activation" if op == "Relu" else "other", op, MAP)
        one = replace(one, name=name, macs=draw(st.integers(0, 1000)))
        made.append(
            replace(
                one,
                inputs=tuple(Tensor(f"t{source}" if source >= 0 else "x", MAP) for source in fed),
                outputs=(Tensor(f"t{index}", (batch, *MAP[1:])),),
            )
        )
    return tuple(made)


@given(networks())
def test_shares_add_up(layers: tuple[Layer, ...]) -> None:
    plan = plan_network(layers, ORIN)
    own = [one for one in plan.placed if not one.layer.is_graft]
    summary = plan.summary
    assert summary.layers == len(own) == summary.on_dla + summary.on_gpu
    assert summary.on_dla == sum(one.verdict.on_dla for one in own) == sum(len(p.layers) for p in plan.loadables)
    assert summary.dla_loadables == len(plan.loadables)
    on_gpu = sum(one.layer.macs for one in own if not one.verdict.on_dla)
    if plan.macs:
        assert summary.macs_share_gpu is not None
        assert abs(summary.macs_share_gpu * plan.macs - on_gpu) < 1e-6
    else:
        assert summary.macs_share_gpu is None


@given(networks())
def test_pieces_can_be_run_one_after_the_other(layers: tuple[Layer, ...]) -> None:
    """Pieces and GPU layers, each as one step, wait for no ring of each other; and pieces are of one batch."""
    plan = plan_network(layers, ORIN)
    step = {one.layer.outputs[0].name: _step(plan, index) for index, one in enumerate(plan.placed)}
    waits: dict[str, set[str]] = {name: set() for name in step.values()}
    for index, one in enumerate(plan.placed):
        mine = _step(plan, index)
        waits[mine] |= {step[tensor.name] for tensor in one.layer.inputs if tensor.name in step} - {mine}
    while waits:
        free = [name for name, needs in waits.items() if not needs]
        assert free, "a ring"
        waits = {name: needs - set(free) for name, needs in waits.items() if name not in free}
    for piece in plan.loadables:
        members = [one.layer for one in plan.placed if one.layer.name in piece.layers]
        assert {one.result.shape[0] for one in members} == {piece.batch}


def _step(plan: Plan, index: int) -> str:
    piece = plan.placed[index].loadable
    return f"gpu{index}" if piece is None else f"piece{piece}"


@given(networks(), st.floats(0, 1), st.floats(0, 1))
def test_the_budget_refuses_exactly_what_is_beyond(
    layers: tuple[Layer, ...], most_layers: float, most_macs: float
) -> None:
    placed = placed_layers(plan_network(layers, ORIN))
    summary = summarise(placed)
    fits = (
        (summary.on_dla > 0 or summary.layers == 0)
        and summary.share_gpu <= most_layers
        and (summary.macs_share_gpu or 0) <= most_macs
        and summary.dla_loadables <= 16
    )
    try:
        assert judge_placement(placed, max_gpu_layers=most_layers, max_gpu_macs=most_macs) == summary
        assert fits
    except EngineError as error:
        assert error.error_code == "dla_refused" and error.mend and "\n" not in error.line()
        assert not fits


words = st.text("abcxyz019_/.", min_size=1, max_size=12).filter(lambda word: "..." not in word)


@given(st.lists(words, min_size=1, max_size=6, unique=True))
def test_melted_names_come_apart_again(parts: list[str]) -> None:
    assert parts_of(" + ".join(parts)) == tuple(parts)
    assert parts_of(f"{{ForeignNode[{parts[0]}]}}") == (parts[0],)


@given(st.text(max_size=60), st.sampled_from(["dla", "gpu"]))
def test_any_name_is_borne(name: str, device: str) -> None:
    summary = summarise([PlacedLayer(name, device)])  # type: ignore[arg-type]
    assert summary.layers == len([part for part in set(parts_of(name)) if not part.startswith("edgeagent/")])
