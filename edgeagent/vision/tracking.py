"""Which box of this frame is which thing of the frames before: ByteTrack. Pure numpy; needs the package `lap`.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022, algorithm 1: sure boxes
are matched with all things by overlap; what is left of the things in view is matched with the unsure boxes, which are
mostly things half hidden; sure boxes that are left begin new things. Here, other than there:

- Things of different classes are never the same.
- Time is capture time, not a count of frames: cameras drop frames, and a pipeline may look at a share of them.
- A thing gets its number when it is seen in a second frame, so that a flicker of one frame costs no number.
- What is unsure and continues nothing is nothing: its number is 0, and the caller leaves it out.

Invariants: numbers count from `first_id`, none is given twice, no two boxes of a frame have the same one; the order of
the boxes does not matter; the number of things in memory is bounded, whatever comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeagent.vision import kalman
from edgeagent.vision.assign import assign
from edgeagent.vision.scoring import Boxes, ClassIds, Scores, iou_matrix
from edgeagent.vision.tracks import ID, LOST, SEEN_NS, Tracks, new_tracks, no_tracks

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SURE_COST: Final = 0.8  # one minus overlap; ByteTrack's limits
UNSURE_COST: Final = 0.5
NEW_COST: Final = 0.7
SAME_OVERLAP: Final = 0.85  # two things of a class that overlap more are one
MOST: Final = 1000
USUAL_FRAME_S: Final = 1.0 / 30.0
FRAME_LIMITS_S: Final = (1e-4, 60.0)
GAPS: Final = 9
GAP_FRAMES: Final = 2.5  # a thing outlives one missed frame, however slow the camera


@dataclass
class Tracker:
    """The things of one camera. `lost_s`: a thing that was not seen for longer is a new one when it comes back."""

    lost_s: float = 1.0
    first_id: int = 1
    tracks: Tracks = field(default_factory=no_tracks)
    _last_ns: int | None = None
    _gaps_s: deque[float] = field(default_factory=lambda: deque(maxlen=GAPS))

    def __post_init__(self) -> None:
        self._next_id = self.first_id
        self._frame_s = USUAL_FRAME_S

    @property
    def next_id(self) -> int:
        """The number that the next thing gets."""
        return self._next_id

    def skip_to(self, next_id: int) -> None:
        """Numbers below this one were given by somebody before."""
        self._next_id = max(self._next_id, next_id)

    def forget(self) -> None:
        """What comes from now on is new. Numbers go on."""
        self.tracks = no_tracks()

    def follow(self, boxes: Boxes, scores: Scores, class_ids: ClassIds, sure: Mask, at_ns: int) -> Ids:
        """The numbers (M,) of the boxes (M, 4) xyxy of a frame captured at `at_ns`; 0: none (yet). M may be 0.

        `sure` (M,): boxes that may begin a thing; the others can only continue one. Boxes are finite.
        """
        if not len(boxes) and not len(self.tracks):
            self._last_ns = None if self._last_ns is None else max(at_ns, self._last_ns)
            return np.zeros(0, np.int64)
        order = np.lexsort((*np.asarray(boxes).T, -np.asarray(scores), class_ids))
        frame = _Frame(np.asarray(boxes, np.float64)[order], np.asarray(class_ids, np.int64)[order], sure[order])
        self._age(at_ns)
        self._match(frame)
        self._settle(frame, at_ns)
        ids = np.zeros(len(order), np.int64)
        ids[order] = frame.ids
        return ids

    def _age(self, at_ns: int) -> None:
        """Move everything to this frame's time; what was lost for too long goes."""
        elapsed_s = 0.0 if self._last_ns is None else max(0.0, (at_ns - self._last_ns) / 1e9)
        if elapsed_s > 0.0:
            self._gaps_s.append(elapsed_s)
            self._frame_s = _usual(self._gaps_s)
        self._last_ns = at_ns if self._last_ns is None else max(at_ns, self._last_ns)
        fresh_ns = self._last_ns - int(max(self.lost_s, GAP_FRAMES * self._frame_s) * 1e9)
        fresh = self.tracks.seen_ns >= fresh_ns
        kept = self.tracks if fresh.all() else self.tracks.at(fresh)
        self.tracks = Tracks(kept.facts, kalman.predict(kept.state, elapsed_s, self._frame_s))

    def _match(self, frame: _Frame) -> None:
        """The three rounds of the paper. Things that were seen once only come last, and only for sure boxes."""
        tracks = self.tracks
        if not len(tracks) or not len(frame):
            return
        costs = _costs(tracks, frame)
        known = tracks.ids > 0
        frame.pair(costs, known, frame.sure, SURE_COST)
        if not frame.sure.all():
            frame.pair(costs, known & ~tracks.lost, ~frame.sure, UNSURE_COST)
        if not known.all():
            frame.pair(costs, ~known, frame.sure, NEW_COST)

    def _settle(self, frame: _Frame, at_ns: int) -> None:
        """Take over what was seen, give numbers, begin what is new, and forget what is no thing."""
        seen, lost = self._seen(frame, at_ns), self._lost(frame)
        begun = np.flatnonzero(frame.sure & (frame.track_of < 0))
        new = no_tracks()
        if len(begun):
            new = new_tracks(frame.class_ids[begun], kalman.start(frame.boxes[begun], self._frame_s), at_ns)
        if len(lost):
            lost = lost.at(~_doubles(lost, seen))
            newest = np.argsort(-lost.seen_ns, kind="stable")[: max(0, MOST - len(seen) - len(new))]
            lost = lost.at(newest)
        self.tracks = seen.and_also(lost, new)

    def _seen(self, frame: _Frame, at_ns: int) -> Tracks:
        """The things of this frame that were known, each with its number; the frame learns them too."""
        columns = frame.columns
        if not len(columns):
            return no_tracks()
        tracks = self.tracks.at(frame.rows)
        facts, nameless = tracks.facts, np.flatnonzero(tracks.ids == 0)
        facts[nameless, ID] = np.arange(self._next_id, self._next_id + len(nameless))
        facts[:, LOST], facts[:, SEEN_NS] = 0, at_ns
        self._next_id += len(nameless)
        frame.ids[columns] = facts[:, ID]
        return Tracks(facts, kalman.update(tracks.state, frame.boxes[columns]))

    def _lost(self, frame: _Frame) -> Tracks:
        """The things that are not in this frame. What is out of sight goes on its way, and does not grow or shrink (as
        in ByteTrack); what was seen only once is forgotten."""
        gone = self.tracks.ids > 0
        gone[frame.rows] = False
        lost = self.tracks.at(gone)
        lost.facts[:, LOST] = 1
        lost.state[:, 1, 2:] = 0.0
        return lost


