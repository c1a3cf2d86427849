"""The support table: what NVIDIA says a DLA takes, as numbers, each with the place where it was read. Pure.

DLA 1 is Xavier's, DLA 2 Orin's. Where the sources disagree or are silent it is said at the entry; entries with `UNREAD`
rest on general knowledge. Nothing here was tried on a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RESTRICTIONS: Final = "NVIDIA, DLA Supported Layers and Restrictions, 10.x/11.x"
HEADER: Final = "NvInfer.h 10.3"
HEADER_852: Final = "NvInfer.h 8.5.2"
GUIDE_84: Final = "TensorRT developer guide 8.4"
GUIDE_85: Final = "TensorRT developer guide 8.5"
OPERATORS: Final = "NVIDIA, Deep-Learning-Accelerator-SW, operator list of June 2024"
REFERENCE: Final = "NVIDIA, TensorRT operator reference"
NO_QDQ: Final = "NVIDIA, Deep-Learning-Accelerator-SW; TensorRT issue 2222"
TYPED: Final = "NVIDIA, TensorRT 11.4.1 documentation"
UNREAD: Final = "general knowledge, not read in NVIDIA's text"

Version = tuple[int, ...]
NEWER: Final[Version] = (8, 6, 12)  # DLA 3.14 behind TensorRT; JetPack 6.0 ships 8.6.2
TEN: Final[Version] = (10,)
QDQ_SINCE: Final[Version] = (11, 4, 1)


@dataclass(frozen=True)
class Span:
    """From `low` to `high`, both allowed."""

    low: int
    high: int

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


# Everything (RESTRICTIONS, HEADER, HEADER_852).
MAX_BATCH: Final = 4096
MAX_SIDE: Final = 8192
LOADABLES_A_CORE: Final = 16  # the guide of 8.4 said 4 at a time
MAX_WEIGHTS_BYTES: Final = 1 << 29
MAX_INNER_BYTES: Final = 1 << 30  # of the tensors inside one loadable
CHANNELS: Final = Span(1, MAX_SIDE)

# Convolution and fully connected (HEADER, RESTRICTIONS, GUIDE_84, OPERATORS).
KERNEL: Final = Span(1, 32)
PADDING: Final = Span(0, 31)  # and smaller than the kernel on its axis
STRIDE: Final = Span(1, 8)
DILATION: Final = Span(1, 32)
GROUPS: Final = Span(1, MAX_SIDE)  # 1 to 4 where the input has the format DLA_HWC4, which we do not ask for
BANKS: Final = 16  # of the convolution buffer (CBUF), for weights and data together
BANK_BYTES: Final = 32768
BANK_ENTRIES: Final = 256

# Deconvolution (HEADER, RESTRICTIONS, GUIDE_84): kernel and stride, each also 1xN and Nx1 with N of LONG.
LONG: Final = (64, 96, 128)
SLOW_TO_COMPILE: Final = Span(23, 32)  # switched off by TensorRT where kernel and stride are square and in here

# Pooling (HEADER, HEADER_852, GUIDE_84).
POOL_WINDOW: Final = Span(1, 8)
POOL_PADDING: Final = Span(0, 7)
POOL_STRIDE: Final = Span(1, 16)

# Activation (HEADER, RESTRICTIONS, GUIDE_84, GUIDE_85).
ACTIVATIONS: Final = frozenset({"Relu", "Sigmoid", "Tanh", "Clip", "LeakyRelu"})
CLIP_AT: Final = Span(1, 127)
IN_HALF: Final = frozenset({"Sigmoid", "Tanh"})  # computed in FP16 in an INT8 network too

# ElementWise: HEADER lists the first five, RESTRICTIONS has Div and Pow as well. OPERATORS has ONNX's Min as not
# supported although HEADER lists kMIN: the header is believed.
ARITHMETIC_SINCE: Final[dict[str, Version]] = {
    "Add": (), "Sum": (), "Sub": (), "Mul": (), "Max": (), "Min": (), "Div": NEWER, "Pow": TEN,
}  # fmt: skip
UNARY_SINCE: Final[dict[str, Version]] = {"Abs": (), "Sin": NEWER, "Cos": NEWER, "Atan": NEWER}  # HEADER has Abs only
COMPARISON_SINCE: Final[dict[str, Version]] = {"Equal": (), "Greater": NEWER, "Less": NEWER}

LRN_WINDOWS: Final = (3, 5, 7, 9)

# Resize (HEADER, GUIDE_84): whole scales; the pairs of coordinate and rounding modes in ONNX's words.
NEAREST_SCALE: Final = Span(1, 32)
LINEAR_SCALE: Final = Span(1, 4)
NEAREST_MODES: Final = frozenset(
    {("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")}
)
LINEAR_MODES: Final = frozenset({"half_pixel", "pytorch_half_pixel"})  # the second is the first with selector UPPER

SOFTMAX_FAST_AXIS: Final = 1024  # beyond one value a position; with one value only, MAX_SIDE

# Slice and SoftMax: FP16 only in GUIDE_85; INT8 from 10 on is UNREAD, and REFERENCE still names FP16 alone.
HALF_ONLY_BEFORE: Final[Version] = TEN

# What OPERATORS lists otherwise.
RECONSTRUCTED: Final = frozenset(
    {
        "And", "CumSum", "DepthToSpace", "GRU", "LSTM", "Neg", "Not", "Or", "RNN", "ReduceSum", "Scatter",
        "ScatterElements", "ScatterND", "SpaceToDepth", "Where", "Xor",
    }
)  # fmt: skip
REFUSED: Final = frozenset(
    {
        "Acos", "Acosh", "Asin", "Asinh", "Atanh", "Ceil", "Celu", "Cosh", "Elu", "Erf", "Exp", "Expand", "Flatten",
        "Floor", "GlobalLpPool", "GreaterOrEqual", "GroupNormalization", "HardSigmoid", "HardSwish",
        "InstanceNormalization", "LayerNormalization", "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "LpPool",
        "Mean", "MeanVarianceNormalization", "Mish", "Mod", "Pad", "ReduceL1", "ReduceL2", "ReduceLogSum",
        "ReduceLogSumExp", "ReduceSumSquare", "Reciprocal", "Round", "Selu", "Shrink", "Sign", "Sinh", "Softplus",
        "Softsign", "Sqrt", "Squeeze", "Tan", "ThresholdedRelu", "Tile", "Unsqueeze",
    }
)  # fmt: skip
AVERAGES: Final = frozenset({"GlobalAveragePool", "ReduceMean"})
NEVER: Final = frozenset({"Gather", "GatherElements", "GatherND"})  # HEADER, of IGatherLayer
