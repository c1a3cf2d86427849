"""Bodies of the kinds that quantisation meets, each as a grafted-looking float network. No tests in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

Array = npt.NDArray[Any]
SIDE = 16


class Body:
    """A network from uint8 frames (1, 16, 16, 3) to float results, put together call by call.

    Every method takes and returns tensor names; nodes are called like their output. A last convolution `head` keeps
    everything before it in the body.
    """

    def __init__(self, seed: int = 0, opset: int = 17) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)
        self._opset = opset
        self.op("Cast", ["frames"], "edgeagent/float", to=TensorProto.FLOAT)
        self.op("Transpose", ["edgeagent/float"], "edgeagent/planes", perm=[0, 3, 1, 2])
        self.op("Mul", ["edgeagent/planes", self.constant("edgeagent/factor", np.float32(1 / 255))], "edgeagent/image")

    def op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        outputs = attributes.pop("outputs", [output])
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"n_{output}", **attributes))
        return output

    def constant(self, name: str, array: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape)) // shape[0])
        return self.constant(name, self._rng.normal(0, 1.2 / np.sqrt(fan_in), shape).astype(np.float32))

    def conv(self, source: str, name: str, inputs: int, outputs: int, kernel: int = 3, **more: Any) -> str:
        group = more.get("group", 1)
        weight = self.weight(f"{name}_w", outputs, inputs // group, kernel, kernel)
        bias = self.constant(f"{name}_b", self._rng.normal(0, 0.2, outputs).astype(np.float32))
        return self.op("Conv", [source, weight, bias], name, pads=[kernel // 2] * 4, **more)

    def relu(self, source: str, name: str) -> str:
        return self.op("Relu", [source], name)

    def silu(self, source: str, name: str) -> str:
        return self.op("Mul", [source, self.op("Sigmoid", [source], f"{name}_sure")], name)

    def model(self, *results: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "body",
            [helper.make_tensor_value_info("frames", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=8)
        model = shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model)
        return model


def residual() -> onnx.ModelProto:
    """Two ResNet blocks: one with a plain skip, one with a convolution on it."""
    b = Body()
    stem = b.relu(b.conv("edgeagent/image", "stem", 3, 8), "stem_relu")
    inner = b.relu(b.conv(stem, "a1", 8, 8), "a1_relu")
    one = b.relu(b.op("Add", [b.conv(inner, "a2", 8, 8), stem], "a_sum"), "a_out")
    down = b.conv(one, "b_skip", 8, 8, 1, strides=[2, 2])
    inner = b.relu(b.conv(one, "b1", 8, 8, strides=[2, 2]), "b1_relu")
    two = b.relu(b.op("Add", [b.conv(inner, "b2", 8, 8), down], "b_sum"), "b_out")
    return b.model(b.conv(two, "head", 8, 4, 1))


def yolo_block() -> onnx.ModelProto:
    """YOLOv8's C2f and SPPF with SiLU, and an upsampled neck."""
    b = Body()
    stem = b.silu(b.conv("edgeagent/image", "stem", 3, 8, strides=[2, 2]), "stem_out")
    b.op("Split", [stem, b.constant("halves", np.array([4, 4]))], "left", axis=1, outputs=["left", "right"])
    inner = b.silu(b.conv(b.silu(b.conv("right", "m1", 4, 4), "m1_out"), "m2", 4, 4), "m2_out")
    joined = b.op("Concat", ["left", "right", b.op("Add", ["right", inner], "m_sum")], "joined", axis=1)
    c2f = b.silu(b.conv(joined, "c2f", 12, 8, 1), "c2f_out")
    pool = {"kernel_shape": [5, 5], "pads": [2] * 4, "strides": [1, 1]}
    p1 = b.op("MaxPool", [c2f], "p1", **pool)
    p2 = b.op("MaxPool", [p1], "p2", **pool)
    sppf = b.silu(b.conv(b.op("Concat", [c2f, p1, p2], "pools", axis=1), "sppf", 24, 8, 1, strides=[2, 2]), "sppf_out")
    scales = b.constant("scales", np.array([1, 1, 2, 2], np.float32))
    up = b.op("Resize", [sppf, "", scales], "up", mode="nearest", coordinate_transformation_mode="asymmetric")
    neck = b.silu(b.conv(b.op("Concat", [up, c2f], "neck_in", axis=1), "neck", 16, 8), "neck_out")
    sure = b.op("Sigmoid", [b.conv(neck, "head", 8, 4, 1)], "sure")
    return b.model(sure)


