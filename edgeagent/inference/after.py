"""What happens to a frame's candidates after the engine: selection, source pixels, tracks, regions, and whether it is
worth telling. No clock, no channel: time is the frame's capture time.

An `After` belongs to an engine: it knows what its model's classes are and what the pipeline keeps. What must outlive an
engine (tracks and their numbers, what was told last, counts) is the pipeline's `Memory`, which every `After` of the
pipeline shares, so that engines can be swapped and swapped back without a hook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.inference.messages import AfterEngine, PipelineStart, ResultRow
from edgeagent.inference.snapshots import Arrivals
from edgeagent.vision.changes import Changes
from edgeagent.vision.detections import Candidates, Detections
from edgeagent.vision.few import Few
from edgeagent.vision.letterbox import Letterbox, map_to_source
from edgeagent.vision.nms import select_detections
from edgeagent.vision.regions import Region, Regions
from edgeagent.vision.tracking import Tracker

Ids = npt.NDArray[np.int64]
Within = npt.NDArray[np.bool_]
Thresholds = npt.NDArray[np.float32]


@dataclass
class Memory:
    """What a pipeline remembers. `regions`: the names that results give. `looked`: frames that went through;
    `unchanged`: those of them that were not told."""

    tracker: Tracker | None = None
    changes: Changes | None = None
    arrivals: Arrivals = field(default_factory=Arrivals)
    classes: list[str] = field(default_factory=list)
    regions: tuple[str, ...] = ()
    looked: int = 0
    unchanged: int = 0

    def suit(self, start: PipelineStart) -> None:
        """Make ready for frames of this engine, with its settings. Another model's class 3 is another thing: its tracks
        begin anew, and what was told last was told in other words."""
        after = start.after
        regions = tuple(one.name for one in after.regions if one.include) if after.region_names else ()
        if self.classes != start.classes or self.regions != regions:
            self.changes = None
        if self.classes != start.classes:
            self.arrivals.counts.clear()
        if after.tracking is not None:
            self.tracker = self.tracker or Tracker()
            self.tracker.lost_s = after.tracking.lost_s
            self.tracker.skip_to(after.tracking.first_id)
            if self.classes != start.classes:
                self.tracker.forget()
        if after.change is None:
            self.changes = None
        elif self.changes is None:
            self.changes = Changes(after.change.moved, after.change.heartbeat_s)
        else:
            self.changes.moved, self.changes.heartbeat_s = after.change.moved, after.change.heartbeat_s
        self.classes, self.regions = start.classes, regions


@dataclass
class Found:
    """What a frame shows: boxes in source pixels, best first. `tracks` (M,), 0 for no number; None: not tracked.
    `within` (M, R): which of the regions to include each lies in; None: nobody asked."""

    detections: Detections
    tracks: Ids | None = None
    within: Within | None = None

    def at(self, kept: npt.NDArray[np.bool_]) -> Found:
        one = self.detections
        return Found(
            Detections(one.boxes[kept], one.scores[kept], one.class_ids[kept]),
            None if self.tracks is None else self.tracks[kept],
            None if self.within is None else self.within[kept],
        )


class After:
    """The way of one engine's frames. Raises OperatorError where tracking is wanted and `lap` does not work."""

    def __init__(self, start: PipelineStart, memory: Memory) -> None:
        self._start = start
        self._memory = memory
        self._keep = None if start.keep is None else frozenset(start.keep)
        self._regions = _regions(start.after)
        self._sure = _thresholds(start)
        self._lowest = _lowest(start, self._sure)
        self._few = _few(start, self._keep)
        self._last: Found | None = None
        if start.after.tracking is not None:
            from edgeagent.vision.assign import solver

            solver()

    def take(self, candidates: Candidates, box: Letterbox, capture_ns: int) -> list[ResultRow] | None:
        """The rows of the frame's result; None where it is not to be told. `box` is how the frame lies in the input."""
        memory = self._memory
        if memory.classes is not self._start.classes:
            memory.suit(self._start)
        memory.looked += 1
        if self._few is not None and (few := self._few.select(candidates, box)) is not None:
            return [*few]
        found = self._last = self.find(candidates, box, capture_ns)
        if memory.changes is not None and not memory.changes.is_news(_keys(found), found.detections.boxes, capture_ns):
            memory.unchanged += 1
            return None
        return _rows(found, self._regions.names if self._regions is not None else ())

    def last_rows(self) -> list[ResultRow]:
        """Those of the last frame, which was not told."""
        names = self._regions.names if self._regions is not None else ()
        return [] if self._last is None else _rows(self._last, names)

    def is_snapshot_due(self, rows: Sequence[ResultRow], capture_ns: int) -> bool:
        """Whether a picture is wanted of the frame with these rows; asked once for each that is told."""
        wish, tracked = self._start.after.snapshot, self._start.after.tracking is not None
        if wish is None:
            return False
        return self._memory.arrivals.is_due(rows, wish.interval_s, capture_ns, tracked=tracked)

    @property
    def last_track(self) -> int:
        """The highest number given so far; 0: none, or nothing is tracked."""
        tracker = self._memory.tracker
        return tracker.next_id - 1 if tracker is not None else 0

    def find(self, candidates: Candidates, box: Letterbox, capture_ns: int) -> Found:
        """Everything but whether it is news."""
        found = Found(self._select(candidates, box))
        if self._start.after.tracking is not None:
            found = self._track(found, capture_ns)
        if self._regions is None:
            return found
        kept, within = self._regions.look(found.detections.boxes, box.source_width, box.source_height)
        names = within if self._start.after.region_names else None
        return Found(found.detections, found.tracks, names).at(kept)

    def _select(self, candidates: Candidates, box: Letterbox) -> Detections:
        """In source pixels; without boxes that lay wholly in the bars and are now clipped to nothing."""
        start = self._start
        chosen = select_detections(
            candidates, min_score=self._lowest, iou=start.iou, limit=start.max_detections, keep=self._keep
        )
        if not len(chosen):
            return chosen
        boxes = map_to_source(chosen.boxes, box)
        sides = boxes[:, 2:] > boxes[:, :2]
        if np.count_nonzero(sides) == sides.size:  # several times cheaper than all()
            return Detections(boxes, chosen.scores, chosen.class_ids)
        seen = sides.all(axis=1)
        return Detections(boxes[seen], chosen.scores[seen], chosen.class_ids[seen])

    def _track(self, found: Found, capture_ns: int) -> Found:
        """Numbers; what is unsure and continues nothing goes."""
        one, tracker = found.detections, self._memory.tracker
        if tracker is None:
            return found
        sure = one.scores >= (self._sure if isinstance(self._sure, float) else self._sure[one.class_ids])
        tracks = tracker.follow(one.boxes, one.scores, one.class_ids, sure, capture_ns)
        return Found(one, tracks).at(sure | (tracks > 0))


