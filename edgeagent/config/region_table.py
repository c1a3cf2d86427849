"""The tables [[pipelines.ID.regions]]: parts of the picture that count, or that do not. Pure.

Polygons are checked here, with plain arithmetic: what is wrong with one is told before anything runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from edgeagent.camera.spec import refuse
from edgeagent.config.kinds import Id, Table

Point: TypeAlias = tuple[float, float]
MOST_CORNERS = 64
LEAST_AREA = 1e-6  # of the picture: a tenth of a pixel of a small one
EXAMPLE = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]]
_MEND = "for example polygon = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]], clockwise or not"


def checked_polygon(value: object) -> object:
    """A polygon's corners, or a refusal that says what is wrong with which of them."""
    if not isinstance(value, list | tuple):
        raise refuse("wants a list of corners, each [x, y]", _MEND)
    corners = [_corner(number, corner) for number, corner in enumerate(value, start=1)]
    if len(corners) < 3:
        raise refuse(f"a polygon has 3 corners or more, not {len(corners)}", _MEND)
    if len(corners) > MOST_CORNERS:
        raise refuse(f"has {len(corners)} corners", f"at most {MOST_CORNERS} are taken; leave some out")
    for number, (first, second) in enumerate(pairwise([*corners, corners[0]]), start=1):
        if first == second:
            raise refuse(f"corner {number} is the same as the next", "leave it out; the last joins the first itself")
    if crossing := _crossing(corners):
        raise refuse(f"its sides {crossing[0]} and {crossing[1]} cross or touch", "list the corners in their order")
    if _area(corners) < LEAST_AREA:
        raise refuse("encloses nothing", "corners are shares of the picture, 0 to 1, not pixels")
    return tuple(corners)


def _corner(number: int, corner: object) -> Point:
    if not isinstance(corner, list | tuple) or len(corner) != 2:
        raise refuse(f"corner {number} is no pair [x, y]", _MEND)
    x, y = corner
    for value in (x, y):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise refuse(f"corner {number} is no pair of numbers", _MEND)
        if not 0 <= value <= 1:
            mend = "corners are shares of the picture, from [0, 0] at the top left to [1, 1]; divide pixels by its size"
            raise refuse(f"corner {number} lies outside the picture", mend)
    return float(x), float(y)


def _crossing(corners: Sequence[Point]) -> tuple[int, int] | None:
    """Two sides, counted from 1, that meet elsewhere than at the corner that neighbours share; None: there are none."""
    sides = list(enumerate(pairwise([*corners, corners[0]]), start=1))
    for (one, first), (other, second) in combinations(sides, 2):
        neighbours = other - one in (1, len(sides) - 1)
        if _fold_back(first, second) if neighbours else _meet(first, second):
            return one, other
    return None


def _turn(a: Point, b: Point, c: Point) -> float:
    """Above 0 where c lies left of the way from a to b, 0 on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(first: tuple[Point, Point], second: tuple[Point, Point]) -> bool:
    (a, b), (c, d) = first, second
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _between(*end) for turn, end in zip(turns, ends, strict=True))


def _between(a: Point, b: Point, c: Point) -> bool:
    """Whether c, which lies on the line through a and b, lies between them."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _fold_back(first: tuple[Point, Point], second: tuple[Point, Point]) -> bool:
    """Whether two neighbours lie on each other."""
    shared = next(point for point in first if point in second)
    one, other = (next(point for point in side if point != shared) for side in (first, second))
    ahead = (one[0] - shared[0]) * (other[0] - shared[0]) + (one[1] - shared[1]) * (other[1] - shared[1])
    return _turn(shared, one, other) == 0 and ahead > 0


def _area(corners: Sequence[Point]) -> float:
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise([*corners, corners[0]]))) / 2.0


Polygon = Annotated[
    tuple[Annotated[tuple[float, float], Field(strict=False)], ...],
    Field(strict=False),
    BeforeValidator(checked_polygon),
]


class RegionSettings(Table):
    """A part of the picture that counts, or one that does not."""

    name: Id = Field(description="The region's name; of its own among the pipeline's.", examples=["lane-1"])
    kind: Literal["include", "exclude"] = Field(
        default="include",
        description="include: with one or more of these, what lies in none of them is dropped; exclude: what lies in "
        "it is dropped.",
    )
    polygon: Polygon = Field(
        description="Its corners [x, y] in their order, as shares 0 to 1 of the picture from its top left; sides do "
        "not cross.",
        examples=[EXAMPLE],
    )


def checked_regions(regions: tuple[RegionSettings, ...]) -> tuple[RegionSettings, ...]:
    names = [region.name for region in regions]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise refuse(f"two regions have the name {double}", "give each a name of its own")
    return regions