def depthwise() -> onnx.ModelProto:
    """MobileNet's blocks: 3x3 a channel, then 1x1, with ReLU6."""
    b = Body()
    low, high = b.constant("low", np.float32(0)), b.constant("high", np.float32(6))
    x = b.op("Clip", [b.conv("edgeagent/image", "stem", 3, 8), low, high], "stem_out")
    y = b.op("Clip", [b.conv(x, "dw", 8, 8, group=8), low, high], "dw_out")
    return b.model(b.conv(b.op("Add", [b.conv(y, "pw", 8, 8, 1), x], "sum"), "head", 8, 4, 1))


def transposed() -> onnx.ModelProto:
    """A decoder: a transposed convolution with weights of its own, and one a channel that only enlarges."""
    b = Body()
    x = b.relu(b.conv("edgeagent/image", "stem", 3, 8, strides=[2, 2]), "stem_out")
    how = {"kernel_shape": [2, 2], "strides": [2, 2]}
    up = b.relu(b.op("ConvTranspose", [x, b.weight("up_w", 8, 6, 2, 2)], "up", **how), "up_out")
    each = b.op("ConvTranspose", [up, b.weight("each_w", 6, 1, 2, 2)], "each", group=6, **how)
    return b.model(b.conv(each, "head", 6, 4, 1))


def gemm_classifier(trans_b: int = 1, alpha: float = 1.0, beta: float = 1.0) -> onnx.ModelProto:
    b = Body()
    x = b.relu(b.conv("edgeagent/image", "stem", 3, 8, strides=[2, 2]), "stem_out")
    flat = b.op("Flatten", [b.op("GlobalAveragePool", [x], "mean")], "flat")
    factors = [flat, b.weight("fc1_w", 8, 8), b.weight("fc1_b", 8)]
    hidden = b.relu(b.op("Gemm", factors, "fc1", transB=trans_b, alpha=alpha, beta=beta), "fc1_out")
    out = b.op("Gemm", [hidden, b.weight("fc2_w", 5, 8), b.weight("fc2_b", 5)], "fc2", transB=1, beta=beta)
    return b.model(b.op("Softmax", [out], "probabilities", axis=1))


def matmul_classifier() -> onnx.ModelProto:
    b = Body()
    x = b.relu(b.conv("edgeagent/image", "stem", 3, 8, strides=[2, 2]), "stem_out")
    flat = b.op("Flatten", [b.op("GlobalAveragePool", [x], "mean")], "flat")
    hidden = b.relu(b.op("Add", [b.op("MatMul", [flat, b.weight("fc1_w", 8, 8)], "fc1"), b.weight("fc1_b", 8)], "b1"),
                    "fc1_out")  # fmt: skip
    return b.model(b.op("Softmax", [b.op("MatMul", [hidden, b.weight("fc2_w", 8, 5)], "fc2")], "out", axis=1))


def attention() -> onnx.ModelProto:
    """A product of two activations with a Softmax between, as YOLO11's backbone has it, then a convolution."""
    b = Body()
    x = b.relu(b.conv("edgeagent/image", "stem", 3, 8, strides=[2, 2]), "stem_out")
    q = b.op("Reshape", [b.conv(x, "q", 8, 8, 1), b.constant("rows", np.array([1, 8, 64]))], "q_flat")
    turned = b.op("Transpose", [q], "k", perm=[0, 2, 1])
    soft = b.op("Softmax", [b.op("MatMul", [turned, q], "weights")], "soft", axis=-1)
    mixed = b.op("Reshape", [b.op("MatMul", [q, soft], "mixed"), b.constant("planes", np.array([1, 8, 8, 8]))], "back")
    return b.model(b.conv(mixed, "head", 8, 4, 1))


def shared_weights() -> onnx.ModelProto:
    """One convolution's weights on two levels, as SSD-like heads have them, held by a Constant node."""
    b = Body()
    x = b.relu(b.conv("edgeagent/image", "stem", 3, 8), "stem_out")
    down = b.op("MaxPool", [x], "down", kernel_shape=[2, 2], strides=[2, 2])
    array = np.random.default_rng(5).normal(0, 0.2, (4, 8, 3, 3)).astype(np.float32)
    b.nodes.append(helper.make_node("Constant", [], ["w"], name="n_w", value=numpy_helper.from_array(array, "w")))
    return b.model(*(b.op("Conv", [each, "w"], f"{each}_head", pads=[1] * 4) for each in (x, down)))


BODIES: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual,
    "yolo_block": yolo_block,
    "depthwise": depthwise,
    "transposed": transposed,
    "gemm_classifier": gemm_classifier,
    "matmul_classifier": matmul_classifier,
    "attention": attention,
    "shared_weights": shared_weights,
}
