"""Engines on ONNX Runtime: the way on machines without TensorRT, and the reference everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from edgeagent.errors import EngineError
from edgeagent.inference.checks import closed
from edgeagent.inference.halves import Halves
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]
OUTPUTS = ["boxes", "scores", "classes"]
MOST_FRAMES = "edgeagent.max_batch"  # as edgeagent/engine/batching.py writes it
MOST_SANE = 256


class OnnxRuntimeSession(Halves):
    """A grafted ONNX (see edgeagent/engine/graft.py) on the CPU. The plan is the ONNX file's bytes. One that leaves the
    number of frames open says in its metadata how many there may be (edgeagent/engine/batching.py)."""

    def __init__(self, plan: Path, threads: int) -> None:
        super().__init__()
        self.how = f"ONNX Runtime on the CPU, {threads} thread" + "s" * (threads != 1)
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
        self._name, shape = _checked(session)
        self.pads = isinstance(shape[0], int)
        self.batch = shape[0] if isinstance(shape[0], int) else _most_frames(session)
        self.height, self.width = shape[1:3]
        self._session: onnxruntime.InferenceSession | None = session

    def _run(self, frames: Frames) -> list[Candidates]:
        if self._session is None:
            raise closed()
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


def _checked(session: onnxruntime.InferenceSession) -> tuple[str, tuple[int | str, int, int]]:
    """The input's name and its first three sides; the first is a name where it is open. Raises EngineError when the
    plan is no grafted engine."""
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    shape = tuple(inputs[0].shape) if len(inputs) == 1 and inputs[0].type == "tensor(uint8)" else ()
    if len(shape) != 4 or not all(isinstance(side, int) for side in shape[1:]) or shape[3] != 3:
        raise EngineError("the plan is no grafted engine: it does not take uint8 frames", code="engine_load")
    if not set(OUTPUTS) <= set(outputs):
        raise EngineError("the plan is no grafted engine: it does not give candidates", code="engine_load")
    return inputs[0].name, (shape[0] or "", shape[1], shape[2])


def _most_frames(session: onnxruntime.InferenceSession) -> int:
    told = session.get_modelmeta().custom_metadata_map.get(MOST_FRAMES, "")
    if not told.isdecimal() or not 0 < int(told) <= MOST_SANE:
        raise EngineError("the plan does not say how many frames it takes at once", code="engine_load")
    return int(told)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
