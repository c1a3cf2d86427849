"""Engines on ONNX Runtime: the way on machines without TensorRT, and the reference everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from edgeagent.errors import EngineError
from edgeagent.inference.checks import check_batch, closed
from edgeagent.inference.halves import Halves
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]
OUTPUTS = ["boxes", "scores", "classes"]


class OnnxRuntimeSession(Halves):
    """A grafted ONNX (see edgeagent/engine/graft.py) on the CPU. The plan is the ONNX file's bytes."""

    def __init__(self, plan: Path, threads: int) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # spinning threads answer a little sooner and burn a core while no frame is there
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # by path, because ONNX Runtime holds the GIL while it reads bytes, and the loop beside would stand still
            session = onnxruntime.InferenceSession(str(plan), sess_options=options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(f"ONNX Runtime does not load the engine: {_line(error)}", code="engine_load") from error
        self._name, self._shape = _checked(session)
        self.batch, self.height, self.width = self._shape[:3]
        self._session: onnxruntime.InferenceSession | None = session

    def run(self, frames: Frames) -> list[Candidates]:
        if self._session is None:
            raise closed()
        check_batch(frames, self._shape)
        try:
            boxes, scores, classes = self._session.run(OUTPUTS, {self._name: frames})
        except Exception as error:
            raise EngineError(f"the engine failed: {_line(error)}", code="engine_run", retry=True) from error
        return [
            Candidates(np.asarray(b), np.asarray(s), np.asarray(c))
            for b, s, c in zip(boxes, scores, classes, strict=True)
        ]

    def close(self) -> None:
        super().close()
        self._session = None


def _checked(session: onnxruntime.InferenceSession) -> tuple[str, tuple[int, int, int, int]]:
    """The input's name and shape. Raises EngineError when the plan is no grafted engine."""
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    shape = tuple(inputs[0].shape) if len(inputs) == 1 and inputs[0].type == "tensor(uint8)" else ()
    if len(shape) != 4 or not all(isinstance(side, int) for side in shape) or shape[3] != 3:
        raise EngineError("the plan is no grafted engine: it does not take uint8 frames", code="engine_load")
    if not set(OUTPUTS) <= set(outputs):
        raise EngineError("the plan is no grafted engine: it does not give candidates", code="engine_load")
    return inputs[0].name, (shape[0], shape[1], shape[2], shape[3])


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
