"""Pictures of what has come into view: when one is due, and what it looks like. No clock; time is capture time.

Something has come when a thing got a number that is new, or, where nothing is tracked, when there is more of a class
than in the result before. The picture is the frame that the engine saw, without the bars of its letterbox.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeagent.inference.messages import ResultRow
from edgeagent.vision.drawing import Mark, draw_marks, encode_jpeg, mark_text
from edgeagent.vision.letterbox import Letterbox

Image = npt.NDArray[np.uint8]

MOST_BYTES: Final = 88_000  # in base64 and with its message it stays below the 128 KiB of the link
MOST_SIDE: Final = 1280


@dataclass
class Arrivals:
    """What a pipeline has seen so far; outlives its engines."""

    highest: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    taken_ns: int | None = None

    def is_due(self, rows: Sequence[ResultRow], interval_s: float, at_ns: int, *, tracked: bool) -> bool:
        """Whether a picture is to be taken of the frame with these rows; what comes before the time is up has none.
        `tracked`: things have numbers, which stand in the rows."""
        come = self._has_new_number(rows) if tracked else self._has_more(rows)
        if not come or (self.taken_ns is not None and at_ns - self.taken_ns < int(interval_s * 1e9)):
            return False
        self.taken_ns = at_ns
        return True

    def _has_new_number(self, rows: Sequence[ResultRow]) -> bool:
        before = self.highest
        self.highest = max([before, *(row[6] for row in rows if len(row) > 6)])
        return self.highest > before

    def _has_more(self, rows: Sequence[ResultRow]) -> bool:
        counts = Counter(row[0] for row in rows)
        more = any(count > self.counts[class_id] for class_id, count in counts.items())
        self.counts = counts
        return more


def draw_snapshot(
    frame: Image, box: Letterbox, rows: Sequence[ResultRow], classes: Sequence[str], *, drawn: bool
) -> str:
    """The JPEG, in base64, of a frame uint8 (H, W, 3) BGR as it lies in the engine's input."""
    picture = without_bars(frame, box)
    if drawn:
        picture = draw_marks(picture, [_mark(row, classes, box) for row in rows])
    return base64.b64encode(encode_jpeg(picture, max_bytes=MOST_BYTES, max_side=MOST_SIDE)).decode()


def without_bars(frame: Image, box: Letterbox) -> Image:
    width, height = box.inner
    x, y = int(box.pad_x), int(box.pad_y)
    return frame[y : y + height, x : x + width]


def _mark(row: ResultRow, classes: Sequence[str], box: Letterbox) -> Mark:
    """`row` is in source pixels; the picture is the source scaled."""
    x1, y1, x2, y2 = (side * box.scale for side in row[2:6])
    return Mark((x1, y1, x2, y2), mark_text(classes[row[0]], row[1], row[6] if len(row) > 6 else 0), row[0])
