"""Where each layer of a network would run: the rules over all of it, and the pieces that a DLA is given. Pure.

TensorRT gives a DLA one loadable for each connected run of layers that it can take, and the same batch throughout. How
it draws the borders is not published. Here every tensor is counted how often, at most, it crossed between the cores on
its way; layers on the DLA that are connected and have crossed equally often make one loadable. No loadable then waits
for something that waits for itself. TensorRT may find fewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeagent.engine.build.backend import PlacedLayer
from edgeagent.engine.dla.budget import summarise
from edgeagent.engine.dla.layer import Layer, Shape, batch_of
from edgeagent.engine.dla.rules import judge_layer
from edgeagent.engine.dla.table import LOADABLES_A_CORE, MAX_INNER_BYTES, MAX_WEIGHTS_BYTES
from edgeagent.engine.dla.verdict import Target, Verdict
from edgeagent.engine.manifest import LayerSummary

A_GRAFT = Verdict(False, "a graft: normalisation and selection are kept on the GPU")
WITH_KERNEL = ("convolution", "deconvolution", "fully connected")


@dataclass(frozen=True)
class Placed:
    """A layer and where it runs; `loadable` is the index of its piece, None on the GPU."""

    layer: Layer
    verdict: Verdict
    loadable: int | None = None


@dataclass(frozen=True)
class Loadable:
    """One piece for the DLA. Bytes are estimates: `inner_bytes` counts every tensor inside as if none shared memory."""

    layers: tuple[str, ...]
    batch: int
    macs: int
    weights_bytes: int
    inner_bytes: int

    @property
    def name(self) -> str:
        """As TensorRT would call it."""
        first, last = self.layers[0], self.layers[-1]
        return f"{{ForeignNode[{first}]}}" if first == last else f"{{ForeignNode[{first}...{last}]}}"


@dataclass(frozen=True)
class PlannedFrames:
    """Frames at once: how many an engine would take and how many were asked for; `reason` says why it is fewer."""

    frames: int = 1
    asked: int = 1
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """A network's placement. `target` is None where there is no DLA, and `why_none` says why."""

    placed: tuple[Placed, ...]
    loadables: tuple[Loadable, ...]
    target: Target | None
    why_none: str = ""

    @property
    def macs(self) -> int:
        """Multiply-adds of the network without the grafts."""
        return sum(one.layer.macs for one in self.placed if not one.layer.is_graft)

    @property
    def summary(self) -> LayerSummary:
        return summarise(placed_layers(self))


def plan_network(layers: Sequence[Layer], target: Target | None, why_none: str = "") -> Plan:
    """The plan for `target`; without one, everything is on the GPU because of `why_none`."""
    nothing = Verdict(False, why_none)
    verdicts = [
        A_GRAFT if layer.is_graft else nothing if target is None else judge_layer(layer, target) for layer in layers
    ]
    pieces = _pieces(layers, [verdict.on_dla for verdict in verdicts])
    placed = tuple(map(Placed, layers, verdicts, pieces))
    count = len({piece for piece in pieces if piece is not None})
    loadables = tuple(_loadable([one for one in placed if one.loadable == index], target) for index in range(count))
    return Plan(placed, loadables, target, why_none)


def placed_layers(plan: Plan) -> tuple[PlacedLayer, ...]:
    """The plan in the form in which a finished engine tells its layers (budget.py judges both)."""
    pieces = [PlacedLayer(piece.name, "dla", "DLA", macs=piece.macs, parts=piece.layers) for piece in plan.loadables]
    rest = [
        PlacedLayer(one.layer.name, "gpu", one.layer.kind, macs=one.layer.macs, parts=(one.layer.name,))
        for one in plan.placed
        if one.loadable is None
    ]
    return (*pieces, *rest)


def find_limits(plan: Plan) -> Iterator[str]:
    """Limits on the whole that the plan comes up against, one sentence each without a full stop."""
    if len(plan.loadables) > LOADABLES_A_CORE:
        yield f"{len(plan.loadables)} pieces for the DLA, and a core holds {LOADABLES_A_CORE}"
    weights = sum(piece.weights_bytes for piece in plan.loadables)
    if weights >= MAX_WEIGHTS_BYTES:
        yield f"{weights >> 20} MB of weights on the DLA, and it takes less than {MAX_WEIGHTS_BYTES >> 20} MB a network"
    for piece in plan.loadables:
        if piece.inner_bytes >= MAX_INNER_BYTES:
            yield (
                f"{piece.inner_bytes >> 20} MB of tensors inside {piece.name} if none share memory, and a piece may "
                f"take less than {MAX_INNER_BYTES >> 20} MB"
            )


def _pieces(layers: Sequence[Layer], on_dla: Sequence[bool]) -> list[int | None]:
    """The piece of each layer, numbered in the network's order; None on the GPU."""
    makers = {tensor.name: index for index, layer in enumerate(layers) for tensor in layer.outputs}
    crossings: list[int] = []
    joined = list(range(len(layers)))
    for index, layer in enumerate(layers):
        sources = sorted({makers[tensor.name] for tensor in layer.inputs if makers.get(tensor.name, index) < index})
        alike = [on_dla[source] == on_dla[index] and _same_batch(layers[source], layer) for source in sources]
        crossed = [crossings[source] + (not same) for source, same in zip(sources, alike, strict=True)]
        crossings.append(max(crossed, default=0))
        for source, same in zip(sources, alike, strict=True):
            if on_dla[index] and same and crossings[source] == crossings[index]:
                joined[_root(joined, source)] = _root(joined, index)
    roots = [_root(joined, index) if on_dla[index] else None for index in range(len(layers))]
    numbers = {root: number for number, root in enumerate(dict.fromkeys(root for root in roots if root is not None))}
    return [None if root is None else numbers[root] for root in roots]


def _root(joined: list[int], index: int) -> int:
    while joined[index] != index:
        joined[index] = joined[joined[index]]
        index = joined[index]
    return index


def _same_batch(one: Layer, other: Layer) -> bool:
    return batch_of(_widest(one)) == batch_of(_widest(other))


def _widest(layer: Layer) -> Shape:
    return max((tensor.shape for tensor in layer.outputs), key=len, default=())


def _loadable(members: Sequence[Placed], target: Target | None) -> Loadable:
    inside = {tensor.name for one in members for tensor in one.layer.inputs}
    number_bytes = target.number_bytes if target else 1
    return Loadable(
        layers=tuple(one.layer.name for one in members),
        batch=batch_of(_widest(members[0].layer)),
        macs=sum(one.layer.macs for one in members),
        weights_bytes=sum(_weight_bytes(one.layer, number_bytes) for one in members),
        inner_bytes=sum(
            _count(tensor.shape) * (1 if one.verdict.precision == "int8" else 2)
            for one in members
            for tensor in one.layer.outputs
            if tensor.name in inside
        ),
    )


def _weight_bytes(layer: Layer, number_bytes: int) -> int:
    """Orin keeps the numbers of other layers than convolutions in four bytes (developer guide 8.5)."""
    return layer.weights * (number_bytes if layer.kind in WITH_KERNEL else 4)


def _count(shape: Shape) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
