"""Which tensors of a parsed network are wanted in eight bits, and so need a scale. Pure.

The same rule as for Q/DQ nodes (qdq_body.py): what flows into a layer from which a heavy layer is still reached, or
into a heavy layer. Both grafts and all that follows the last heavy layers decodes boxes and picks candidates; eight
bits would move every box by pixels. So scales of those tensors are taken out of the cache before TensorRT sees it:
a layer without a scale at its tensors is computed in floating point, on every release that has calibrators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GRAFT = "edgeagent/"
HEAVY = frozenset({"CONVOLUTION", "DECONVOLUTION", "FULLY_CONNECTED", "MATRIX_MULTIPLY"})


@dataclass(frozen=True)
class NetworkLayer:
    """One layer as parsed. `kind` is TensorRT's LayerType by name; `floats` are those outputs that carry floating
    point and no shapes."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    floats: frozenset[str]

    @property
    def grafted(self) -> bool:
        return self.name.startswith(GRAFT)


@dataclass(frozen=True)
class ScaledTensors:
    """`wanted`: all tensors in eight bits, in the graph's order; `needed`: those of them that a heavy layer takes."""

    wanted: tuple[str, ...]
    needed: tuple[str, ...]


def scaled_tensors(layers: Sequence[NetworkLayer]) -> ScaledTensors:
    """The tensors that need scales. `layers` in topological order, as the parser makes them."""
    constant = _constants(layers)
    heavy = _heavy(layers, constant)
    reaching = _reaching(layers, heavy)
    floats = {name for layer in layers for name in layer.floats} - constant
    wanted: dict[str, None] = {}
    needed: dict[str, None] = {}
    for layer in layers:
        if layer.grafted or not (layer.name in heavy or layer.name in reaching):
            continue
        taken = [name for name in layer.inputs if name in floats]
        wanted.update(dict.fromkeys(taken))
        if layer.name in heavy:
            needed.update(dict.fromkeys(taken))
    return ScaledTensors(tuple(wanted), tuple(needed))


def _constants(layers: Sequence[NetworkLayer]) -> set[str]:
    """Tensors that are the same for every frame: constants and what is computed from nothing else."""
    made = {name for layer in layers for name in layer.outputs}
    constant: set[str] = set()
    for layer in layers:
        if all(name in constant for name in layer.inputs if name in made) and not _takes_frames(layer, made):
            constant.update(layer.outputs)
    return constant


def _takes_frames(layer: NetworkLayer, made: set[str]) -> bool:
    return any(name not in made for name in layer.inputs)


def _heavy(layers: Sequence[NetworkLayer], constant: set[str]) -> set[str]:
    """Names of the heavy layers of the body, without those that decode: a convolution that only takes the mean of a
    Softmax (YOLOv8's distribution of box sides) and from which nothing heavy is reached."""
    heavy = {one.name for one in layers if one.kind in HEAVY and not one.grafted and set(one.outputs) - constant}
    reaching = _reaching(layers, heavy)
    makers = {name: layer for layer in layers for name in layer.outputs}
    soft: dict[str, bool] = {}
    for layer in layers:
        above = [makers[name] for name in layer.inputs if name in makers]
        soft[layer.name] = any(
            maker.kind == "SOFTMAX" or (soft.get(maker.name, False) and maker.name not in heavy) for maker in above
        )
    return {name for name in heavy if not (soft[name] and name not in reaching)}


def _reaching(layers: Sequence[NetworkLayer], heavy: set[str]) -> set[str]:
    """Names of the layers with a heavy one somewhere below them."""
    hot: set[str] = set()  # tensors that a heavy layer, or one that reaches one, takes
    reaching: set[str] = set()
    for layer in reversed(layers):
        if hot & set(layer.outputs):
            reaching.add(layer.name)
        if layer.name in reaching or layer.name in heavy:
            hot.update(layer.inputs)
    return reaching
