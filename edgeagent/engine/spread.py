"""Which of many frames to calibrate with: those that differ from each other. Pure: numbers in, verdicts out.

A camera gives thirty nearly equal frames a second, and eighty of one moment teach the ranges no more than one does. A
frame is described by the mean colours of a coarse grid, in grey levels: sensor noise averages out in a cell, and what
is left of it stays below `NOISE`. Of a stream of unknown length the chooser keeps a fixed number: once it is full, a
newcomer takes the place of one of the two kept frames that are most alike, if it is less like any of them. So the
smallest distance between kept frames never falls (greedy k-centres over a stream).

A scene in which nothing moves fills the set with equal frames, and ranges measured on an empty scene ruin an INT8
engine for a full one. So the chooser looks ten times longer then, in case something comes; after that it ends all the
same, and `spread` says how alike the frames are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Descriptor = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float32]

NOISE = 1.5  # grey levels by which the mean of a cell may move without anything having happened
MARGIN = 0.25  # grey levels that a newcomer must be better by
ALIKE = 0.5  # grey levels; frames that differ by less show one scene
LOOKS = 4  # frames looked at for each that is wanted
STILL_TIMES = 10  # that many times as many while all that was seen is alike
CELL = 16  # pixels; cells are no smaller, or noise would not average out
LEAST_CELLS, MOST_CELLS = 4, 16  # a side


@dataclass(frozen=True)
class Verdict:
    """Whether a frame is kept, and in whose place: a number from 0 in the order of keeping, None for a place of its
    own."""

    keep: bool
    replaces: int | None = None


def describe(frame: Frames) -> Descriptor:
    """What a frame, uint8 (H, W, 3), looks like: float32 (D,), the mean colours of up to 16 x 16 cells."""
    import cv2

    height, width = frame.shape[:2]
    columns, rows = (max(LEAST_CELLS, min(MOST_CELLS, side // CELL)) for side in (width, height))
    cells = cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, np.float32).reshape(-1)


def distance(one: Descriptor, others: npt.NDArray[np.float32]) -> Distances:
    """How unlike a frame (D,) is to each of `others` (N, D): root mean square of what exceeds noise, grey levels."""
    beyond = np.maximum(np.abs(others - one) - np.float32(NOISE), np.float32(0))
    return np.sqrt(np.mean(beyond * beyond, axis=1, dtype=np.float32))


class SpreadChooser:
    """Keeps `count` of the frames it is offered, as unlike each other as they come. Memory does not grow with them."""

    def __init__(self, count: int, looks: int = LOOKS) -> None:
        """`looks`: after that many frames for each that is wanted, it has seen enough. ValueError below 1."""
        if count < 1 or looks < 1:
            raise ValueError(f"{count} frames of {looks} times as many cannot be chosen")
        self._count = count
        self._looks = looks
        self._kept: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._near = np.full(count, np.inf, np.float32)  # the distance to the nearest other kept frame
        self._whose = np.full(count, -1)  # which one that is
        self._size = 0
        self.offered = 0
        self._refused_in_a_row = 0

    def offer(self, descriptor: Descriptor) -> Verdict:
        """Look at a frame. Descriptors are all of one length."""
        if self.offered == 0:
            self._kept = np.empty((self._count, descriptor.size), np.float32)
        self.offered += 1
        away = distance(descriptor, self._kept[: self._size])
        if self._size < self._count:
            self._put(self._size, descriptor, away)
            self._size += 1
            return Verdict(keep=True)
        twins = self._most_alike()
        if twins is None or away.min() <= self._near[twins[0]] + MARGIN:
            self._refused_in_a_row += 1
            return Verdict(keep=False)
        self._refused_in_a_row = 0
        leaver = self._more_redundant(*twins)
        self._put(leaver, descriptor, away)
        return Verdict(keep=True, replaces=leaver)

    @property
    def settled(self) -> bool:
        """Whether it has looked enough: at `looks` times as many as it keeps, or as many as it keeps brought nothing.

        While the kept frames are alike, at `STILL_TIMES` times as many as that.
        """
        if self._size < self._count:
            return False
        if self._count > 1 and self.spread < ALIKE:
            return self.offered >= self._looks * STILL_TIMES * self._count
        return self.offered >= self._looks * self._count or self._refused_in_a_row >= self._count

    @property
    def spread(self) -> float:
        """How unlike the kept frames are: the median distance of each to its nearest, in grey levels; 0 for one."""
        return float(np.median(self._near[: self._size])) if self._size > 1 else 0.0

    def _most_alike(self) -> tuple[int, int] | None:
        if self._size < 2:
            return None
        one = int(np.argmin(self._near[: self._size]))
        return one, int(self._whose[one])

    def _more_redundant(self, one: int, two: int) -> int:
        """The one of two twins that has another frame nearer by."""
        others = np.delete(np.arange(self._size), [one, two])
        if others.size == 0:
            return max(one, two)
        rest = self._kept[others]
        nearest = [float(distance(self._kept[twin], rest).min()) for twin in (one, two)]
        return one if nearest[0] < nearest[1] else two

    def _put(self, place: int, descriptor: Descriptor, away: Distances) -> None:
        """Put a frame where none or another was; `away` are its distances to those kept until now."""
        self._kept[place] = descriptor
        everyone = np.arange(away.size)
        nearer = (away < self._near[: away.size]) & (everyone != place)
        self._near[: away.size][nearer] = away[nearer]
        orphans = everyone[(self._whose[: away.size] == place) & ~nearer & (everyone != place)]
        self._whose[: away.size][nearer] = place
        for other in (*orphans, place):
            self._find_nearest(int(other), max(away.size, place + 1))

    def _find_nearest(self, one: int, size: int) -> None:
        away = distance(self._kept[one], self._kept[:size])
        away[one] = np.inf
        self._whose[one], self._near[one] = int(np.argmin(away)), away.min()


def describe_spread(spread: float | None) -> str:
    """What a set's spread means, for a person; empty where the frames differ as they should, or nobody looked."""
    if spread is None or spread >= ALIKE:
        return ""
    return (
        f"the calibration frames hardly differ (by {spread:g} of 255 grey levels): INT8 scales made from them may not "
        "fit what the camera sees later; collect them again while something happens before it"
    )
