"""Every rule of the support table at its limit and one beyond. What a limit is stands in docs/engines-dla.md."""

from __future__ import annotations

import pytest
from dla_kit import ORIN, ORIN_86, ORIN_HALF, XAVIER, convolution, deconvolution, layer, pooling, resize

from edgeagent.engine.dla import table
from edgeagent.engine.dla.layer import Layer
from edgeagent.engine.dla.rules import RULES, judge_layer
from edgeagent.engine.dla.rules_conv import buffer_banks
from edgeagent.engine.dla.verdict import Target

MAP = (1, 16, 40, 40)
NEWER = Target("orin", (8, 6, 12), "int8")
TEN = Target("orin", (10, 0), "int8")
TYPED = Target("orin", (11, 4, 1), "int8")
FULL = Target("orin", (10, 3), "fp32")


def wide_conv(**changes: object) -> Layer:
    """A kernel and stride of any size over few channels, so that the convolution buffer is no hindrance."""
    return convolution(4, 4, 40, **changes)  # type: ignore[arg-type]


def fully_connected(into: int = 512, out: int = 10, **changes: object) -> Layer:
    attributes = {"channels": (into, out), "weights_constant": True, "plain_product": True} | changes
    return layer("fully connected", "Gemm", (1, into), out=(1, out), **attributes)  # type: ignore[arg-type]


def clip(low: float | None, high: float | None) -> Layer:
    return layer("activation", "Clip", MAP, low=low, high=high)


def joined(axis: int) -> Layer:
    return layer("concatenation", "Concat", MAP, MAP, axis=axis)


def softmax(shape: tuple[int, ...], axis: int) -> Layer:
    return layer("softmax", "Softmax", shape, axis=axis)


def cut(*axes: int, steps: tuple[int, ...] = (1,), still: bool = True) -> Layer:
    return layer("slice", "Slice", MAP, out=(1, 8, 40, 40), axes=axes, steps=steps, open=not still)


def spread(op: str, small: tuple[int, ...], full: tuple[int, ...] = MAP) -> Layer:
    return layer("elementwise", op, full, small)


def compared(op: str, cast: bool = True) -> Layer:
    return layer("comparison", op, MAP, MAP, cast_behind=cast)


