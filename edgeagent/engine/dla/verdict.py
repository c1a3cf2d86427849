"""What a rule is, whom it speaks of, and what comes of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgeagent.engine.dla.layer import Layer, batch_of, sides
from edgeagent.engine.dla.table import MAX_BATCH, MAX_SIDE, Span, Version
from edgeagent.engine.variant import Precision

Soc = Literal["xavier", "orin"]
NUMBERS = ("float", "float16")


@dataclass(frozen=True)
class Target:
    """Which DLA, driven by which TensorRT (`(10, 3)`), in which number format."""

    soc: Soc
    tensorrt: Version
    precision: Precision

    @property
    def number_bytes(self) -> int:
        """Bytes a number where a layer runs in the format asked for."""
        return 1 if self.precision == "int8" else 2


Check = Callable[[Layer, Target], str]


class Rule(NamedTuple):
    """A check says why a layer cannot run on the DLA, "" where it has no objection. `source`: where that was read."""

    check: Check
    source: str


@dataclass(frozen=True)
class Verdict:
    """Where a layer runs: on the DLA, in `precision` and under `conditions` that a plan cannot check; or not, with the
    `reason` and the `source` of the rule."""

    on_dla: bool
    reason: str = ""
    source: str = ""
    precision: Literal["int8", "fp16", ""] = ""
    conditions: tuple[str, ...] = ()


def outside(what: str, numbers: Iterable[float], span: Span) -> str:
    """`kernel 33x3: a DLA takes 1 to 32` when one of the numbers is outside of the span."""
    listed = tuple(numbers)
    if all(number in span for number in listed):
        return ""
    return f"{what} {'x'.join(f'{number:g}' for number in listed)}: a DLA takes {span}"


def check_four_sides(layer: Layer, target: Target) -> str:
    """Batch, channels, height, width: what NVIDIA calls 2-D. Fewer or more sides are left to the GPU."""
    for tensor in (*layer.inputs, *layer.outputs):
        if len(tensor.shape) != 4:
            return f"a tensor of shape {sides(tensor.shape)}: a DLA computes on batch, channels, height and width"
    return ""


def check_sizes(layer: Layer, target: Target) -> str:
    for tensor in (*layer.inputs, *layer.outputs):
        if any(side < 1 for side in tensor.shape):
            return f"a tensor of shape {sides(tensor.shape)} holds nothing"
        if max(tensor.shape[-3:], default=1) > MAX_SIDE:
            return f"a tensor of shape {sides(tensor.shape)}: no side but the batch may be longer than {MAX_SIDE}"
        if batch_of(tensor.shape) > MAX_BATCH:
            return f"a batch of {batch_of(tensor.shape)}: a DLA takes {MAX_BATCH} at most"
    return ""


def check_numbers(layer: Layer, target: Target) -> str:
    """FP16 and INT8 alone; what the network calls float becomes one of them."""
    for tensor in (*layer.inputs, *layer.outputs):
        if tensor.type not in NUMBERS:
            return f"it works on {tensor.type} numbers: a DLA computes in FP16 and INT8 only"
    return ""


def check_precision(layer: Layer, target: Target) -> str:
    return "a DLA does not compute in FP32" if target.precision == "fp32" else ""


def missing_before(target: Target, since: Version, what: str) -> str:
    """Why `what` is not there yet in the target's release; "" from `since` on."""
    if target.tensorrt >= since:
        return ""
    has, needs = ".".join(map(str, target.tensorrt)), ".".join(map(str, since))
    return f"{what} runs on a DLA from TensorRT {needs} on, and this is {has}"
