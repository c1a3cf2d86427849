"""What is news, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.vision.changes import Changes

S = 1_000_000_000
ONE = [[100, 100, 140, 140]]


def news(changes: Changes, at_ns: int, boxes: list[list[float]], keys: list[list[int]] | None = None) -> bool:
    table = np.zeros((len(boxes), 2), np.int64) if keys is None else np.array(keys, np.int64)
    return changes.is_news(table, np.array(boxes, np.float32).reshape(-1, 4), at_ns)


def made(moved: float = 0.1, heartbeat_s: float = 10.0) -> Changes:
    return Changes(moved, heartbeat_s)


def test_the_first_frame_is_news_even_an_empty_one() -> None:
    assert news(made(), 0, []) and news(made(), 0, ONE)


def test_the_same_again_is_none_until_the_heartbeat() -> None:
    changes = made(heartbeat_s=2.0)
    told = [at for at in range(10) if news(changes, at * S // 2, ONE)]
    assert told == [0, 4, 8]


def test_something_that_comes_or_goes_is_news() -> None:
    changes = made()
    assert news(changes, 0, ONE)
    assert news(changes, 1, [*ONE, [300, 300, 340, 340]])
    assert not news(changes, 2, [[300, 300, 340, 340], *ONE]), "only their order has changed"
    assert news(changes, 3, ONE)
    assert news(changes, 4, [])
    assert not news(changes, 5, [])


@pytest.mark.parametrize("keys", [[[1, 0]], [[0, 7]], [[0, 0, 1]]], ids=["class", "number", "region"])
def test_another_class_number_or_region_is_news(keys: list[list[int]]) -> None:
    changes = made()
    assert news(changes, 0, ONE, [[0] * len(keys[0])])
    assert not news(changes, 1, ONE, [[0] * len(keys[0])])
    assert news(changes, 2, ONE, keys)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([103, 103, 143, 143], False),
        ([105, 100, 145, 140], True),
        ([100, 100, 140, 145], True),
        ([98, 98, 142, 142], False),
    ],
)
def test_a_thing_that_moves_or_grows_by_more_than_its_share_is_news(box: list[float], expected: bool) -> None:
    changes = made(moved=0.1)  # 4 pixels of 40
    assert news(changes, 0, ONE)
    assert news(changes, 1, [box]) is expected


def test_a_slow_thing_is_told_when_it_has_come_far_enough() -> None:
    changes = made(moved=0.1, heartbeat_s=1000.0)
    told = [at for at in range(41) if news(changes, at, [[100 + at, 100, 140 + at, 140]])]
    assert told == [0, 5, 10, 15, 20, 25, 30, 35, 40]


def test_things_that_nobody_can_tell_apart_may_change_places() -> None:
    here, there = [100, 100, 140, 140], [300, 300, 340, 340]
    changes = made()
    assert news(changes, 0, [here, there])
    assert not news(changes, 1, [there, here])
    assert news(changes, 2, [there, there]), "one is where the other was, and nobody is here"


def test_things_with_numbers_that_change_places_are_news() -> None:
    here, there = [100, 100, 140, 140], [300, 300, 340, 340]
    changes = made()
    assert news(changes, 0, [here, there], [[0, 1], [0, 2]])
    assert not news(changes, 1, [there, here], [[0, 2], [0, 1]])
    assert news(changes, 2, [there, here], [[0, 1], [0, 2]])


def test_a_box_without_size_is_no_trouble() -> None:
    changes = made()
    assert news(changes, 0, [[5, 5, 5, 5]])
    assert not news(changes, 1, [[5, 5, 5, 5]])