TAKEN = {
    "kernel 32": (wide_conv(kernel=(32, 32), padding=(0,) * 4), ORIN),
    "padding 31": (wide_conv(kernel=(32, 32), padding=(31,) * 4), ORIN),
    "padding one less than the kernel": (wide_conv(kernel=(3, 3), padding=(2,) * 4), ORIN),
    "stride 8": (wide_conv(stride=(8, 8)), ORIN),
    "dilation 32": (wide_conv(dilation=(32, 32)), ORIN),
    "8192 channels in": (convolution(8192, 1, 1, kernel=(1, 1), padding=(0,) * 4), ORIN),
    "8192 channels out": (convolution(1, 8192, 1), ORIN),
    "a group a channel": (convolution(512, 512, 20, groups=512), ORIN),
    "16 banks in FP16": (convolution(256, 64, 40, width=320), ORIN_HALF),
    "twice that in INT8": (convolution(512, 64, 40, width=320), ORIN),
    "a batch of 4096": (layer("activation", "Relu", (4096, 1, 1, 1)), ORIN),
    "a side of 8192": (layer("activation", "Relu", (1, 8192, 1, 8192)), ORIN),
    "8192 into a classifier": (fully_connected(8192, 8192), ORIN),
    "deconvolution 32": (deconvolution(kernel=(32, 31), stride=(32, 31)), ORIN),
    "deconvolution 1x128": (deconvolution(kernel=(1, 128), stride=(1, 128)), ORIN),
    "deconvolution 96x1": (deconvolution(kernel=(96, 1), stride=(96, 1)), ORIN),
    "deconvolution square 22": (deconvolution(kernel=(22, 22), stride=(22, 22)), ORIN),
    "window 8": (pooling(kernel=(8, 8)), ORIN),
    "pool padding 7": (pooling(kernel=(8, 8), padding=(7,) * 4), ORIN),
    "pool stride 16": (pooling(stride=(16, 16)), ORIN),
    "Orin leaves the padding out": (pooling("AveragePool"), ORIN),
    "Xavier counts the padding": (pooling("AveragePool", padding_counts=True), XAVIER),
    "Xavier's maximum": (pooling("MaxPool"), XAVIER),
    "ReLU": (layer("activation", "Relu", MAP), ORIN),
    "leaky ReLU": (layer("activation", "LeakyRelu", MAP, alpha=0.1), ORIN),
    "clip at 1": (clip(0, 1), ORIN),
    "ReLU6": (clip(0, 6), ORIN),
    "clip at 127": (clip(0, 127), ORIN),
    "sum": (spread("Add", MAP), ORIN),
    "sum on Xavier": (spread("Add", MAP), XAVIER),
    "difference, maximum, minimum": (spread("Min", MAP), ORIN_86),
    "a number a channel": (spread("Mul", (1, 16, 1, 1)), ORIN),
    "a number for all": (spread("Mul", (1, 1, 1, 1)), ORIN),
    "a bare number": (layer("elementwise", "Max", MAP, constants=((),)), ORIN),
    "Div": (spread("Div", MAP), NEWER),
    "Pow": (spread("Pow", MAP), TEN),
    "uniform scale": (layer("scale", "Mul", MAP, constants=((1,),)), ORIN),
    "scale a channel": (layer("scale", "Mul", MAP, constants=((16, 1, 1),)), ORIN),
    "scale an element": (layer("scale", "Add", MAP, constants=(MAP,)), ORIN),
    "batch normalisation": (layer("scale", "BatchNormalization", MAP, constants=((16,),) * 4), ORIN),
    "joined channels": (joined(1), ORIN),
    "joined with a constant": (layer("concatenation", "Concat", MAP, constants=(MAP,), axis=1), ORIN),
    "nearest times 32": (resize(scales=(1, 1, 32, 1)), ORIN),
    "nearest, half pixels, down": (resize(coordinates="half_pixel", rounding="round_prefer_floor"), ORIN),
    "nearest, half pixels, up": (resize(coordinates="half_pixel", rounding="round_prefer_ceil"), ORIN),
    "linear times 4": (resize(mode="linear", coordinates="half_pixel", scales=(1, 1, 4, 4)), ORIN),
    "linear as PyTorch": (resize(mode="linear", coordinates="pytorch_half_pixel"), ORIN),
    "linear on Xavier": (resize(mode="linear", coordinates="half_pixel"), XAVIER),
    "softmax, one value a position": (softmax((1, 8192, 1, 1), 1), ORIN),
    "softmax, fast": (softmax((1, 1024, 4, 4), 1), ORIN),
    "softmax over columns": (softmax((1, 4, 4, 100), 3), ORIN),
    "slice of channels": (cut(1), ORIN),
    "slice of rows and columns": (cut(2, 3, steps=(1, 1)), ORIN_86),
    "reshape": (layer("shuffle", "Reshape", MAP, out=(1, 64, 20, 20)), ORIN),
    "transpose": (layer("shuffle", "Transpose", MAP, out=(1, 40, 40, 16), order=(0, 2, 3, 1)), ORIN),
    "maximum of a map": (layer("reduce", "GlobalMaxPool", MAP, out=(1, 16, 1, 1), axes=(2, 3)), NEWER),
    "maximum over channels": (layer("reduce", "ReduceMax", MAP, out=(1, 1, 40, 40), axes=(1,)), ORIN),
    "LRN 9": (layer("lrn", "LRN", MAP, size=9), ORIN),
    "PReLU": (layer("prelu", "PRelu", MAP, constants=((1, 16, 1, 1),)), ORIN),
    "Abs": (layer("unary", "Abs", MAP), XAVIER),
    "Sin": (layer("unary", "Sin", MAP), NEWER),
    "Equal": (compared("Equal"), ORIN_86),
    "Greater": (compared("Greater"), NEWER),
    "the cast behind": (layer("cast", "Cast", MAP, behind_comparison=True), ORIN),
    "Q/DQ on 11.4.1": (layer("quantise", "QuantizeLinear", MAP), TYPED),
}  # fmt: skip

