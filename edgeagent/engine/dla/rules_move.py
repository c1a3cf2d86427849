"""What a DLA says to layers that gather or move numbers: pooling, concatenation, resize, slice, shuffle ... Pure."""

from __future__ import annotations

from edgeagent.engine.dla.layer import Layer, sides
from edgeagent.engine.dla.table import (
    AVERAGES,
    GUIDE_84,
    GUIDE_85,
    HEADER,
    HEADER_852,
    LINEAR_MODES,
    LINEAR_SCALE,
    LRN_WINDOWS,
    NEAREST_MODES,
    NEAREST_SCALE,
    NEWER,
    NO_QDQ,
    OPERATORS,
    POOL_PADDING,
    POOL_STRIDE,
    POOL_WINDOW,
    QDQ_SINCE,
    REFERENCE,
    RESTRICTIONS,
    SOFTMAX_FAST_AXIS,
    TYPED,
    UNREAD,
)
from edgeagent.engine.dla.verdict import Rule, Target, check_four_sides, missing_before, outside


def _window(layer: Layer, target: Target) -> str:
    return outside("window", layer.ints("kernel"), POOL_WINDOW)


def _pool_padding(layer: Layer, target: Target) -> str:
    return outside("padding", layer.ints("padding"), POOL_PADDING)


def _pool_stride(layer: Layer, target: Target) -> str:
    return outside("stride", layer.ints("stride"), POOL_STRIDE)


def _inclusive(layer: Layer, target: Target) -> str:
    if target.soc != "xavier" or layer.op != "AveragePool" or layer.flag("padding_counts"):
        return ""
    return "an average that leaves out the padding: Xavier's DLA counts it in (export with count_include_pad=1)"


def _plain_pool(layer: Layer, target: Target) -> str:
    if set(layer.ints("dilation")) - {1}:
        return "a pooling with gaps (dilation), which the table does not list"
    return "a pooling that also gives indices, which the table does not list" if len(layer.outputs) > 1 else ""


def _channel_axis(layer: Layer, target: Target) -> str:
    axis, rank = int(layer.number("axis")), len(layer.result.shape)
    if axis == rank - 3:
        return ""
    return f"it joins along axis {axis}: a DLA joins channels, axis {rank - 3} here"


def _two_inputs(layer: Layer, target: Target) -> str:
    return "" if len(layer.inputs) + len(layer.constants) > 1 else "one input only: a DLA joins two or more"


def _four_scales(layer: Layer, target: Target) -> str:
    if layer.flag("sized"):
        return "it is told the size it should make, and a DLA wants the scales (export with scale_factor)"
    scales = layer.attributes.get("scales")
    if not isinstance(scales, tuple) or len(scales) != 4 or tuple(scales[:2]) != (1, 1):
        return "a DLA wants four constant scales, 1 for batch and channels"
    return ""


def _whole_scales(layer: Layer, target: Target) -> str:
    scales = layer.attributes["scales"]
    assert isinstance(scales, tuple)  # noqa: S101  _four_scales has seen to it
    if any(scale != int(scale) for scale in scales[2:]):
        return f"a scale of {'x'.join(f'{scale:g}' for scale in scales[2:])}: a DLA takes whole ones"
    mode = layer.text("mode")
    return outside(f"{mode} scale", scales[2:], NEAREST_SCALE if mode == "nearest" else LINEAR_SCALE)


def _resize_mode(layer: Layer, target: Target) -> str:
    mode, coordinates, rounding = layer.text("mode"), layer.text("coordinates"), layer.text("rounding")
    if layer.flag("antialias"):
        return "resizing with antialias, which the table does not list"
    if mode == "nearest" and (coordinates, rounding) in NEAREST_MODES:
        return ""
    if mode == "linear" and coordinates in LINEAR_MODES:
        return ""
    how = f"{coordinates}, {rounding}" if mode == "nearest" else coordinates
    return f"resizing {mode} ({how}), which is no mode of a DLA"


def _softmax_soc(layer: Layer, target: Target) -> str:
    return "Xavier's DLA has no softmax" if target.soc == "xavier" else ""


def _softmax_axis(layer: Layer, target: Target) -> str:
    """One value a position: exact, to any length a side may have; else a faster way with a shorter axis."""
    shape, axis = layer.source.shape, int(layer.number("axis"))
    if axis < len(shape) - 3:
        return f"softmax along axis {axis}, which is the batch to a DLA"
    alone = all(side == 1 for index, side in enumerate(shape) if index >= len(shape) - 3 and index != axis)
    if alone or shape[axis] <= SOFTMAX_FAST_AXIS:
        return ""
    return f"softmax over {shape[axis]} values at each of many positions: a DLA takes {SOFTMAX_FAST_AXIS}"


