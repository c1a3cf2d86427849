"""The proof run: does the engine say what the FP32 network says? `python -m edgeagent.engine.build.verify`.

A process of its own, so that an engine that crashes is noticed and nothing else falls. Reads a `VerifyRequest` as one
JSON line from stdin, prints an `Agreement` as one on stdout, or a `Fault` and exits 1.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from edgeagent.engine.calibration import find_set
from edgeagent.engine.manifest import Agreement
from edgeagent.errors import EdgeAgentError, EngineError
from edgeagent.inference.session import InferenceSession, open_session
from edgeagent.supervise.lifeline import tie_to_parent
from edgeagent.supervise.program import fault_of
from edgeagent.vision.detections import Candidates, Detections
from edgeagent.vision.nms import select_detections
from edgeagent.vision.scoring import Detected, agreement, mean_average_precision_50

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TRUTH_SCORE = 0.35
ENGINE_SCORE = 0.05
IOU = 0.5


class VerifyRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    backend: str
    plan: str
    reference: str
    calibration: str
    threads: int


def verify_engine(request: VerifyRequest) -> Agreement:
    """Run plan and reference over the held-out frames. Raises EngineError when either does not load or run."""
    found = find_set(Path(request.calibration))
    if found is None or found.record.holdout == 0:
        raise EngineError("there are no held-out frames to compare on", code="no_calibration", retry=True)
    frames = list(found.held_out())
    reference, reference_ms = _run_all(open_session("onnxruntime", Path(request.reference), request.threads), frames)
    engine, engine_ms = _run_all(open_session(request.backend, Path(request.plan), request.threads), frames)
    return compare(engine, reference, engine_ms, reference_ms)


def _run_all(session: InferenceSession, frames: list[npt.NDArray[np.uint8]]) -> tuple[list[Candidates], float]:
    """Candidates of every frame, and the median milliseconds a frame took."""
    found, times = [], []
    for frame in frames:
        started = time.perf_counter()
        found.extend(session.run(frame[None]))
        times.append((time.perf_counter() - started) * 1000)
    session.close()
    return found, sorted(times)[len(times) // 2]


def compare(engine: list[Candidates], reference: list[Candidates], engine_ms: float, reference_ms: float) -> Agreement:
    """The engine's detections against the reference's, taken as truth (see `Agreement`)."""
    truths = [_select(candidates, TRUTH_SCORE) for candidates in reference]
    count = sum(len(truth) for truth in truths)
    times = {"engine_ms": round(engine_ms, 3), "reference_ms": round(reference_ms, 3)}
    if count == 0:
        value = 1.0 - _mean_score_difference(engine, reference)
        return Agreement(value=round(value, 4), basis="scores", frames=len(truths), reference_detections=0, **times)
    found = [_select(candidates, ENGINE_SCORE) for candidates in engine]
    score = mean_average_precision_50([_rows(d) for d in found], [(t.boxes, t.class_ids) for t in truths])
    alike = agreement([_rows(_select(c, TRUTH_SCORE)) for c in engine], [_rows(t) for t in truths])
    return Agreement(
        value=round(score.mean, 4),
        basis="detections",
        frames=len(truths),
        reference_detections=count,
        mean_iou=round(alike.mean_iou, 4),
        mean_score_difference=round(alike.mean_score_difference, 4),
        **times,
    )


def _rows(found: Detections) -> Detected:
    return found.boxes, found.scores, found.class_ids


def _select(candidates: Candidates, min_score: float) -> Detections:
    return select_detections(candidates, min_score=min_score, iou=IOU, limit=300)


def _mean_score_difference(engine: list[Candidates], reference: list[Candidates]) -> float:
    """Mean absolute difference of the ten best scores a frame, 1.0 where one of them is not a number."""
    pairs = [float(abs(a.scores[:10] - b.scores[:10]).mean()) for a, b in zip(engine, reference, strict=True)]
    return sum(pair if math.isfinite(pair) else 1.0 for pair in pairs) / max(1, len(pairs))


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
