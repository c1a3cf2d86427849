"""The tracker: who keeps a number, who gets a new one, and what is no thing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tracking_kit import FRAME_NS, Thing, look

pytest.importorskip("lap", reason="the extra tracking is not installed")

from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.tracking import MOST, Tracker


def test_a_thing_gets_its_number_when_it_is_seen_again_and_keeps_it() -> None:
    tracker, thing = Tracker(), Thing(100, 100, dx=3)
    assert [look(tracker, [thing], frame) for frame in range(4)] == [[0], [1], [1], [1]]


def test_a_flicker_of_one_frame_costs_no_number() -> None:
    tracker, flicker, thing = Tracker(), Thing(300, 300), Thing(100, 100)
    assert look(tracker, [flicker], 0) == [0]
    assert look(tracker, [], 1) == []
    assert look(tracker, [flicker], 2) == [0]
    look(tracker, [thing], 3)
    assert look(tracker, [thing], 4) == [1]


def test_numbers_count_on_from_where_they_are_told() -> None:
    tracker = Tracker(first_id=100)
    tracker.skip_to(7)
    for frame in (0, 1):
        ids = look(tracker, [Thing(100, 100), Thing(300, 300)], frame)
    assert ids == [100, 101] and tracker.next_id == 102


@pytest.mark.parametrize("gap", [1, 2, 5, 10, 25])
@pytest.mark.parametrize("velocity", [(0.0, 0.0), (4.0, 0.0), (-3.0, 2.0), (9.0, -6.0)])
def test_a_straight_thing_keeps_its_number_through_a_gap(gap: int, velocity: tuple[float, float]) -> None:
    """Not seen for `gap` frames, whether the camera dropped them or the detector missed it."""
    for watched in (True, False):
        tracker, thing = Tracker(), Thing(300, 300, *velocity)
        for frame in range(15):
            before = look(tracker, [thing], frame)
        if watched:
            for frame in range(15, 15 + gap):
                look(tracker, [], frame)
        assert look(tracker, [thing], 15 + gap) == before == [1], "watched" if watched else "dropped"


@pytest.mark.parametrize(("gap", "same"), [(29, True), (32, False)])
def test_who_is_away_for_too_long_is_somebody_else(gap: int, same: bool) -> None:
    tracker, thing = Tracker(lost_s=1.0), Thing(300, 300)
    for frame in range(5):
        look(tracker, [thing], frame)
    for frame in range(5, 4 + gap):
        look(tracker, [], frame)
    look(tracker, [thing], 4 + gap)
    assert (look(tracker, [thing], 5 + gap) == [1]) is same


def test_time_counts_not_frames() -> None:
    """Half a minute without a frame is half a minute, though it is one step."""
    tracker, thing = Tracker(lost_s=1.0), Thing(300, 300)
    for frame in range(5):
        look(tracker, [thing], frame)
    assert look(tracker, [thing], 5 + 30 * 30) == [0]


def test_a_slow_camera_s_things_outlive_one_of_its_frames() -> None:
    """At a frame in two seconds, `lost_s` of one would make every thing new each time."""
    tracker, thing = Tracker(lost_s=1.0), Thing(300, 300)
    assert [look(tracker, [thing], 60 * number)[0] for number in range(4)][2:] == [1, 1]


def test_two_things_that_cross_keep_their_numbers() -> None:
    tracker = Tracker()
    right, left = Thing(100, 200, dx=5), Thing(500, 206, dx=-5)
    seen = [look(tracker, [right, left], frame) for frame in range(80)]
    assert seen[1:] == [seen[1]] * 79 and seen[1][0] != seen[1][1]


def test_two_things_that_cross_out_of_sight_of_each_other_keep_their_numbers() -> None:
    """While the two overlap, only the nearer one is seen, as after non-maximum suppression."""
    tracker = Tracker()
    right, left = Thing(100, 200, dx=5), Thing(500, 200, dx=-5)
    before: list[int] = []
    for frame in range(80):
        hidden = abs(right.box(frame)[0] - left.box(frame)[0]) < 25
        ids = look(tracker, [right] if hidden else [right, left], frame)
        before = before if len(ids) == 1 or 0 in ids else before or ids
        assert 0 in ids or ids == (before[:1] if hidden else before)
    assert len(before) == 2


def test_things_of_different_classes_are_never_the_same() -> None:
    tracker, bolt = Tracker(), Thing(100, 100, class_id=0)
    for frame in range(3):
        look(tracker, [bolt], frame)
    nut = replace(bolt, class_id=1)
    assert [look(tracker, [nut], frame) for frame in (3, 4)] == [[0], [2]]
    assert look(tracker, [nut, bolt], 5) == [2, 1], "the bolt was only lost"


def test_what_is_unsure_continues_a_thing_and_begins_none() -> None:
    tracker, thing = Tracker(), Thing(100, 100, dx=2)
    dim = replace(thing, score=0.2)
    assert [look(tracker, [dim], frame) for frame in range(3)] == [[0]] * 3
    for frame in range(3, 6):
        look(tracker, [thing], frame)
    assert [look(tracker, [dim, Thing(400, 400, score=0.2)], frame) for frame in range(6, 9)] == [[1, 0]] * 3


def test_an_unsure_box_does_not_bring_back_what_is_lost() -> None:
    tracker, thing = Tracker(), Thing(100, 100)
    for frame in range(3):
        look(tracker, [thing], frame)
    look(tracker, [], 3)
    assert look(tracker, [replace(thing, score=0.2)], 4) == [0]
    assert look(tracker, [thing], 5) == [1]


def test_a_sure_box_goes_before_an_unsure_one() -> None:
    tracker, thing = Tracker(), Thing(100, 100)
    for frame in range(3):
        look(tracker, [thing], frame)
    assert look(tracker, [replace(thing, score=0.2), replace(thing, x=108)], 3) == [0, 1]


def test_forgetting_makes_everything_new_and_no_number_comes_twice() -> None:
    tracker, thing = Tracker(), Thing(100, 100)
    for frame in range(3):
        look(tracker, [thing], frame)
    tracker.forget()
    assert [look(tracker, [thing], frame) for frame in (3, 4)] == [[0], [2]]


def test_nothing_for_hours_and_then_a_thing() -> None:
    tracker, thing = Tracker(), Thing(100, 100)
    for frame in range(3):
        look(tracker, [thing], frame)
    for frame in range(3, 20_000):
        assert look(tracker, [], 100.0 * frame) == []
    assert len(tracker.tracks) == 0
    late = 100.0 * 20_000
    assert [look(tracker, [thing], late + frame) for frame in (0, 1)] == [[0], [2]]
    assert np.isfinite(tracker.tracks.state).all()


def test_memory_is_bounded() -> None:
    """Three hundred new things in every frame, none of them seen a third time."""
    tracker, rng = Tracker(lost_s=60.0), np.random.default_rng(0)
    for frame in range(60):
        if frame % 2 == 0:
            places = rng.uniform(0, 20_000, (300, 2))
        look(tracker, [Thing(x, y, side=20) for x, y in places], frame)
        assert len(tracker.tracks) <= MOST
    assert tracker.next_id > 5000


def test_a_clock_that_goes_back_does_no_harm() -> None:
    tracker, thing = Tracker(), Thing(100, 100)
    for frame in (10, 11, 12, 3, 4, 12, 13):
        ids = look(tracker, [thing], frame)
    assert ids == [1] and np.isfinite(tracker.tracks.state).all()


def test_a_film_played_as_fast_as_it_can_be_read() -> None:
    """Frames two milliseconds apart that show a 30th of a second each: a step is a frame, whatever it lasts."""
    tracker, thing = Tracker(), Thing(100, 100, dx=6)
    ids = [look_at(tracker, thing, frame, frame * 2_000_000) for frame in range(60)]
    assert ids[1:] == [1] * 59


def look_at(tracker: Tracker, thing: Thing, frame: int, at_ns: int) -> int:
    box = np.array([thing.box(frame)], np.float32)
    return int(tracker.follow(box, np.ones(1), np.zeros(1, np.int32), np.ones(1, np.bool_), at_ns)[0])


# the synthetic conveyor, which knows what is what


@pytest.mark.parametrize(
    ("jitter_px", "missed", "dim", "most_switches"), [(0.0, 0.0, 0.0, 0), (1.0, 0.05, 0.1, 2), (2.0, 0.15, 0.2, 3)]
)
def test_parts_on_the_conveyor_keep_their_numbers(
    jitter_px: float, missed: float, dim: float, most_switches: int
) -> None:
    """Six belts, ten seconds each at 30 frames a second, seen by a detector that trembles, misses and doubts."""
    switches = sightings = 0
    for seed in range(6):
        stream, tracker, rng = ConveyorStream(640, 480, 30.0, seed), Tracker(), np.random.default_rng([seed, 7])
        known: dict[tuple[int, int], int] = {}
        for frame in range(300):
            boxes, class_ids, things = stream.things(frame)
            shown = rng.random(len(things)) >= missed
            scores = np.where(rng.random(len(things)) < dim, 0.2, 0.8)[shown]
            trembling = (boxes + rng.normal(0, jitter_px, boxes.shape))[shown]
            ids = tracker.follow(trembling, scores, class_ids[shown], scores >= 0.35, frame * FRAME_NS)
            for thing, number in zip(
                (one for one, there in zip(things, shown, strict=True) if there), ids, strict=True
            ):
                if number:
                    switches += known.setdefault(thing, number) != number
                    known[thing] = number
                    sightings += 1
        assert len(set(known.values())) == len(known), "two parts had one number"
    assert sightings > 5000
    assert switches <= most_switches
