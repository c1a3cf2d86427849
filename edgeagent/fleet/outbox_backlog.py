"""The messages that wait, in memory, in order: what is next, what has been handed to the link, what had to go.

Pure; for one thread. The file (`outbox_file.py`) follows what is decided here.

Invariants: of a retained topic there is one entry at most, the newest; entries of one kind are handed out by number,
so one topic's messages never overtake each other; the bytes never exceed the budget.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from edgeagent.fleet.outbox_policy import Budget, Entry, Kind, give_way


@dataclass
class Losses:
    """Messages given up, by reason. Superseded states are not among them: nothing is lost by those."""

    full: int = 0
    full_events: int = 0
    """Of those, events and states."""
    expired: int = 0
    too_large: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        return self.full + self.expired + self.too_large + self.rejected


@dataclass(frozen=True)
class Admission:
    """What became of a newcomer, and who had to go for it (a superseded state among them)."""

    taken: bool
    gone: tuple[Entry, ...] = ()


@dataclass
class _Shelf:
    """One kind's entries by number, oldest first, and their bytes."""

    entries: OrderedDict[int, Entry] = field(default_factory=OrderedDict)
    bytes: int = 0

    def add(self, entry: Entry) -> None:
        self.entries[entry.number] = entry
        self.bytes += entry.size

    def clear(self) -> None:
        self.entries.clear()
        self.bytes = 0

    def remove(self, number: int) -> Entry | None:
        entry = self.entries.pop(number, None)
        self.bytes -= entry.size if entry is not None else 0
        return entry


class Backlog:
    """All that waits. Numbers have to be given in rising order."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._shelves = {kind: _Shelf() for kind in Kind}
        self._ready: dict[Kind, OrderedDict[int, Entry]] = {kind: OrderedDict() for kind in Kind}
        self._state_of: dict[str, int] = {}
        self._out: dict[int, Entry] = {}
        self.losses = Losses()

    def __len__(self) -> int:
        return sum(len(shelf.entries) for shelf in self._shelves.values())

    def __iter__(self) -> Iterator[Entry]:
        return (entry for shelf in self._shelves.values() for entry in shelf.entries.values())

    @property
    def bytes(self) -> int:
        return sum(shelf.bytes for shelf in self._shelves.values())

    @property
    def budget(self) -> Budget:
        return self._budget

    @property
    def out(self) -> int:
        """How many the link has and the broker has not answered."""
        return len(self._out)

    def put(self, entry: Entry) -> Admission:
        """Takes the entry in, if need be in the place of lesser ones."""
        gone = []
        old = self._state_of.get(entry.topic) if entry.kind is Kind.STATE else None
        if old is not None and (superseded := self.remove(old)) is not None:
            gone.append(superseded)
        fits, dropped = self._make_room(entry)
        gone += dropped
        if not fits:
            self._count_full(entry)
            return Admission(False, tuple(gone))
        self._shelves[entry.kind].add(entry)
        self._ready[entry.kind][entry.number] = entry
        if entry.kind is Kind.STATE:
            self._state_of[entry.topic] = entry.number
        return Admission(True, tuple(gone))

    def _make_room(self, entry: Entry) -> tuple[bool, list[Entry]]:
        gone: list[Entry] = []
        own = self._budget.of(entry.kind)
        if entry.size > own:
            return False, gone
        while self._shelves[entry.kind].bytes + entry.size > own:
            gone.append(self._drop_oldest(entry.kind))
        for kind in give_way(entry.kind):
            while self.bytes + entry.size > self._budget.total and self._shelves[kind].entries:
                gone.append(self._drop_oldest(kind))
        return self.bytes + entry.size <= self._budget.total, gone

    def _drop_oldest(self, kind: Kind) -> Entry:
        number = next(iter(self._shelves[kind].entries))
        entry = self._shelves[kind].entries[number]
        self.remove(number)
        self._count_full(entry)
        return entry

    def _count_full(self, entry: Entry) -> None:
        self.losses.full += 1
        self.losses.full_events += entry.kind is not Kind.RESULT

    def restore(self, entries: Iterable[Entry]) -> list[Entry]:
        """Takes in what an earlier run left, with lower numbers than anything here. Returns what had to go."""
        everything = sorted([*entries, *self], key=lambda each: each.number)
        out = set(self._out)
        for shelf in self._shelves.values():
            shelf.clear()
        self._state_of.clear()
        gone = []
        for entry in everything:
            admission = self.put(entry)
            gone += [*admission.gone, *(() if admission.taken else (entry,))]
        self.take_back()
        for entry in [each for each in self if each.number in out]:
            self.hand_out(entry)
        return gone

    def resize(self, budget: Budget) -> list[Entry]:
        """Another budget from now on. Returns what had to go."""
        self._budget = budget
        return self.restore(())

    def remove(self, number: int) -> Entry | None:
        """Takes the entry out, wherever it is; None when it is not here (any more)."""
        self._out.pop(number, None)
        for kind, shelf in self._shelves.items():
            entry = shelf.remove(number)
            if entry is not None:
                self._ready[kind].pop(number, None)
                if self._state_of.get(entry.topic) == number:
                    del self._state_of[entry.topic]
                return entry
        return None

    def next(self) -> Entry | None:
        """The next to hand to the link: states, then events, then results, each by age."""
        for ready in self._ready.values():
            if ready:
                return next(iter(ready.values()))
        return None

    def hand_out(self, entry: Entry) -> None:
        """The link has it now."""
        del self._ready[entry.kind][entry.number]
        self._out[entry.number] = entry

    def take_back(self) -> None:
        """The link that had them is gone: everything is ready again, in its order."""
        self._out.clear()
        for kind, shelf in self._shelves.items():
            self._ready[kind] = OrderedDict(shelf.entries)

    def expire(self, now_ns: int) -> list[Entry]:
        """Takes out and counts what is of no use any more.

        Looked at are all states, all that the link has (it drops what is over without a word), and the oldest of the
        others up to the first that is still good: tens of thousands may wait.
        """
        over = {entry.number: entry for entry in self._out.values() if entry.over(now_ns)}
        for kind, shelf in self._shelves.items():
            for entry in shelf.entries.values():
                if entry.over(now_ns):
                    over[entry.number] = entry
                elif kind is not Kind.STATE:
                    break
        for number in over:
            self.remove(number)
        self.losses.expired += len(over)
        return list(over.values())

    def too_large(self, limit: int, size_of: Callable[[Entry], int]) -> list[Entry]:
        """Takes out and counts those that this broker would hang up on."""
        large = [entry for entry in self if size_of(entry) > limit]
        for entry in large:
            self.remove(entry.number)
        self.losses.too_large += len(large)
        return large

    def reject(self, number: int) -> Entry | None:
        """Takes out and counts what the broker answered with an error: it would answer the same again."""
        entry = self.remove(number)
        self.losses.rejected += entry is not None
        return entry
