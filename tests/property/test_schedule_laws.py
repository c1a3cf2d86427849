"""Laws of taking turns: nobody starves, priorities count, batches are of one engine and wait no longer than allowed."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.inference.schedule import ROUNDS, Room, Turns

MS = 1_000_000


class Turn(NamedTuple):
    """A camera's, at an engine."""

    number: int
    engine: int
    priority: int
    since_ns: int


streams = st.lists(st.tuples(st.integers(1, 3), st.integers(-2, 2)), min_size=1, max_size=8).map(
    lambda found: [Turn(number, engine, priority, 0) for number, (engine, priority) in enumerate(found)]
)
batches = st.dictionaries(st.integers(1, 3), st.integers(1, 4), min_size=3, max_size=3)


def rooms(waiting: list[Turn], sizes: dict[int, int]) -> dict[int, Room]:
    return {engine: Room(size, sum(one.engine == engine for one in waiting)) for engine, size in sizes.items()}


@given(streams, batches, st.lists(st.sets(st.integers(0, 7)), max_size=40))
def test_nobody_starves_who_waits_on(waiting: list[Turn], sizes: dict[int, int], absent: list[set[int]]) -> None:
    """Stream 0 always waits; the others come and go as they like."""
    turns, passed = Turns(), 0
    bound = (ROUNDS + 1) * len(waiting)
    for away in [*absent, *([set()] * 3 * bound)]:
        here = [one for one in waiting if one.number == 0 or one.number not in away]
        chosen = turns.choose(here, rooms(here, sizes), 0)[0]
        assert chosen
        passed = 0 if any(one.number == 0 for one in chosen) else passed + 1
        assert passed <= bound


@given(streams, batches)
def test_equals_are_served_equally_often(waiting: list[Turn], sizes: dict[int, int]) -> None:
    equals = [Turn(one.number, 1, 0, 0) for one in waiting]
    turns, served = Turns(), Counter[int]()
    for _ in range(60):
        served.update(one.number for one in turns.choose(equals, rooms(equals, sizes), 0)[0])
    assert max(served.values()) - min(served[one.number] for one in equals) <= 1


@given(st.integers(2, 8), st.integers(0, 7))
def test_a_higher_priority_gets_most_of_the_turns_and_the_first(count: int, favourite: int) -> None:
    favourite %= count
    waiting = [Turn(number, 1, int(number == favourite), 0) for number in range(count)]
    turns, served = Turns(), Counter[int]()
    order = [turns.choose(waiting, {1: Room(1, count)}, 0)[0][0].number for _ in range(100 * count)]
    served.update(order)
    assert order[0] == favourite
    assert served[favourite] >= len(order) * ROUNDS / (ROUNDS + 1) - count


@given(streams, batches, st.sets(st.integers(1, 3)))
def test_a_batch_is_of_one_engine_that_has_room_and_no_larger_than_that(
    waiting: list[Turn], sizes: dict[int, int], full: set[int]
) -> None:
    turns = Turns()
    room = {engine: one for engine, one in rooms(waiting, sizes).items() if engine not in full}
    for _ in range(20):
        chosen, _ = turns.choose(waiting, room, 0)
        assert bool(chosen) == any(one.engine in room for one in waiting)
        if chosen:
            (engine,) = {one.engine for one in chosen}
            mine = sum(one.engine == engine for one in waiting)
            assert len(chosen) == len({one.number for one in chosen}) == min(sizes[engine], mine)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 20), st.integers(0, 30))
def test_a_batch_waits_for_others_but_not_longer_than_it_may(here: int, batch: int, since_ms: int, now_ms: int) -> None:
    """One camera of the engine is missing."""
    waiting = [Turn(number, 1, 0, since_ms * MS) for number in range(here)]
    chosen, again_ns = Turns(10 * MS).choose(waiting, {1: Room(batch, here + 1)}, now_ms * MS)
    if here >= batch or now_ms >= since_ms + 10:
        assert len(chosen) == min(here, batch)
    else:
        assert chosen == [] and again_ns == (since_ms + 10) * MS


def test_a_batch_that_waits_holds_up_no_other_engine() -> None:
    turns = Turns(10 * MS)
    waiting = [Turn(1, 1, 5, 0), Turn(2, 2, 0, 0)]
    room = {1: Room(2, 2), 2: Room(1, 1)}
    chosen, again_ns = turns.choose(waiting, room, 0)
    assert [one.number for one in chosen] == [2] and again_ns == 10 * MS
    assert turns.choose(waiting[:1], room, 10 * MS)[0] == [waiting[0]]


def test_nobody_waits_nobody_is_chosen() -> None:
    assert Turns().choose([], {1: Room(1, 1)}, 0) == ([], None)
