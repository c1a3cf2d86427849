"""Which boxes lie where somebody looks."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.vision.regions import Anchor, Region, Regions, anchor_points

LEFT = Region("left", True, ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
TOP = Region("top", True, ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)))
HOLE = Region("hole", False, ((0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.1, 0.3)))
RING = Region(
    "u", True, ((0.0, 0.0), (0.2, 0.0), (0.2, 0.8), (0.8, 0.8), (0.8, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
)


def boxes(*centres: tuple[float, float]) -> np.ndarray:
    """Boxes of 20 x 40 pixels around shares of a picture of 1000 x 500."""
    return np.array([(x * 1000 - 10, y * 500 - 20, x * 1000 + 10, y * 500 + 20) for x, y in centres], np.float32)


def kept(regions: list[Region], *centres: tuple[float, float], anchor: Anchor = "centre") -> list[bool]:
    return list(Regions(regions, anchor).look(boxes(*centres), 1000, 500)[0].tolist())


def test_without_a_region_to_include_everything_counts_but_what_is_excluded() -> None:
    assert kept([HOLE], (0.2, 0.2), (0.7, 0.7)) == [False, True]


def test_with_one_only_what_lies_in_it_counts_and_an_exclusion_goes_before_it() -> None:
    assert kept([LEFT, HOLE], (0.2, 0.2), (0.4, 0.9), (0.7, 0.7)) == [False, True, False]
    assert kept([LEFT, TOP], (0.9, 0.2), (0.2, 0.9), (0.9, 0.9)) == [True, True, False]


def test_a_region_may_have_bays() -> None:
    assert kept([RING], (0.1, 0.5), (0.5, 0.5), (0.9, 0.5), (0.5, 0.9)) == [True, False, True, True]


def test_names_are_those_of_the_regions_to_include() -> None:
    regions = Regions([HOLE, LEFT, TOP], "centre")
    assert regions.names == ("left", "top")
    within = regions.look(boxes((0.45, 0.1), (0.45, 0.9), (0.9, 0.9)), 1000, 500)[1]
    assert within.tolist() == [[True, True], [True, False], [False, False]]


@pytest.mark.parametrize(("anchor", "inside"), [("centre", True), ("foot", False)])
def test_a_box_stands_for_its_centre_or_its_foot(anchor: Anchor, inside: bool) -> None:
    assert kept([TOP], (0.3, 0.48), anchor=anchor) == [inside]
    assert anchor_points(np.array([[0, 0, 10, 30]]), anchor).tolist() == [[5, 15 if anchor == "centre" else 30]]


def test_of_two_neighbours_exactly_one_has_the_line_between_them() -> None:
    slanted = [(0.3, 0.0), (0.7, 1.0)]
    halves = [
        Region("left", True, ((0.0, 0.0), *slanted, (0.0, 1.0))),
        Region("right", True, ((1.0, 1.0), *reversed(slanted), (1.0, 0.0))),
    ]
    share = np.linspace(0.01, 0.99, 99)
    points = np.concatenate([np.stack([0.3 + 0.4 * share, share], 1), np.random.default_rng(0).random((500, 2)) * 0.98])
    within = Regions(halves, "centre").look(np.repeat(points, 2, axis=0).reshape(-1, 4), 1, 1)[1]
    assert (within.sum(axis=1) == 1).all()


def test_it_is_the_same_at_every_corner_to_begin_with_and_either_way_round() -> None:
    points = np.random.default_rng(1).random((400, 2))
    table = np.repeat(points, 2, axis=0).reshape(-1, 4)
    expected = Regions([RING], "centre").look(table, 1, 1)[0]
    for turn in range(len(RING.corners)):
        corners = RING.corners[turn:] + RING.corners[:turn]
        for way in (corners, corners[::-1]):
            assert (Regions([Region("u", True, way)], "centre").look(table, 1, 1)[0] == expected).all()


def test_no_boxes_lie_nowhere() -> None:
    keep, within = Regions([LEFT, HOLE], "foot").look(np.zeros((0, 4), np.float32), 1000, 500)
    assert keep.shape == (0,) and within.shape == (0, 1)
