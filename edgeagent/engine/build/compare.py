"""The arithmetic of the acceptance gate: how far an engine says what the FP32 reference says. Pure.

It is the same for every precision: FP16 and FP32 engines are compared too, since a backend may compute wrong in any.

detections  the reference sees something: its detections of TRUTH_SCORE and more are the truth, and `value` is the mAP50
            of the engine's detections of ENGINE_SCORE and more. A class without truth has no AP; one that the engine is
            sure of (ALARM_SCORE) where the reference does not even suspect it (HINT_SCORE) counts as one of AP 0.
scores      the reference sees nothing: `value` is one minus the mean difference of the ten best scores a frame.
classes     a classifier: `value` is the share of frames whose best class is the reference's.

`value` is 0 where the engine has answered with something that is no number, whatever the rest is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.engine.bundle import Task
from edgeagent.engine.manifest import Agreement
from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates, Detections
from edgeagent.vision.nms import select_detections
from edgeagent.vision.scoring import Detected, agreement, mean_average_precision_50

Floats = npt.NDArray[np.floating[Any]]
TRUTH_SCORE = 0.35
ENGINE_SCORE = 0.05
ALARM_SCORE = 0.5
HINT_SCORE = 0.2
IOU = 0.5
BEST = 10


def compare(
    engine: Sequence[Candidates],
    reference: Sequence[Candidates],
    engine_ms: float,
    reference_ms: float,
    *,
    task: Task = "detect",
    nms: bool = True,
) -> Agreement:
    """The engine's candidates against the reference's, frame by frame (see above and `Agreement`).

    `nms`: whether the network's family needs NMS. Raises EngineError `no_frames` for no or unequally many frames,
    `reference_not_finite` where the reference itself gives no numbers.
    """
    _check(engine, reference)
    found = _classes(engine, reference) if task == "classify" else _detections(engine, reference, nms)
    return found.model_copy(
        update={
            "value": 0.0 if any(_has_nan(one) for one in engine) else round(min(1.0, max(0.0, found.value)), 4),
            "cosine": _rounded(_cosine(engine, reference)),
            "engine_ms": round(engine_ms, 3),
            "reference_ms": round(reference_ms, 3),
        }
    )


def _check(engine: Sequence[Candidates], reference: Sequence[Candidates]) -> None:
    if len(engine) != len(reference) or not reference:
        raise EngineError(
            f"there are {len(engine)} answers of the engine and {len(reference)} of the reference to compare",
            code="no_frames",
        )
    if any(_has_nan(one) for one in reference):
        raise EngineError(
            "the FP32 network itself computes no numbers on the held-out frames",
            mend="check scale, mean and std in model.toml, and the network",
            code="reference_not_finite",
        )


def _has_nan(candidates: Candidates) -> bool:
    return bool(np.isnan(candidates.scores).any() or np.isnan(candidates.boxes).any())


def _detections(engine: Sequence[Candidates], reference: Sequence[Candidates], nms: bool) -> Agreement:
    iou = IOU if nms else None
    truths = [_select(candidates, TRUTH_SCORE, iou) for candidates in reference]
    count = sum(len(truth) for truth in truths)
    if count == 0:
        return _made("scores", len(truths), 1.0 - _mean_score_difference(engine, reference))
    found = [_rows(_select(candidates, ENGINE_SCORE, iou)) for candidates in engine]
    score = mean_average_precision_50(found, [(truth.boxes, truth.class_ids) for truth in truths])
    classes = len(score.by_class)
    alarms = len(_false_alarms(engine, reference, iou) - set(score.by_class))
    sure = [_rows(_select(candidates, TRUTH_SCORE, iou)) for candidates in engine]
    alike = agreement(sure, [_rows(truth) for truth in truths])
    return _made(
        "detections",
        len(truths),
        score.mean * classes / (classes + alarms),
        reference_detections=count,
        mean_iou=round(alike.mean_iou, 4),
        mean_score_difference=round(alike.mean_score_difference, 4),
    )


def _false_alarms(engine: Sequence[Candidates], reference: Sequence[Candidates], iou: float | None) -> set[int]:
    """Classes that the engine is sure of in a frame in which the reference does not suspect them."""
    alarms: set[int] = set()
    for one, other in zip(engine, reference, strict=True):
        sure = set(_select(one, ALARM_SCORE, iou).class_ids.tolist())
        alarms |= sure - set(_select(other, HINT_SCORE, iou).class_ids.tolist())
    return alarms


def _made(basis: str, frames: int, value: float, **more: object) -> Agreement:
    facts = {"reference_detections": 0, "engine_ms": 0.0, "reference_ms": 0.0, **more}
    return Agreement.model_validate({"basis": basis, "frames": frames, "value": value, **facts})


def _select(candidates: Candidates, min_score: float, iou: float | None) -> Detections:
    return select_detections(candidates, min_score=min_score, iou=iou, limit=300)


def _rows(found: Detections) -> Detected:
    return found.boxes, found.scores, found.class_ids


def _mean_score_difference(engine: Sequence[Candidates], reference: Sequence[Candidates]) -> float:
    """Mean absolute difference of the ten best scores a frame, 1.0 where one of them is not a number."""
    pairs = [_score_difference(one.scores, other.scores) for one, other in zip(engine, reference, strict=True)]
    return sum(pairs) / len(pairs)


def _score_difference(ours: Floats, theirs: Floats) -> float:
    """Scores that one side does not have count as 0."""
    length = min(BEST, max(len(ours), len(theirs)))
    both = zip(_padded(ours, length), _padded(theirs, length), strict=True)
    differences = [abs(one - other) for one, other in both]
    mean = sum(differences) / length if length else 0.0
    return mean if math.isfinite(mean) else 1.0


def _padded(scores: Floats, length: int) -> list[float]:
    found = [float(score) for score in scores[:length]]
    return found + [0.0] * (length - len(found))


def _classes(engine: Sequence[Candidates], reference: Sequence[Candidates]) -> Agreement:
    """Candidates of a classifier are classes, best first. `mean_score_difference` is that of the reference's best."""
    pairs = list(zip(engine, reference, strict=True))
    same = sum(_best(one) == _best(other) for one, other in pairs)
    differences = [abs(_score_of(one, _best(other)) - _score_of(other, _best(other))) for one, other in pairs]
    mean = sum(differences) / len(differences)
    return _made(
        "classes",
        len(pairs),
        same / len(pairs),
        reference_detections=len(pairs),
        mean_score_difference=round(mean, 4) if math.isfinite(mean) else None,
    )


def _best(candidates: Candidates) -> int:
    return int(candidates.class_ids[0]) if len(candidates) else -1


def _score_of(candidates: Candidates, class_id: int) -> float:
    """The score of a class, 0 where it is not among the candidates."""
    scores = candidates.scores[candidates.class_ids == class_id]
    return float(scores[0]) if len(scores) else 0.0


def _cosine(engine: Sequence[Candidates], reference: Sequence[Candidates]) -> float | None:
    """Between all scores of the engine and of the reference, rank by rank; None where there is nothing to compare.

    It hardly tells one detector from another, since both lists fall; it is there to show an engine gone astray.
    """
    dot = ours = theirs = 0.0
    for one, other in zip(engine, reference, strict=True):
        length = max(len(one), len(other))
        for a, b in zip(_padded(one.scores, length), _padded(other.scores, length), strict=True):
            dot, ours, theirs = dot + a * b, ours + a * a, theirs + b * b
    if not all(map(math.isfinite, (dot, ours, theirs))) or ours == 0.0 or theirs == 0.0:
        return None
    return min(1.0, dot / math.sqrt(ours * theirs))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