REFUSED = {
    "FP32": (convolution(), FULL, "FP32"),
    "whole numbers": (layer("elementwise", "Add", MAP, MAP, type_="int64"), ORIN, "int64 numbers"),
    "kernel 33": (wide_conv(kernel=(33, 3)), ORIN, "kernel 33x3: a DLA takes 1 to 32"),
    "padding 32": (wide_conv(kernel=(33, 33), padding=(32,) * 4), ORIN, "kernel 33x33"),
    "padding of the kernel's size": (wide_conv(kernel=(3, 3), padding=(3, 1, 1, 1)), ORIN, "smaller than the kernel"),
    "padding across": (wide_conv(kernel=(5, 1), padding=(2, 1, 2, 0)), ORIN, "smaller than the kernel"),
    "stride 9": (wide_conv(stride=(1, 9)), ORIN, "stride 1x9: a DLA takes 1 to 8"),
    "dilation 33": (wide_conv(dilation=(33, 1)), ORIN, "dilation 33x1: a DLA takes 1 to 32"),
    "8193 channels out": (convolution(1, 8193, 1), ORIN, "8193"),
    "17 banks in FP16": (convolution(256, 64, 40, width=321), ORIN_HALF, "would take 17"),
    "17 banks in INT8": (convolution(512, 64, 40, width=321), ORIN, "would take 17"),
    "weights of the frame": (convolution(weights_constant=False), ORIN, "computed for each frame"),
    "1-D convolution": (
        layer("convolution", "Conv", (1, 16, 40), kernel=(3,), stride=(1,), dilation=(1,), padding=(1, 1), groups=1,
              channels=(16, 16), weights_constant=True), ORIN, "1x16x40"),
    "3-D convolution": (
        layer("convolution", "Conv", (1, 16, 4, 40, 40), kernel=(3, 3, 3), stride=(1, 1, 1), dilation=(1, 1, 1),
              padding=(1,) * 6, groups=1, channels=(16, 16), weights_constant=True), ORIN, "1x16x4x40x40"),
    "a batch of 4097": (layer("activation", "Relu", (4097, 1, 1, 1)), ORIN, "batch of 4097"),
    "a side of 8193": (layer("activation", "Relu", (1, 1, 1, 8193)), ORIN, "8192"),
    "8193 into a classifier": (fully_connected(8193), ORIN, "8192"),
    "a product of two frames' tensors": (fully_connected(weights_constant=False), ORIN, "computed for each frame"),
    "a turned product": (fully_connected(plain_product=False), ORIN, "1x1 convolution"),
    "deconvolution 33": (deconvolution(kernel=(33, 2)), ORIN, "kernel 33x2: a DLA takes 1 to 32, or 1 by 64, 96, 128"),
    "deconvolution 2x64": (deconvolution(kernel=(2, 64)), ORIN, "2x64"),
    "deconvolution 1x65": (deconvolution(kernel=(1, 65)), ORIN, "1x65"),
    "deconvolution stride 33": (deconvolution(stride=(33, 1)), ORIN, "stride 33x1"),
    "deconvolution square 23": (deconvolution(kernel=(23, 23), stride=(23, 23)), ORIN, "keeps them off"),
    "deconvolution padded": (deconvolution(padding=(0, 0, 0, 1)), ORIN, "padding"),
    "deconvolution grouped": (deconvolution(groups=2), ORIN, "2 groups"),
    "deconvolution dilated": (deconvolution(dilation=(2, 1)), ORIN, "dilation"),
    "deconvolution with output padding": (deconvolution(output_padding=(1, 1)), ORIN, "output padding"),
    "deconvolution of 8193 channels": (deconvolution(channels=(64, 8193)), ORIN, "8193"),
    "deconvolution with weights of the frame": (deconvolution(weights_constant=False), ORIN, "constant"),
    "window 9": (pooling(kernel=(9, 8)), ORIN, "window 9x8: a DLA takes 1 to 8"),
    "pool padding 8": (pooling(kernel=(8, 8), padding=(8, 0, 0, 0)), ORIN, "a DLA takes 0 to 7"),
    "pool stride 17": (pooling(stride=(17, 1)), ORIN, "a DLA takes 1 to 16"),
    "pool with gaps": (pooling(dilation=(2, 2)), ORIN, "dilation"),
    "Xavier's average": (pooling("AveragePool"), XAVIER, "count_include_pad=1"),
    "ReLU on three sides": (layer("activation", "Relu", (1, 4, 2100)), ORIN, "1x4x2100"),
    "negative slope": (layer("activation", "LeakyRelu", MAP, alpha=-0.1), ORIN, "negative slope"),
    "clip at 0.9": (clip(0, 0.9), ORIN, "1 to 127"),
    "clip at 128": (clip(0, 128), ORIN, "1 to 127"),
    "clip from 0.1": (clip(0.1, 6), ORIN, "clip from 0.1"),
    "clip from below": (clip(-1, 1), ORIN, "clip from -1"),
    "clip without a bound": (clip(0, None), ORIN, "two constant bounds"),
    "Div before 8.6.12": (spread("Div", MAP), ORIN_86, "from TensorRT 8.6.12 on"),
    "Pow before 10": (spread("Pow", MAP), NEWER, "from TensorRT 10 on"),
    "a number a row": (spread("Add", (1, 1, 40, 1)), ORIN, "one number, or one a channel"),
    "a map for all channels": (spread("Add", (1, 1, 40, 40)), ORIN, "one number, or one a channel"),
    "a scale a row": (layer("scale", "Mul", MAP, constants=((1, 1, 40, 1),)), ORIN, "one a channel"),
    "a scale a column": (layer("scale", "Mul", MAP, constants=((40,),)), ORIN, "one a channel"),
    "scale on three sides": (layer("scale", "Mul", (1, 2, 2100), constants=((),)), ORIN, "1x2x2100"),
    "joined columns": (joined(3), ORIN, "joins along axis 3"),
    "joined batches": (joined(0), ORIN, "joins along axis 0"),
    "one input": (layer("concatenation", "Concat", MAP, axis=1), ORIN, "one input only"),
    "nearest times 33": (resize(scales=(1, 1, 33, 1)), ORIN, "1 to 32"),
    "nearest times 1.5": (resize(scales=(1, 1, 1.5, 1.5)), ORIN, "whole"),
    "nearest, half": (resize(scales=(1, 1, 0.5, 1)), ORIN, "whole"),
    "linear times 5": (resize(mode="linear", coordinates="half_pixel", scales=(1, 1, 5, 4)), ORIN, "1 to 4"),
    "linear, corners aligned": (resize(mode="linear", coordinates="align_corners"), ORIN, "align_corners"),
    "nearest, asymmetric, ceil": (resize(rounding="ceil"), ORIN, "asymmetric, ceil"),
    "cubic": (resize(mode="cubic", coordinates="half_pixel", scales=(1, 1, 2, 2)), ORIN, "no mode of a DLA"),
    "resized channels": (resize(scales=(1, 2, 2, 2)), ORIN, "four constant scales"),
    "three scales": (resize(scales=(1, 2, 2)), ORIN, "four constant scales"),
    "scales of the frame": (resize(scales=None), ORIN, "four constant scales"),
    "told the size": (resize(sized=True), ORIN, "scale_factor"),
    "antialias": (resize(mode="linear", coordinates="half_pixel", antialias=True), ORIN, "antialias"),
    "softmax on Xavier": (softmax((1, 10, 1, 1), 1), XAVIER, "Xavier"),
    "softmax over the batch": (softmax((2, 10, 1, 1), 0), ORIN, "batch"),
    "softmax, fast, 1025": (softmax((1, 1025, 2, 1), 1), ORIN, "a DLA takes 1024"),
    "softmax, 8193": (softmax((1, 8193, 1, 1), 1), ORIN, "8192"),
    "slice of the batch": (cut(0), ORIN, "batch"),
    "slice with step 2": (cut(1, steps=(2,)), ORIN, "step 1"),
    "slice backwards": (cut(2, steps=(-1,)), ORIN, "step 1"),
    "slice where the frame says": (cut(1, still=False), ORIN, "constant"),
    "slice of a list": (layer("slice", "Slice", (1, 4, 2100), out=(1, 2, 2100), axes=(1,), steps=()), ORIN, "2100"),
    "reshape into the batch": (layer("shuffle", "Reshape", MAP, out=(16, 1, 40, 40)), ORIN, "the batch stays"),
    "transpose with the batch": (
        layer("shuffle", "Transpose", (1, 1, 40, 40), order=(1, 0, 2, 3)), ORIN, "the batch stays"),
    "reshape to a list": (layer("shuffle", "Reshape", MAP, out=(1, 16, 1600)), ORIN, "1x16x1600"),
    "flatten": (layer("shuffle", "Flatten", (1, 16, 20, 20), out=(1, 6400)), ORIN, "Flatten"),
    "maximum before 8.6.12": (
        layer("reduce", "ReduceMax", MAP, out=(1, 1, 40, 40), axes=(1,)), ORIN_86, "from TensorRT 8.6.12 on"),
    "average of a map": (
        layer("reduce", "GlobalAveragePool", MAP, out=(1, 16, 1, 1), axes=(2, 3)), ORIN, "AveragePool"),
    "minimum": (layer("reduce", "ReduceMin", MAP, out=(1, 1, 40, 40), axes=(1,)), ORIN, "maximum only"),
    "maximum over the batch": (layer("reduce", "ReduceMax", MAP, axes=(0,)), ORIN, "batch"),
    "LRN 4": (layer("lrn", "LRN", MAP, size=4), ORIN, "3, 5, 7, 9"),
    "LRN 11": (layer("lrn", "LRN", MAP, size=11), ORIN, "3, 5, 7, 9"),
    "slopes of the frame": (layer("prelu", "PRelu", MAP, (1, 16, 1, 1)), ORIN, "constant"),
    "slopes of another rank": (layer("prelu", "PRelu", MAP, constants=((16, 1, 1),)), ORIN, "as many sides"),
    "Sin before 8.6.12": (layer("unary", "Sin", MAP), ORIN_86, "8.6.12"),
    "Less before 8.6.12": (compared("Less"), ORIN_86, "8.6.12"),
    "Equal in FP16": (compared("Equal"), ORIN_HALF, "INT8 only"),
    "Equal without a cast": (compared("Equal", cast=False), ORIN, "cast"),
    "a cast alone": (layer("cast", "Cast", MAP, behind_comparison=False), ORIN, "does not list Cast"),
    "Q/DQ before 11.4.1": (layer("quantise", "DequantizeLinear", MAP), ORIN, "calibration cache"),
    "Gather": (layer("other", "Gather", MAP), ORIN, "never runs Gather"),
    "Where": (layer("other", "Where", MAP), ORIN, "rewrites it by hand"),
    "HardSwish": (layer("other", "HardSwish", MAP), ORIN, "HardSwish as not supported"),
    "Einsum": (layer("other", "Einsum", MAP), ORIN, "the table does not list Einsum"),
    "TopK": (layer("other", "TopK", MAP), ORIN, "the table does not list TopK"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_at_the_limit(name: str) -> None:
    one, target = TAKEN[name]
    verdict = judge_layer(one, target)
    assert (verdict.on_dla, verdict.reason) == (True, "")
    assert verdict.precision in ("int8", "fp16")


@pytest.mark.parametrize("name", REFUSED)
def test_beyond_the_limit(name: str) -> None:
    one, target, word = REFUSED[name]
    verdict = judge_layer(one, target)
    assert not verdict.on_dla
    assert word in verdict.reason
    assert verdict.source
    assert "\n" not in verdict.reason and not verdict.reason.endswith(".")


def test_every_rule_objects_to_something_here() -> None:
    """A rule that no case of this file trips may be dead, or wrong."""
    deciding = set()
    for one, target, _ in REFUSED.values():
        first = next((rule for rule in RULES.get(one.kind, ()) if rule.check(one, target)), None)
        deciding.add(first.check if first else None)
    alive = {rule.check for rules in RULES.values() for rule in rules}
    cannot = {"_groups", "_activation_type"}  # ONNX's own checks and the readers come first
    assert {check.__name__ for check in alive - deciding} <= cannot


def test_groups_and_unknown_activations_all_the_same() -> None:
    assert "groups 8193" in judge_layer(convolution(1, 1, groups=8193), ORIN).reason
    assert "no Elu" in judge_layer(layer("activation", "Elu", MAP), ORIN).reason


def test_the_buffer_by_hand() -> None:
    """3x3 over 256 channels of 320 columns in FP16: 1 bank for weights, 15 for rows; the module has the arithmetic."""
    assert buffer_banks(256, 320, (3, 3), 1, 2) == 1 + 15
    assert buffer_banks(256, 321, (3, 3), 1, 2) == 1 + 16
    # 5x5 over 960 channels of 7 columns in FP16, by hand: 960 * 25 * 2 = 48000 bytes, 2 banks;
    # 60 atoms * 7 / 4 = 105 entries a row, 525 for five rows, 3 banks.
    assert buffer_banks(960, 7, (5, 5), 1, 2) == 2 + 3
    # Dilation 2 reaches over five rows with three: 960 -> 105 * 5 = 525 entries again, and one bank for 3x3 weights.
    assert buffer_banks(960, 7, (3, 3), 2, 2) == 1 + 3


@pytest.mark.parametrize(
    ("one", "target", "precision"),
    [
        (layer("activation", "Sigmoid", MAP), ORIN, "fp16"),
        (layer("activation", "Tanh", MAP), XAVIER, "fp16"),
        (layer("activation", "Relu", MAP), ORIN, "int8"),
        (layer("activation", "Relu", MAP), ORIN_HALF, "fp16"),
        (layer("lrn", "LRN", MAP, size=5), ORIN, "fp16"),
        (cut(1), ORIN_86, "fp16"),
        (cut(1), ORIN, "int8"),
        (softmax((1, 16, 4, 4), 1), ORIN_86, "fp16"),
    ],
)
def test_precision_of_a_layer(one: Layer, target: Target, precision: str) -> None:
    assert judge_layer(one, target).precision == precision


@pytest.mark.parametrize(
    ("one", "target", "word"),
    [
        (spread("Add", MAP), ORIN, "ranges of its inputs must be equal"),
        (joined(1), ORIN, "ranges of all inputs and of the output"),
        (pooling(), ORIN, "scales of input and output"),
        (softmax((1, 16, 4, 4), 1), ORIN, "approximation"),
        (spread("Sub", MAP), XAVIER, "scale and a sum"),
        (resize(mode="linear", coordinates="half_pixel"), XAVIER, "8.2"),
        (layer("shuffle", "Reshape", MAP, out=(1, 64, 20, 20)), ORIN, "heads of detectors"),
        (layer("scale", "Mul", MAP, constants=((),)), ORIN, "GPU fallback"),
        (layer("quantise", "QuantizeLinear", MAP), TYPED, "in part only"),
        (spread("Min", MAP), ORIN, "kMIN"),
        (cut(1), ORIN, "not read"),
    ],
)
def test_what_a_plan_takes_for_granted(one: Layer, target: Target, word: str) -> None:
    assert any(word in condition for condition in judge_layer(one, target).conditions)


def test_equal_ranges_are_no_matter_in_half_precision() -> None:
    assert judge_layer(joined(1), ORIN_HALF).conditions == ()


def test_lists_of_operators_do_not_overlap() -> None:
    lists = (table.NEVER, table.RECONSTRUCTED, table.REFUSED, table.ACTIVATIONS, table.AVERAGES)
    assert len(frozenset().union(*lists)) == sum(map(len, lists))
