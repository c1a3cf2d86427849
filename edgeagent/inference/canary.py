"""The canary: a drawn frame, and what an engine says of it, so that one that goes wrong later is noticed. Pure.

An engine that was accepted is right when it is first loaded: its build has compared it with the network. Its answer
then is the known one: to the same engine in the same process every few minutes, and to each new process that loads it.
The answer is boiled down to a few numbers that do not depend on the order of the candidates, so that kernels which
round a little differently from run to run do not look like another answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Candidates

BEST = 8
SCORE_TOLERANCE = 0.03
PLACE_TOLERANCE = 0.02  # of the input's longer side
_FLOOR = 1e-3  # weight of a candidate that scores nothing

Answer = tuple[float, ...]


def canary_frame(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A frame with slopes, edges and grain; always the same for a size."""
    rows, columns = np.mgrid[0:height, 0:width]
    slope = (rows * 255 // max(1, height - 1), columns * 255 // max(1, width - 1), (rows + columns) % 256)
    frame = np.stack(slope, axis=-1).astype(np.uint8)
    rng = np.random.default_rng(6)
    for _ in range(12):
        top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
        tall, wide = int(rng.integers(1, height // 4 + 2)), int(rng.integers(1, width // 4 + 2))
        frame[top : top + tall, left : left + wide] = rng.integers(0, 256, 3, np.uint8)
    grain = rng.integers(0, 24, frame.shape, np.uint8)
    return np.asarray(frame // 2 + grain + 50, np.uint8)


def answer_of(candidates: Candidates, height: int, width: int) -> Answer:
    """The best scores, then the mean box by score, in shares of the longer side. NaN where it gives no numbers."""
    scores = candidates.scores.astype(np.float64)
    if not len(scores):
        return (0.0,) * (BEST + 4)
    best = np.zeros(BEST)
    top = -np.sort(-scores)[:BEST]
    best[: len(top)] = top
    weights = np.maximum(scores, 0.0) ** 2 + _FLOOR**2
    with np.errstate(invalid="ignore"):  # what is no number shall stay none
        box = (candidates.boxes.astype(np.float64) * weights[:, None]).sum(axis=0) / weights.sum()
    return tuple(round(float(value), 5) for value in (*best, *(box / max(height, width))))


def is_known(answer: Answer) -> bool:
    """Whether an answer can be compared with: an engine that gives no numbers has none."""
    return bool(answer) and all(np.isfinite(answer))


def difference(answer: Answer, known: Sequence[float]) -> str:
    """In what the answer is another one than the known one, as a phrase; "" where it is the same within tolerance."""
    if not is_known(answer):
        return "it gives no numbers"
    if len(answer) != len(known):
        return "its answer has another form"
    apart = np.abs(np.subtract(answer, known))
    if (score := float(apart[:BEST].max())) > SCORE_TOLERANCE:
        return f"a score differs by {score:.3f}"
    if (place := float(apart[BEST:].max())) > PLACE_TOLERANCE:
        return f"boxes lie elsewhere by {place:.3f} of the picture"
    return ""
