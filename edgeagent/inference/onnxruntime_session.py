"""Engines on ONNX Runtime: the way on machines without TensorRT, and the reference everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]


class OnnxRuntimeSession:
    """A grafted ONNX (see edgeagent/engine/graft.py) on the CPU. The plan is the ONNX file's bytes."""

    def __init__(self, plan: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # spinning threads answer a little sooner and burn a core while no frame is there
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                plan.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            first = str(error).splitlines()[0][:200]
            raise EngineError(f"ONNX Runtime does not load the engine: {first}", code="engine_load") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(uint8)" or len(inputs[0].shape) != 4:
            raise EngineError("the plan is no grafted engine: it does not take uint8 frames", code="engine_load")
        self._name = inputs[0].name
        self.batch, self.height, self.width = (int(side) for side in inputs[0].shape[:3])

    def run(self, frames: Frames) -> list[Candidates]:
        boxes, scores, classes = self._session.run(["boxes", "scores", "classes"], {self._name: frames})
        return [
            Candidates(np.asarray(b), np.asarray(s), np.asarray(c))
            for b, s, c in zip(boxes, scores, classes, strict=True)
        ]

    def close(self) -> None:
        del self._session