class _Frame:
    """One frame's boxes while they are matched: `track_of` a box is its track's row, -1 while it has none."""

    def __init__(self, boxes: npt.NDArray[np.float64], class_ids: Ids, sure: Mask) -> None:
        self.boxes, self.class_ids, self.sure = boxes, class_ids, sure
        self.track_of = np.full(len(boxes), -1, np.int64)
        self.ids = np.zeros(len(boxes), np.int64)

    def __len__(self) -> int:
        return len(self.boxes)

    def pair(self, costs: npt.NDArray[np.float64], tracks: Mask, boxes: Mask, limit: float) -> None:
        """Match these tracks and boxes, as far as both are free."""
        columns = np.flatnonzero(boxes & (self.track_of < 0))
        if not len(columns):
            return
        free = tracks.copy()
        free[self.rows] = False
        rows = np.flatnonzero(free)
        if len(rows):
            chosen, taken = assign(costs[rows[:, None], columns], limit)
            self.track_of[columns[taken]] = rows[chosen]

    @property
    def columns(self) -> Ids:
        return np.flatnonzero(self.track_of >= 0)

    @property
    def rows(self) -> Ids:
        """The tracks that were found, in the order of `columns`."""
        return self.track_of[self.columns]


def _usual(gaps_s: Collection[float]) -> float:
    """The usual time between two frames; one gap does not change it."""
    return min(max(sorted(gaps_s)[len(gaps_s) // 2], FRAME_LIMITS_S[0]), FRAME_LIMITS_S[1])


def _costs(tracks: Tracks, frame: _Frame) -> npt.NDArray[np.float64]:
    """One minus the overlap of where each track should be with each box (T, M); infinite for another class."""
    costs = 1.0 - iou_matrix(kalman.to_boxes(tracks.state), frame.boxes)
    costs[tracks.class_ids[:, None] != frame.class_ids[None, :]] = np.inf
    return costs


def _doubles(lost: Tracks, seen: Tracks) -> Mask:
    """Which lost things go on under another number, which began after they were last seen and lies where they should
    be. (The paper drops the younger of any two that overlap so much, and with it one of two things that just cross.)"""
    if not len(lost) or not len(seen):
        return np.zeros(len(lost), np.bool_)
    later = seen.first_ns[None, :] > lost.seen_ns[:, None]
    if not later.any():
        return np.zeros(len(lost), np.bool_)
    overlap = iou_matrix(kalman.to_boxes(lost.state), kalman.to_boxes(seen.state))
    same = later & (overlap > SAME_OVERLAP) & (lost.class_ids[:, None] == seen.class_ids[None, :])
    return np.asarray(same.any(axis=1))
