"""The proof run: does the engine say what the FP32 network says? `python -m edgeagent.engine.build.verify`.

A process of its own, so that an engine that crashes is noticed and nothing else falls. An engine that takes several
frames at once is asked for each number of them: the frames go through alone, in twos, in threes. Reads a
`VerifyRequest` as one JSON line from stdin, prints an `Agreement` as one on stdout, or a `Fault` and exits 1.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
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
    `dla_core` and `plugins` are what the plan wants to be loaded with, `min_agreement` what it is to come up to."""

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
    min_agreement: float = 0.0


def verify_engine(request: VerifyRequest) -> Agreement:
    """Run plan and reference over the held-out frames. The worst of all numbers of frames at once; the time is that of
    a whole batch. Raises EngineError when either does not load or run, `batch_unsupported` when frames alone come up to
    what is wanted and several at once do not."""
    found = find_set(Path(request.calibration))
    if found is None or found.record.holdout == 0:
        raise EngineError("there are no held-out frames to compare on", code="no_calibration", retry=True)
    frames = list(found.held_out())
    with closing(open_session("onnxruntime", Path(request.reference), request.threads)) as session:
        reference, reference_ms = _run_all(session, frames, 1)
    plugins = [Path(path) for path in request.plugins]
    with closing(
        open_session(request.backend, Path(request.plan), request.threads, dla_core=request.dla_core, plugins=plugins)
    ) as session:
        found_by_size = [_run_all(session, frames, size) for size in range(1, session.batch + 1)]
    judged = [
        compare(engine, reference, engine_ms, reference_ms, task=request.task, nms=request.nms)
        for engine, engine_ms in found_by_size
    ]
    _check_sizes(judged, request.min_agreement)
    worst = min(judged, key=lambda one: one.value)
    return worst.model_copy(update={"engine_ms": judged[-1].engine_ms})


def _check_sizes(judged: list[Agreement], wanted: float) -> None:
    """`judged` for one frame at once, for two, and so on."""
    bad = [size for size, one in enumerate(judged, 1) if one.value < wanted]
    if bad and bad[0] > 1:
        raise EngineError(
            f"the engine agrees with the FP32 network to {judged[0].value:.3f} where frames go through it one by one, "
            f"and to {judged[bad[0] - 1].value:.3f} where {bad[0]} go together",
            mend="set max_batch = 1 for this model",
            code="batch_unsupported",
        )


def _run_all(
    session: InferenceSession, frames: list[npt.NDArray[np.uint8]], size: int
) -> tuple[list[Candidates], float]:
    """Candidates of every frame, and the median milliseconds that one took, `size` frames at once."""
    found: list[Candidates] = []
    times: list[float] = []
    while len(found) < len(frames):
        together = [frames[(len(found) + place) % len(frames)] for place in range(size)]
        started = time.perf_counter()
        session.submit(together)
        found.extend(session.collect())
        times.append((time.perf_counter() - started) * 1000 / size)
    return found[: len(frames)], sorted(times)[len(times) // 2]


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
