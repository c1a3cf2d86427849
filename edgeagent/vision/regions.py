"""Which boxes lie where somebody looks. Pure numpy.

A region is a polygon in shares of the source frame, 0..1 each way, so that it fits whatever size the camera has. A box
stands for one point: its centre, or its foot, the middle of its lower edge. Inside is decided by the even-odd rule
(Shimrat, "Algorithm 112: Position of point relative to polygon", CACM 1962); of a point on the edge between two
regions exactly one has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Boxes: TypeAlias = npt.NDArray[np.floating[Any]]
Mask: TypeAlias = npt.NDArray[np.bool_]
Points: TypeAlias = npt.NDArray[np.float64]
Anchor: TypeAlias = Literal["centre", "foot"]


@dataclass(frozen=True)
class Region:
    """`include`: boxes in it are kept; otherwise they are dropped. `corners` (x, y), 3 or more, the last joins the
    first."""

    name: str
    include: bool
    corners: tuple[tuple[float, float], ...]


class Regions:
    """The regions of a pipeline."""

    def __init__(self, regions: Sequence[Region], anchor: Anchor) -> None:
        self._anchor = anchor
        self._include = [_Polygon(region.corners) for region in regions if region.include]
        self._exclude = [_Polygon(region.corners) for region in regions if not region.include]
        self.names = tuple(region.name for region in regions if region.include)

    def look(self, boxes: Boxes, width: int, height: int) -> tuple[Mask, npt.NDArray[np.bool_]]:
        """Of boxes (M, 4) xyxy in pixels of a width x height frame: which are kept (M,), and which of `names` each lies
        in (M, R). Without a region to include, whatever is in none to exclude is kept. M may be 0."""
        points = anchor_points(boxes, self._anchor) / np.array([width, height], np.float64)
        within = np.zeros((len(points), len(self._include)), np.bool_)
        for number, polygon in enumerate(self._include):
            within[:, number] = polygon.holds(points)
        kept: Mask = np.asarray(within.any(axis=1)) if self._include else np.ones(len(points), np.bool_)
        for polygon in self._exclude:
            kept &= ~polygon.holds(points)
        return kept, within


def anchor_points(boxes: Boxes, anchor: Anchor) -> Points:
    """The point (x, y) that stands for each of boxes (M, 4) xyxy."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    middle = (corners[:, :2] + corners[:, 2:]) / 2.0
    if anchor == "foot":
        middle[:, 1] = corners[:, 3]
    return middle


class _Polygon:
    def __init__(self, corners: Sequence[tuple[float, float]]) -> None:
        first = np.asarray(corners, np.float64)
        second = np.roll(first, -1, axis=0)
        level = first[:, 1] == second[:, 1]  # an edge along x is never crossed by a ray along x
        self._x, self._y = first[~level, 0], first[~level, 1]
        self._end_y = second[~level, 1]
        self._slope = (second[~level, 0] - self._x) / (self._end_y - self._y)

    def holds(self, points: Points) -> Mask:
        """Whether each of the points (M, 2) is inside: a ray to the right crosses the edge an odd number of times."""
        x, y = points[:, :1], points[:, 1:]
        spans = (self._y > y) != (self._end_y > y)
        right = x < self._x + self._slope * (y - self._y)
        return np.asarray((spans & right).sum(axis=1) % 2 == 1)