def _slice_batch(layer: Layer, target: Target) -> str:
    return "it cuts the batch: a DLA cuts channels, rows and columns" if 0 in layer.ints("axes") else ""


def _slice_step(layer: Layer, target: Target) -> str:
    if layer.flag("open"):
        return "where it cuts is computed for each frame: a DLA wants that constant"
    return "it skips or turns round: a DLA cuts with step 1" if set(layer.ints("steps")) - {1} else ""


def _shuffle_batch(layer: Layer, target: Target) -> str:
    order = layer.ints("order")
    if (order and order[0] != 0) or layer.source.shape[0] != layer.result.shape[0]:
        return f"{sides(layer.source.shape)} becomes {sides(layer.result.shape)}: on a DLA the batch stays what it is"
    return ""


def _shuffle_op(layer: Layer, target: Target) -> str:
    if layer.op in ("Reshape", "Transpose"):
        return ""
    return f"NVIDIA lists {layer.op} as not supported on a DLA"


def _maximum(layer: Layer, target: Target) -> str:
    if layer.op in ("ReduceMax", "GlobalMaxPool"):
        return missing_before(target, NEWER, layer.op)
    if layer.op in AVERAGES:
        return f"a DLA has no {layer.op} (an AveragePool with a window of 8 at most, or a convolution, would run there)"
    return f"a DLA reduces to the maximum only, and this is {layer.op}"


def _reduce_batch(layer: Layer, target: Target) -> str:
    return "it reduces over the batch: a DLA reduces over channels, rows, columns" if 0 in layer.ints("axes") else ""


def _lrn_window(layer: Layer, target: Target) -> str:
    window = int(layer.number("size"))
    return "" if window in LRN_WINDOWS else f"a window of {window}: a DLA takes {', '.join(map(str, LRN_WINDOWS))}"


def _qdq(layer: Layer, target: Target) -> str:
    if target.tensorrt >= QDQ_SINCE:
        return ""
    return "a DLA refuses Q/DQ nodes before TensorRT 11.4.1: a plain network and a calibration cache are wanted"


POOLING = (
    Rule(check_four_sides, RESTRICTIONS),
    Rule(_window, f"{HEADER}; {GUIDE_84}"),
    Rule(_pool_padding, f"{HEADER}; {GUIDE_84}"),
    Rule(_pool_stride, f"{HEADER}; {GUIDE_84}"),
    Rule(_inclusive, f"{HEADER}; {HEADER_852}"),
    Rule(_plain_pool, UNREAD),
)
CONCATENATION = (
    Rule(check_four_sides, RESTRICTIONS),
    Rule(_channel_axis, f"{HEADER}; {RESTRICTIONS}; {GUIDE_84}"),
    Rule(_two_inputs, f"{RESTRICTIONS}; {GUIDE_84}"),
)
RESIZE = (
    Rule(check_four_sides, HEADER),
    Rule(_four_scales, f"{HEADER}; {GUIDE_84}"),
    Rule(_whole_scales, f"{HEADER}; {GUIDE_84}"),
    Rule(_resize_mode, f"{HEADER}; {GUIDE_84}"),
)
SOFTMAX = (
    Rule(_softmax_soc, f"{HEADER_852}; {GUIDE_85}"),
    Rule(check_four_sides, UNREAD),
    Rule(_softmax_axis, f"{HEADER}; {GUIDE_85}"),
)
SLICE = (
    Rule(check_four_sides, f"{HEADER}; {GUIDE_85}"),
    Rule(_slice_batch, f"{HEADER}; {GUIDE_85}"),
    Rule(_slice_step, f"{HEADER}; {GUIDE_85}"),
)
SHUFFLE = (
    Rule(_shuffle_op, OPERATORS),
    Rule(check_four_sides, UNREAD),
    Rule(_shuffle_batch, UNREAD),
)
REDUCE = (
    Rule(_maximum, f"{REFERENCE}; {OPERATORS}"),
    Rule(check_four_sides, UNREAD),
    Rule(_reduce_batch, REFERENCE),
)
LRN = (Rule(check_four_sides, UNREAD), Rule(_lrn_window, f"{HEADER}; {RESTRICTIONS}; {GUIDE_85}"))
QUANTISE = (Rule(_qdq, f"{NO_QDQ}; {TYPED}"),)
