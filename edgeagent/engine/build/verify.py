"""The proof run: does the engine say what the FP32 network says? `python -m edgeagent.engine.build.verify`.

A process of its own, so that an engine that crashes is noticed and nothing else falls. Reads a `VerifyRequest` as one
JSON line from stdin, prints an `Agreement` as one on stdout, or a `Fault` and exits 1.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgeagent.engine.build.compare import compare
from edgeagent.engine.bundle import Task
from edgeagent.engine.calibration import find_set
from edgeagent.engine.manifest import Agreement
from edgeagent.errors import EdgeAgentError, EngineError
from edgeagent.inference.session import InferenceSession, open_session
from edgeagent.supervise.lifeline import tie_to_parent
from edgeagent.supervise.program import fault_of
from edgeagent.vision.detections import Candidates

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class VerifyRequest(BaseModel):
    """What to prove. `task` and `nms` are the network's (network.py: `LoadedNetwork`): they say what is compared.
    `dla_core` and `plugins` are what the plan wants to be loaded with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    backend: str
    plan: str
    reference: str
    calibration: str
    threads: int
    task: Task = "detect"
    nms: bool = True
    dla_core: int | None = None
    plugins: tuple[str, ...] = ()


def verify_engine(request: VerifyRequest) -> Agreement:
    """Run plan and reference over the held-out frames. Raises EngineError when either does not load or run."""
    found = find_set(Path(request.calibration))
    if found is None or found.record.holdout == 0:
        raise EngineError("there are no held-out frames to compare on", code="no_calibration", retry=True)
    frames = list(found.held_out())
    reference, reference_ms = _run_all(open_session("onnxruntime", Path(request.reference), request.threads), frames)
    plugins = [Path(path) for path in request.plugins]
    session = open_session(
        request.backend, Path(request.plan), request.threads, dla_core=request.dla_core, plugins=plugins
    )
    engine, engine_ms = _run_all(session, frames)
    return compare(engine, reference, engine_ms, reference_ms, task=request.task, nms=request.nms)


def _run_all(session: InferenceSession, frames: list[npt.NDArray[np.uint8]]) -> tuple[list[Candidates], float]:
    """Candidates of every frame, and the median milliseconds a frame took."""
    found, times = [], []
    for frame in frames:
        started = time.perf_counter()
        found.extend(session.run(frame[None]))
        times.append((time.perf_counter() - started) * 1000)
    session.close()
    return found, sorted(times)[len(times) // 2]


def main() -> int:
    tie_to_parent()
    import cv2  # noqa: F401  needed in a moment; loaded while the plan is still being made
    import onnxruntime  # noqa: F401

    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    try:
        agreement = verify_engine(VerifyRequest.model_validate_json(line))
    except EdgeAgentError as error:
        sys.stdout.write(fault_of(error).model_dump_json() + "\n")
        return 1
    sys.stdout.write(agreement.model_dump_json() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
