"""Choosing calibration frames by what they show: a moving belt, a still scene, a lamp, noise."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.engine.spread import ALIKE, LOOKS, STILL_TIMES, SpreadChooser, describe, describe_spread, distance
from edgeagent.simulate.scenes import ConveyorStream

RNG = np.random.default_rng(7)


def noisy(frame: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(frame + RNG.normal(0, sigma, frame.shape), 0, 255).astype(np.uint8)


def test_sensor_noise_is_no_difference_and_a_moved_part_is_one() -> None:
    stream = ConveyorStream(320, 320, 30.0, 1)
    scene, later = stream.frame(0)[0], stream.frame(12)[0]
    still = [describe(noisy(scene, 6.0)) for _ in range(5)]
    moved = describe(noisy(later, 6.0))
    assert distance(still[0], np.array(still[1:])).max() < ALIKE / 5
    assert distance(moved, np.array(still)).min() > 5 * ALIKE


def test_a_still_scene_is_looked_at_for_long_and_ends_all_the_same() -> None:
    scene = ConveyorStream(320, 320, 30.0, 1).frame(0)[0]
    chooser = SpreadChooser(8)
    while not chooser.settled:
        chooser.offer(describe(noisy(scene, 4.0)))
    assert chooser.offered == 8 * LOOKS * STILL_TIMES
    assert chooser.spread < ALIKE
    assert "hardly differ" in describe_spread(chooser.spread)


def test_a_belt_that_is_empty_at_first_is_not_all_that_is_kept() -> None:
    """Frames of an empty belt ruin INT8: the wait goes on until parts have come by."""
    stream = ConveyorStream(320, 320, 30.0, 1)
    empty = np.median(np.stack([stream.frame(k * 45)[0] for k in range(21)]), axis=0).astype(np.uint8)
    chooser, number, lively = SpreadChooser(16), 0, 0
    while not chooser.settled:
        frame = noisy(empty, 3.0) if number < 100 else stream.frame((number - 100) * 4)[0]
        lively += chooser.offer(describe(frame)).keep and number >= 100
        number += 1
    assert 100 < number < 16 * LOOKS * STILL_TIMES
    assert lively >= 8 and chooser.spread >= ALIKE
    assert describe_spread(chooser.spread) == describe_spread(None) == ""


def test_looking_once_is_enough_where_frames_differ() -> None:
    chooser = SpreadChooser(5, looks=1)
    for value in range(5):
        assert not chooser.settled
        chooser.offer(np.full(12, 20 * value, np.float32))
    assert chooser.settled


def test_what_happens_once_in_a_long_while_is_kept() -> None:
    """A hundred frames of an empty belt, one of a hand over it, a hundred more."""
    rng = np.random.default_rng(1)
    empty = rng.integers(60, 90, (160, 160, 3)).astype(np.uint8)
    hand = empty.copy()
    hand[40:120, 30:100] = (150, 170, 210)
    chooser = SpreadChooser(6, looks=40)
    verdicts = [chooser.offer(describe(noisy(empty, 3.0))) for _ in range(100)]
    assert sum(verdict.keep for verdict in verdicts) == 6
    seen = chooser.offer(describe(hand))
    assert seen.keep and seen.replaces is not None
    assert not any(chooser.offer(describe(noisy(empty, 3.0))).keep for _ in range(99))


def test_a_stream_of_scenes_in_turn_keeps_one_of_each() -> None:
    scenes = [np.full(12, value, np.float32) for value in (0, 50, 100, 150)]
    chooser, kept = SpreadChooser(4, looks=20), {}
    for number in range(40):
        which = number // 10
        verdict = chooser.offer(scenes[which])
        if verdict.keep:
            kept[len(kept) if verdict.replaces is None else verdict.replaces] = which
    assert sorted(kept.values()) == [0, 1, 2, 3]
    assert chooser.spread == pytest.approx(48.5)


def test_the_first_frames_are_all_kept_and_then_only_what_differs_more() -> None:
    chooser = SpreadChooser(3)
    points = [np.full(4, value, np.float32) for value in (0, 10, 100)]
    assert [chooser.offer(point).replaces for point in points] == [None, None, None]
    assert not chooser.offer(np.full(4, 5, np.float32)).keep
    assert (
        chooser.offer(np.full(4, 50, np.float32)).replaces == 1
    )  # of the two that are 10 apart, the one nearer to the rest
    assert not chooser.offer(np.full(4, 50, np.float32)).keep


def test_one_place_goes_to_the_first() -> None:
    chooser = SpreadChooser(1)
    assert chooser.offer(np.zeros(4, np.float32)).keep
    assert not chooser.offer(np.full(4, 200, np.float32)).keep
    assert chooser.settled and chooser.spread == 0


def test_nothing_chosen_is_not_settled() -> None:
    assert not SpreadChooser(2).settled and SpreadChooser(2).spread == 0


@pytest.mark.parametrize(("count", "looks"), [(0, 1), (-1, 4), (3, 0)])
def test_a_choice_of_nothing_is_refused(count: int, looks: int) -> None:
    with pytest.raises(ValueError):
        SpreadChooser(count, looks)


def test_thousands_of_places_take_bounded_time_an_offer() -> None:
    """Memory and work follow the number of places, and not what was offered before."""
    chooser = SpreadChooser(600, looks=2)
    for _ in range(1200):
        chooser.offer(RNG.uniform(0, 255, 48).astype(np.float32))
    assert chooser.settled and chooser.spread > 0
