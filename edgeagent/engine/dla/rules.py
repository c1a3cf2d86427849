"""One layer and one target: does it run on the DLA, and if not, why not. Pure.

Each kind of layer has a list of rules; the first that objects decides. What a plan cannot check (do the ranges of a
sum's inputs agree?) comes back as a condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from edgeagent.engine.dla import rules_conv, rules_move, rules_point
from edgeagent.engine.dla.layer import Kind, Layer
from edgeagent.engine.dla.table import (
    HALF_ONLY_BEFORE,
    HEADER,
    IN_HALF,
    NEVER,
    OPERATORS,
    QDQ_SINCE,
    RECONSTRUCTED,
    REFUSED,
    RESTRICTIONS,
    SOFTMAX_FAST_AXIS,
    TYPED,
    UNREAD,
)
from edgeagent.engine.dla.verdict import (
    Rule,
    Soc,
    Target,
    Verdict,
    check_numbers,
    check_precision,
    check_sizes,
)

__all__ = ["Soc", "Target", "Verdict", "judge_layer"]

GENERAL = (
    Rule(check_precision, RESTRICTIONS),
    Rule(check_numbers, RESTRICTIONS),
    Rule(check_sizes, f"{RESTRICTIONS}; {HEADER}"),
)
RULES: dict[Kind, tuple[Rule, ...]] = {
    "convolution": (*GENERAL, *rules_conv.CONVOLUTION),
    "deconvolution": (*GENERAL, *rules_conv.DECONVOLUTION),
    "fully connected": (*GENERAL, *rules_conv.FULLY_CONNECTED),
    "pooling": (*GENERAL, *rules_move.POOLING),
    "activation": (*GENERAL, *rules_point.ACTIVATION),
    "elementwise": (*GENERAL, *rules_point.ELEMENTWISE),
    "scale": (*GENERAL, *rules_point.SCALE),
    "concatenation": (*GENERAL, *rules_move.CONCATENATION),
    "resize": (*GENERAL, *rules_move.RESIZE),
    "softmax": (*GENERAL, *rules_move.SOFTMAX),
    "slice": (*GENERAL, *rules_move.SLICE),
    "shuffle": (*GENERAL, *rules_move.SHUFFLE),
    "reduce": (*GENERAL, *rules_move.REDUCE),
    "lrn": (*GENERAL, *rules_move.LRN),
    "prelu": (*GENERAL, *rules_point.PRELU),
    "unary": (*GENERAL, *rules_point.UNARY),
    "comparison": (Rule(check_precision, RESTRICTIONS), Rule(check_sizes, RESTRICTIONS), *rules_point.COMPARISON),
    "cast": (Rule(check_precision, RESTRICTIONS), Rule(check_sizes, RESTRICTIONS), *rules_point.CAST),
    "quantise": (Rule(check_precision, RESTRICTIONS), Rule(check_sizes, RESTRICTIONS), *rules_move.QUANTISE),
}


def judge_layer(layer: Layer, target: Target) -> Verdict:
    """Where the table would put this layer."""
    if layer.kind == "other":
        return Verdict(False, *_unlisted(layer.op))
    for check, source in RULES[layer.kind]:
        reason = check(layer, target)
        if reason:
            return Verdict(False, reason, source)
    return Verdict(True, precision=_precision(layer, target), conditions=tuple(_conditions(layer, target)))


def _unlisted(op: str) -> tuple[str, str]:
    """Reason and source for an operator that is no layer of a DLA."""
    if op in NEVER:
        return f"a DLA never runs {op}", HEADER
    if op in RECONSTRUCTED:
        return f"a DLA has no {op}; NVIDIA rewrites it by hand into layers that it has", OPERATORS
    if op in REFUSED:
        return f"NVIDIA lists {op} as not supported on a DLA", OPERATORS
    return f"the table does not list {op}", OPERATORS


def _precision(layer: Layer, target: Target) -> Literal["int8", "fp16"]:
    half_kind = layer.kind in ("slice", "softmax") and target.tensorrt < HALF_ONLY_BEFORE
    half = half_kind or layer.kind == "lrn" or layer.op in IN_HALF
    return "int8" if target.precision == "int8" and not half else "fp16"


def _conditions(layer: Layer, target: Target) -> Iterator[str]:
    """What must hold beside the rules; the plan takes it for granted."""
    if target.precision == "int8":
        yield from _int8_conditions(layer, target)
    if layer.kind == "shuffle":
        yield f"reported on the GPU all the same in heads of detectors ({UNREAD})"
    if layer.kind == "resize" and layer.text("mode") == "linear" and target.soc == "xavier":
        yield "the guide of TensorRT 8.2 has nearest only on Xavier; a later log from one takes linear"
    if layer.op == "Sub" and target.soc == "xavier":
        yield "Xavier computes it as a scale and a sum"
    if layer.op == "Min":
        yield f"{OPERATORS} does not have ONNX's Min, and {HEADER} has kMIN"
    if layer.kind == "softmax" and _is_fast(layer):
        yield f"computed by an approximation whose error grows towards {SOFTMAX_FAST_AXIS} values"
    if layer.constants and layer.kind in ("elementwise", "scale", "concatenation"):
        yield "its constant is folded while building, for which GPU fallback must be allowed"


def _int8_conditions(layer: Layer, target: Target) -> Iterator[str]:
    if layer.kind in ("elementwise", "comparison") and len(layer.inputs) > 1:
        yield "the ranges of its inputs must be equal"
    if layer.kind == "concatenation":
        yield "the ranges of all inputs and of the output must be equal"
    if layer.kind == "pooling":
        yield "the scales of input and output must be equal"
    if layer.kind == "quantise" and target.tensorrt >= QDQ_SINCE:
        yield f"taken as allowed: {TYPED} was read in part only"
    if _precision(layer, target) == "fp16":
        yield "computed in FP16"
    elif layer.kind in ("slice", "softmax"):
        yield f"INT8 from TensorRT 10 on is {UNREAD}; the operator reference names FP16 only"


def _is_fast(layer: Layer) -> bool:
    shape, axis = layer.source.shape, int(layer.number("axis"))
    return any(side > 1 for index, side in enumerate(shape) if index >= len(shape) - 3 and index != axis)
