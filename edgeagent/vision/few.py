"""The few things of a usual frame, without a call of NumPy or OpenCV for each step.

A call costs tens of microseconds while caches are cold, as they are after every run of an engine, whatever is in its
arrays (figures: docs/numbers.md, beside Ultralytics). nms.py and letterbox.py say what comes out, and a test holds this
against them; where there are many boxes, or anything odd, they do it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from edgeagent.vision.detections import Candidates
from edgeagent.vision.letterbox import Letterbox
from edgeagent.vision.nms import FAR, MIN_SIDE

MOST = 24  # boxes; of one class so many take about as long either way while caches are warm
Row = tuple[int, float, float, float, float, float]


@dataclass(frozen=True)
class Few:
    """What of a frame is kept, as `select_detections` has it. `min_score`: a float32's value."""

    min_score: float
    iou: float | None
    limit: int
    keep: frozenset[int] | None = None

    def select(self, candidates: Candidates, box: Letterbox) -> list[Row] | None:
        """Class, score and corners in source pixels of each detection, best first; without those that lie in the bars.
        None where that is not for here: too many score enough, the best do not come first, a box is not sound."""
        least = self.min_score
        if len(candidates) > MOST and candidates.scores.item(MOST) >= least:
            return None
        every: list[float] = candidates.scores.tolist()
        scores = [score for score in every if score >= least]  # NaN compares false
        count = len(scores)
        if not count:
            return []
        if count > MOST or scores[0] == inf or scores != every[:count] or scores != sorted(scores, reverse=True):
            return None
        class_ids, corners = candidates.class_ids[:count].tolist(), candidates.boxes[:count].tolist()
        kept = self._kept(class_ids, corners)
        if kept is None:
            return None
        rows = [(class_ids[n], scores[n], *_to_source(corners[n], box)) for n in kept]
        return [row for row in rows if row[4] > row[2] and row[5] > row[3]]

    def _kept(self, class_ids: list[int], corners: list[list[float]]) -> list[int] | None:
        """Which of the boxes, best first, no better one of their class suppresses. None where one is not sound."""
        iou = inf if self.iou is None or self.iou >= 1.0 else self.iou
        kept: list[int] = []
        rivals: dict[int, list[tuple[float, float, float, float, float]]] = {}
        for number, (class_id, (left, top, right, low)) in enumerate(zip(class_ids, corners, strict=True)):
            if len(kept) >= self.limit:
                break
            if self.keep is not None and class_id not in self.keep:
                continue
            width, height = right - left, low - top
            within = left >= -FAR and top >= -FAR and right <= FAR and low <= FAR
            if not (within and width > MIN_SIDE and height > MIN_SIDE):  # NaN compares false
                return None
            area, others = width * height, rivals.setdefault(class_id, [])
            for other_left, other_top, other_right, other_low, other_area in others:
                if left < other_right and other_left < right and top < other_low and other_top < low:
                    across = min(right, other_right) - max(left, other_left)
                    shared = across * (min(low, other_low) - max(top, other_top))
                    if shared > iou * (area + other_area - shared):
                        break
            else:
                kept.append(number)
                others.append((left, top, right, low, area))
        return kept


def _to_source(corners: list[float], box: Letterbox) -> tuple[float, float, float, float]:
    """Clipped to the frame."""
    pad_x, pad_y, scale = box.pad_x, box.pad_y, box.scale
    left, top = (corners[0] - pad_x) / scale, (corners[1] - pad_y) / scale
    right, low = (corners[2] - pad_x) / scale, (corners[3] - pad_y) / scale
    width, height = float(box.source_width), float(box.source_height)
    if left >= 0.0 and top >= 0.0 and right <= width and low <= height:
        return left, top, right, low
    return (
        min(max(left, 0.0), width),
        min(max(top, 0.0), height),
        min(max(right, 0.0), width),
        min(max(low, 0.0), height),
    )
