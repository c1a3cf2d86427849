"""A layer of a network as TensorRT sees it, without anything of ONNX. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "convolution", "deconvolution", "fully connected", "pooling", "activation", "elementwise", "scale",
    "concatenation", "resize", "softmax", "slice", "shuffle", "reduce", "lrn", "prelu", "unary", "comparison", "cast",
    "quantise", "other",
]  # fmt: skip
Shape = tuple[int, ...]
Value = int | float | str | bool | tuple[int, ...] | tuple[float, ...] | None
GRAFT = "edgeagent/"  # what the names of grafted nodes begin with (engine/families/pieces.py)


@dataclass(frozen=True)
class Tensor:
    """`type` is ONNX's word in small letters: `float`, `float16`, `int64`, `bool` ..."""

    name: str
    shape: Shape
    type: str = "float"


@dataclass(frozen=True)
class Layer:
    """One ONNX node that is left after folding.

    `inputs` are the tensors that depend on the frame, `constants` the others, in the node's order. `attributes` has
    what the rules of the kind ask for (see layers.py), with ONNX's defaults filled in. `macs` are multiply-adds a run
    of the engine, `weights` the numbers that the layer carries.
    """

    name: str
    op: str
    kind: Kind
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)
    macs: int = 0
    weights: int = 0

    @property
    def is_graft(self) -> bool:
        return self.name.startswith(GRAFT)

    @property
    def source(self) -> Tensor:
        """The first tensor that depends on the frame."""
        return self.inputs[0]

    @property
    def result(self) -> Tensor:
        return self.outputs[0]

    def ints(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of whole numbers; () where there is none."""
        value = self.attributes.get(name)
        return tuple(int(number) for number in value) if isinstance(value, tuple) else ()

    def number(self, name: str, otherwise: float = 0) -> float:
        value = self.attributes.get(name)
        return value if isinstance(value, int | float) else otherwise

    def text(self, name: str) -> str:
        value = self.attributes.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        return bool(self.attributes.get(name))


def batch_of(shape: Shape) -> int:
    """What a DLA takes for the batch: the product of all sides but the last three (channels, height, width)."""
    batch = 1
    for side in shape[:-3]:
        batch *= side
    return batch


def sides(shape: Shape) -> str:
    """A shape for a person: `1x64x80x80`."""
    return "x".join(map(str, shape)) or "a single number"
