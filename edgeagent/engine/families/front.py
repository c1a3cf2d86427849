"""The front graft: camera frames in, what the network wants out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from edgeagent.engine.bundle import InputSpec
from edgeagent.engine.families.pieces import FRAMES, Sketch, full_name
from edgeagent.errors import ModelError

IMAGE = "image"


def graft_front(spec: InputSpec, opset: int, ir_version: int) -> onnx.ModelProto:
    """uint8 (1, H, W, 3) BGR `frames` -> float32 (1, 3, H, W) `image` in the network's colours and scale.

    Raises ModelError when scale, mean and std leave the range of float32.
    """
    factor, offset = _scaling(spec)
    order = [2, 1, 0] if spec.color == "rgb" else [0, 1, 2]
    g = Sketch(opset)
    g.op("Cast", [FRAMES], "float", to=TensorProto.FLOAT)
    g.op("Transpose", ["float"], "planes", perm=[0, 3, 1, 2])
    g.op("Gather", ["planes", g.whole_numbers("order", order)], "colours", axis=1)
    shifted = bool(offset.any())
    g.op("Mul", ["colours", g.constant("factor", factor)], "scaled" if shifted else IMAGE)
    if shifted:
        g.op("Add", ["scaled", g.constant("offset", offset)], IMAGE)
    return g.model(
        "front",
        [helper.make_tensor_value_info(FRAMES, TensorProto.UINT8, [1, spec.height, spec.width, 3])],
        [helper.make_tensor_value_info(full_name(IMAGE), TensorProto.FLOAT, [1, 3, spec.height, spec.width])],
        ir_version,
    )


def _scaling(spec: InputSpec) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(pixel * scale - mean) / std as one factor and one offset a channel, float32 (1, 3, 1, 1) each."""
    std = np.array(spec.std)
    with np.errstate(over="ignore", under="ignore"):
        factor, offset = (spec.scale / std).astype(np.float32), (-np.array(spec.mean) / std).astype(np.float32)
    if not (np.isfinite(factor).all() and np.isfinite(offset).all() and factor.all()):
        raise ModelError(
            f"scale {spec.scale:g}, mean {spec.mean} and std {spec.std} leave the range of float32",
            mend="check them in model.toml",
            code="model_scaling",
        )
    return factor.reshape(1, 3, 1, 1), offset.reshape(1, 3, 1, 1)