def _few(start: PipelineStart, keep: frozenset[int] | None) -> Few | None:
    """The short way, where nothing but a choice of boxes is wanted."""
    after = start.after
    if after.class_min_score or after.regions or after.tracking is not None or after.change is not None:
        return None
    return Few(float(np.float32(start.min_score)), start.iou, start.max_detections, keep)


def _regions(after: AfterEngine) -> Regions | None:
    if not after.regions:
        return None
    return Regions([Region(one.name, one.include, one.corners) for one in after.regions], after.region_point)


def _thresholds(start: PipelineStart) -> float | Thresholds:
    """What a box must score to be sure: one number, or one a class (C,)."""
    if not start.after.class_min_score:
        return start.min_score
    own = start.after.class_min_score
    return np.array([own.get(name, start.min_score) for name in start.classes], np.float32)


def _lowest(start: PipelineStart, sure: float | Thresholds) -> float | Thresholds:
    """What a box must score to be looked at: less than a sure one where it may continue a track."""
    if start.after.tracking is None:
        return sure
    low = start.after.tracking.low_score
    return min(sure, low) if isinstance(sure, float) else np.minimum(sure, np.float32(low))


def _keys(found: Found) -> Ids:
    """What tells things apart, a row each: class, number, regions."""
    ones = found.detections.class_ids.astype(np.int64)
    columns = [ones, ones * 0 if found.tracks is None else found.tracks]
    if found.within is not None:
        columns += list(found.within.T.astype(np.int64))
    return np.stack(columns, axis=1)


def _rows(found: Found, regions: Sequence[str]) -> list[ResultRow]:
    one = found.detections
    columns: list[list[Any]] = [one.class_ids.tolist(), one.scores.tolist(), *one.boxes.T.tolist()]
    if found.tracks is not None:
        columns.append(found.tracks.tolist())
    if found.within is not None:
        if found.tracks is None:
            columns.append([0] * len(one))
        columns.append([[name for name, inside in zip(regions, row, strict=True) if inside] for row in found.within])
    rows: list[ResultRow] = list(zip(*columns, strict=True))
    return rows
