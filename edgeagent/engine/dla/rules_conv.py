"""What a DLA says to layers with weights: convolution, deconvolution, fully connected. Pure.

The convolution buffer (CBUF) has 16 banks of 32 KiB, each with 256 entries of 128 bytes. What one kernel's weights take
and what the input rows under one kernel take must fit together:

    weight banks = ceil(round_up(C * kh * kw * b, 128) / 32768)
    entries      = ceil(ceil(C * b / 32) * W / 4)
    data banks   = ceil(entries * ((kh - 1) * dilation_h + 1) / 256)

with C input channels, W the input's width, b bytes a number (1 in INT8, 2 in FP16); more than 16 banks and the layer is
left to the GPU. Source: NvInfer.h and the developer guide, as gathered in the support table.

By hand: 3x3 over 256 channels of 320 columns in FP16. Weights 256 * 9 * 2 = 4608 bytes, 1 bank. A row takes
ceil(512 / 32) = 16 atoms a column, 16 * 320 / 4 = 1280 entries; three rows 3840 entries, 15 banks. Together 16: it
fits, and one column more (1284 entries, 3852, 16 banks) does not.

Grouped convolutions are reckoned with all their channels, which is the cautious side.
"""

from __future__ import annotations

from edgeagent.engine.dla.layer import Layer
from edgeagent.engine.dla.table import (
    BANK_BYTES,
    BANK_ENTRIES,
    BANKS,
    CHANNELS,
    DILATION,
    GROUPS,
    GUIDE_84,
    HEADER,
    KERNEL,
    LONG,
    OPERATORS,
    PADDING,
    RESTRICTIONS,
    SLOW_TO_COMPILE,
    STRIDE,
    UNREAD,
)
from edgeagent.engine.dla.verdict import Rule, Target, check_four_sides, outside


def buffer_banks(channels: int, width: int, kernel: tuple[int, int], dilation_h: int, number_bytes: int) -> int:
    """Banks of the convolution buffer that a convolution takes; the module's text has the formula."""
    kernel_h, kernel_w = kernel
    weights = _up(_up(channels * kernel_h * kernel_w * number_bytes, 128) * 128, BANK_BYTES)
    entries = _up(_up(channels * number_bytes, 32) * width, 4)
    data = _up(entries * ((kernel_h - 1) * dilation_h + 1), BANK_ENTRIES)
    return weights + data


def _up(number: int, by: int) -> int:
    return -(-number // by)


def _constant_weights(layer: Layer, target: Target) -> str:
    if layer.flag("weights_constant"):
        return ""
    return "its weights are computed for each frame: a DLA wants constant ones"


def _kernel(layer: Layer, target: Target) -> str:
    return outside("kernel", layer.ints("kernel"), KERNEL)


def _padding(layer: Layer, target: Target) -> str:
    """`padding` is top, left, bottom, right."""
    padding, kernel = layer.ints("padding"), layer.ints("kernel")
    if any(pad >= size for pad, size in zip(padding, kernel * 2, strict=False)):
        return f"padding {'x'.join(map(str, padding))}: on a DLA it is smaller than the kernel on its axis"
    return outside("padding", padding, PADDING)


def _stride(layer: Layer, target: Target) -> str:
    return outside("stride", layer.ints("stride"), STRIDE)


def _dilation(layer: Layer, target: Target) -> str:
    return outside("dilation", layer.ints("dilation"), DILATION)


def _channels(layer: Layer, target: Target) -> str:
    return outside("channels in and out", layer.ints("channels"), CHANNELS)


def _groups(layer: Layer, target: Target) -> str:
    return outside("groups", (layer.number("groups", 1),), GROUPS)


def _buffer(layer: Layer, target: Target) -> str:
    kernel_h, kernel_w = layer.ints("kernel")
    width, dilation_h = layer.source.shape[-1], layer.ints("dilation")[0]
    banks = buffer_banks(layer.ints("channels")[0], width, (kernel_h, kernel_w), dilation_h, target.number_bytes)
    if banks <= BANKS:
        return ""
    return f"the convolution buffer has {BANKS} banks, and kernel and rows would take {banks}"


def _long_kernel(layer: Layer, target: Target) -> str:
    return _long("kernel", layer.ints("kernel"))


def _long_stride(layer: Layer, target: Target) -> str:
    return _long("stride", layer.ints("stride"))


def _long(what: str, pair: tuple[int, ...]) -> str:
    if min(pair) == 1 and max(pair) in LONG:
        return ""
    beyond = outside(what, pair, KERNEL)
    return f"{beyond}, or 1 by {', '.join(map(str, LONG))}" if beyond else ""


def _slow_to_compile(layer: Layer, target: Target) -> str:
    kernel, stride = set(layer.ints("kernel")), set(layer.ints("stride"))
    if len(kernel) == len(stride) == 1 and min(kernel) in SLOW_TO_COMPILE and min(stride) in SLOW_TO_COMPILE:
        return f"square kernel and stride of {SLOW_TO_COMPILE}: TensorRT keeps them off the DLA"
    return ""


def _plain(layer: Layer, target: Target) -> str:
    """No padding, no groups, no dilation."""
    if any(layer.ints("padding")):
        return f"padding {'x'.join(map(str, layer.ints('padding')))}: deconvolution on a DLA has none"
    if layer.number("groups", 1) != 1:
        return f"{layer.number('groups'):g} groups: deconvolution on a DLA has one"
    if set(layer.ints("dilation")) - {1}:
        return f"dilation {'x'.join(map(str, layer.ints('dilation')))}: deconvolution on a DLA has none"
    return ""


def _no_output_padding(layer: Layer, target: Target) -> str:
    return "an output padding, which the table does not list" if any(layer.ints("output_padding")) else ""


def _gemm_form(layer: Layer, target: Target) -> str:
    """What TensorRT can turn into a 1x1 convolution: rows times a constant matrix."""
    if not layer.flag("plain_product"):
        return "it is not rows times a constant matrix, which a DLA would run as a 1x1 convolution"
    return ""


_WEIGHTS = f"{RESTRICTIONS}; {OPERATORS}"
_BOTH = f"{HEADER}; {RESTRICTIONS}"

CONVOLUTION = (
    Rule(_constant_weights, _WEIGHTS),
    Rule(check_four_sides, RESTRICTIONS),
    Rule(_kernel, _BOTH),
    Rule(_padding, f"{HEADER}; {GUIDE_84}"),
    Rule(_stride, _BOTH),
    Rule(_dilation, f"{HEADER}; {GUIDE_84}"),
    Rule(_channels, _BOTH),
    Rule(_groups, f"{HEADER}; {GUIDE_84}"),
    Rule(_buffer, f"{HEADER}; {GUIDE_84}"),
)
DECONVOLUTION = (
    Rule(_constant_weights, _WEIGHTS),
    Rule(check_four_sides, RESTRICTIONS),
    Rule(_plain, _BOTH),
    Rule(_no_output_padding, UNREAD),
    Rule(_long_kernel, f"{HEADER}; {GUIDE_84}"),
    Rule(_long_stride, f"{HEADER}; {GUIDE_84}"),
    Rule(_slow_to_compile, GUIDE_84),
    Rule(_channels, f"{HEADER}; {GUIDE_84}"),
)
FULLY_CONNECTED = (  # as a 1x1 convolution over one column it takes two banks at most
    Rule(_constant_weights, OPERATORS),
    Rule(_gemm_form, OPERATORS),
    Rule(_channels, RESTRICTIONS),
)
