"""What a DLA says to layers that compute number by number: activations, sums, scales, comparisons. Pure."""

from __future__ import annotations

from edgeagent.engine.dla.layer import Layer, Shape, sides
from edgeagent.engine.dla.table import (
    ACTIVATIONS,
    ARITHMETIC_SINCE,
    CLIP_AT,
    COMPARISON_SINCE,
    GUIDE_84,
    GUIDE_85,
    HEADER,
    OPERATORS,
    RESTRICTIONS,
    UNARY_SINCE,
    UNREAD,
)
from edgeagent.engine.dla.verdict import Rule, Target, check_four_sides, missing_before


def _activation_type(layer: Layer, target: Target) -> str:
    return "" if layer.op in ACTIVATIONS else f"a DLA has no {layer.op}"


def _slope(layer: Layer, target: Target) -> str:
    if layer.op == "LeakyRelu" and layer.number("alpha") < 0:
        return f"a negative slope, {layer.number('alpha'):g}: a DLA takes none"
    return ""


def _clip(layer: Layer, target: Target) -> str:
    """A DLA has the clipped ReLU alone: from 0 to a bound."""
    if layer.op != "Clip":
        return ""
    low, high = layer.attributes.get("low"), layer.attributes.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return "a clip without two constant bounds: a DLA clips from 0 to a bound"
    if low != 0:
        return f"a clip from {low:g}: a DLA clips from 0 to a bound"
    return "" if high in CLIP_AT else f"a clip at {high:g}: a DLA takes a bound of {CLIP_AT}"


def _arithmetic(layer: Layer, target: Target) -> str:
    return missing_before(target, ARITHMETIC_SINCE[layer.op], layer.op)


def _broadcast(layer: Layer, target: Target) -> str:
    """One operand may have one number a channel, or one for all; anything else must be of the full shape."""
    full = layer.result.shape
    for tensor in (*layer.inputs, *layer.constants):
        shape = (1,) * (len(full) - len(tensor.shape)) + tensor.shape
        if shape not in (full, _a_channel(full), _for_all(full), (1,) * len(full)):
            return (
                f"an operand of shape {sides(tensor.shape)} spread over {sides(full)}: "
                "a DLA spreads one number, or one a channel"
            )
    return ""


def _a_channel(full: Shape) -> Shape:
    return (*full[:-2], 1, 1)


def _for_all(full: Shape) -> Shape:
    return (*full[:-3], 1, 1, 1)


def _scale_mode(layer: Layer, target: Target) -> str:
    """UNIFORM, CHANNEL or ELEMENTWISE, told by the shape of the constant."""
    full = layer.result.shape
    for tensor in layer.constants if layer.op != "BatchNormalization" else ():
        shape = (1,) * (len(full) - len(tensor.shape)) + tensor.shape
        uniform = all(side == 1 for side in shape)
        channel = shape == (1, full[-3], 1, 1)
        if not uniform and not channel and shape[-3:] != full[-3:]:
            return (
                f"a constant of shape {sides(tensor.shape)}: "
                "a DLA scales by one number, by one a channel, or by one an element"
            )
    return ""


def _slopes(layer: Layer, target: Target) -> str:
    slopes = layer.constants[0] if layer.constants else None
    if slopes is None:
        return "its slopes are computed for each frame: a DLA wants constant ones"
    if len(slopes.shape) != len(layer.source.shape):
        return f"slopes of shape {sides(slopes.shape)}: a DLA wants as many sides as the input has"
    return ""


def _unary(layer: Layer, target: Target) -> str:
    return missing_before(target, UNARY_SINCE[layer.op], layer.op)


def _comparison(layer: Layer, target: Target) -> str:
    return missing_before(target, COMPARISON_SINCE[layer.op], layer.op)


def _int8_alone(layer: Layer, target: Target) -> str:
    return (
        "" if target.precision == "int8" else f"a DLA compares in INT8 only, and {target.precision.upper()} is wanted"
    )


def _cast_behind(layer: Layer, target: Target) -> str:
    return "" if layer.flag("cast_behind") else "what it finds is not cast to numbers at once, as a DLA wants it"


def _behind_comparison(layer: Layer, target: Target) -> str:
    return "" if layer.flag("behind_comparison") else "the table does not list Cast, but right behind a comparison"


_ARITHMETIC = f"{HEADER}; {RESTRICTIONS}; {GUIDE_84}"

ACTIVATION = (
    Rule(_activation_type, f"{HEADER}; {RESTRICTIONS}"),
    Rule(check_four_sides, RESTRICTIONS),
    Rule(_slope, f"{GUIDE_84}; {GUIDE_85}"),
    Rule(_clip, f"{GUIDE_84}; {GUIDE_85}"),
)
ELEMENTWISE = (
    Rule(_arithmetic, f"{_ARITHMETIC}; {OPERATORS}"),
    Rule(check_four_sides, RESTRICTIONS),
    Rule(_broadcast, UNREAD),
)
SCALE = (Rule(check_four_sides, GUIDE_84), Rule(_scale_mode, f"{GUIDE_84}; {GUIDE_85}"))
PRELU = (Rule(check_four_sides, UNREAD), Rule(_slopes, f"{HEADER}; {RESTRICTIONS}; {GUIDE_85}"))
UNARY = (Rule(_unary, f"{HEADER}; {OPERATORS}"), Rule(check_four_sides, UNREAD))
COMPARISON = (
    Rule(_comparison, f"{RESTRICTIONS}; {OPERATORS}"),
    Rule(_int8_alone, RESTRICTIONS),
    Rule(check_four_sides, UNREAD),
    Rule(_cast_behind, RESTRICTIONS),
    Rule(_broadcast, UNREAD),
)
CAST = (Rule(_behind_comparison, RESTRICTIONS), Rule(_int8_alone, RESTRICTIONS), Rule(check_four_sides, UNREAD))
