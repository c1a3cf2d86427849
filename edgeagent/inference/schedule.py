"""Which cameras' frames go into an engine next. Pure: what waits and the time go in, a batch comes out.

A `Waiting` is a camera's turn at one engine, not a frame: by the time the turn comes, the newest frame is taken.

Order. A higher priority goes first; of equals the one that was served longest ago. Nobody starves: whoever has been
passed over ROUNDS times for each that waits goes before all priorities, those first that were passed over most. Of n
that wait, each is chosen within (ROUNDS + 1) * n choices.

Batches. The first in that order names the engine, and the others of that engine fill its batch. With a delay above 0
a batch that is not full waits for the engine's other cameras, until the first of it has waited that long; other engines
go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

ROUNDS = 4


class Waiting(Protocol):
    """A turn that is wanted, known by its `number`. `since_ns`: when it was first seen, monotonic."""

    @property
    def number(self) -> int: ...

    @property
    def engine(self) -> int: ...

    @property
    def priority(self) -> int: ...

    @property
    def since_ns(self) -> int: ...


One = TypeVar("One", bound=Waiting)


class Room(NamedTuple):
    """What an engine takes now: `batch` frames at once, from at most `streams` cameras."""

    batch: int
    streams: int


class Turns:
    """Remembers who was served when, and who was passed over."""

    def __init__(self, max_delay_ns: int = 0) -> None:
        self._max_delay_ns = max_delay_ns
        self._passed: dict[int, int] = {}
        self._served: dict[int, int] = {}
        self._turns = 0

    def choose(self, waiting: Sequence[One], room: Mapping[int, Room], now_ns: int) -> tuple[list[One], int | None]:
        """Who is served now, all of one engine; empty when nobody is. And when a batch's waiting ends, None when there
        is nothing to wait for. Engines that are not in `room` take nothing now; who waits for them is not passed over.
        """
        asking = [one for one in waiting if one.engine in room]
        if (count := len(asking)) > 1:
            asking.sort(key=lambda one: self._rank(one, count))
        again_ns: int | None = None
        held: set[int] = set()
        for first in asking:
            if first.engine in held:
                continue
            mine = [one for one in asking if one.engine == first.engine]
            until_ns = self._held_until(mine, room[first.engine], now_ns)
            if until_ns is None:
                chosen = mine[: room[first.engine].batch]
                self._serve(chosen, asking)
                return chosen, again_ns
            held.add(first.engine)
            again_ns = until_ns if again_ns is None else min(again_ns, until_ns)
        return [], again_ns

    def forget(self, number: int) -> None:
        self._passed.pop(number, None)
        self._served.pop(number, None)

    def _rank(self, one: Waiting, waiting: int) -> tuple[int, int, int]:
        passed = self._passed.get(one.number, 0)
        if passed >= ROUNDS * waiting:
            return 0, -passed, 0
        return 1, -one.priority, self._served.get(one.number, 0)

    def _held_until(self, mine: Sequence[Waiting], room: Room, now_ns: int) -> int | None:
        """When a batch of these may go all the same, None for now."""
        if not self._max_delay_ns or len(mine) >= min(room.batch, room.streams):
            return None
        until_ns = min(one.since_ns for one in mine) + self._max_delay_ns
        return None if now_ns >= until_ns else until_ns

    def _serve(self, chosen: Sequence[Waiting], asking: Sequence[Waiting]) -> None:
        for one in asking:
            self._passed[one.number] = self._passed.get(one.number, 0) + 1
        for one in chosen:
            self._turns += 1
            self._passed[one.number] = 0
            self._served[one.number] = self._turns
