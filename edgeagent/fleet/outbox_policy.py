"""What the outbox keeps, for how long, and what goes first when space is short. Pure: no clock, no file, no thread.

Four kinds of message. *Passing* ones (QoS 0, and the retained states that are said again after every connection) are
not the outbox's. *State* (alarms, job states, the reported config) is retained, so of each topic only the newest
counts. *Events* are a history: kept in order, each until the broker has it. *Results* with QoS 1 are of use for a
while only.

The byte budget is one for all. States may take a quarter of it and results a half; events take what is left, which is
everything when there is nothing else. Whatever is over goes in this order: the oldest results, the oldest events, the
oldest states. A newcomer never displaces something of a higher rank: it goes itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_NS: Final = 1_000_000_000
_FIRST_OF_OURS: Final = 4
"""Level of a topic at which the device's own levels begin: edgeagent/v1/<fleet>/<device>/..."""

OVERHEAD_BYTES: Final = 128
"""What a message costs beside topic and payload: its row on the disk, its entry in memory."""

SPOOL_ABOVE_S: Final = 60.0
"""Results that are of use for longer than this are kept on the disk too."""


class Kind(IntEnum):
    """In the order of sending. The numbers stand in the file."""

    STATE = 1
    EVENT = 2
    RESULT = 3


@dataclass(frozen=True)
class Entry:
    """One message that waits for the broker's PUBACK. Sent as it is, however often: a repetition is identical.

    `made_ns` is on the monotonic clock of this boot, below zero for what an earlier boot left; `life_s` None: for ever.
    `wall_ms` is when it was made by the wall clock, which may have been wrong.
    """

    number: int
    kind: Kind
    topic: str
    payload: bytes
    retain: bool
    made_ns: int
    wall_ms: int
    life_s: float | None = None

    @property
    def size(self) -> int:
        return len(self.topic) + len(self.payload) + OVERHEAD_BYTES

    @property
    def expires_ns(self) -> int | None:
        return None if self.life_s is None else self.made_ns + round(self.life_s * _NS)

    def over(self, now_ns: int) -> bool:
        """Whether it is of no use any more."""
        expires_ns = self.expires_ns
        return expires_ns is not None and expires_ns <= now_ns

    def remaining_s(self, now_ns: int) -> float | None:
        return None if self.expires_ns is None else max(0.001, (self.expires_ns - now_ns) / _NS)


@dataclass(frozen=True)
class Budget:
    """How many bytes may wait: in all, and of the two kinds that must not take everything."""

    total: int

    @property
    def states(self) -> int:
        return self.total // 4

    @property
    def results(self) -> int:
        return self.total // 2

    def of(self, kind: Kind) -> int:
        return {Kind.STATE: self.states, Kind.EVENT: self.total, Kind.RESULT: self.results}[kind]


def kind_of(topic: str, qos: int, *, retain: bool) -> Kind | None:
    """The message's kind by its topic; None for what is passing and goes to the link as it comes."""
    if qos == 0:
        return None
    levels = topic.split("/")[_FIRST_OF_OURS:]
    first = levels[0] if levels else ""
    if retain:
        durable = first in ("a", "job") or levels == ["config", "reported"]
        return Kind.STATE if durable else None
    if first == "e":
        return Kind.EVENT
    return Kind.RESULT if first == "r" else None


def on_disk(entry: Entry) -> bool:
    """Whether the message is worth the flash."""
    if entry.kind is not Kind.RESULT:
        return True
    return entry.life_s is not None and entry.life_s > SPOOL_ABOVE_S


def outdated(entry: Entry, wall_ms: int) -> bool:
    """Whether a result that an earlier run left is over by the wall clock: the time switched off counts for results.

    Never for anything else: after a boot the clock may be years wrong.
    """
    life_ms = (entry.life_s or 0.0) * 1000
    return entry.kind is Kind.RESULT and wall_ms - entry.wall_ms > life_ms


def give_way(newcomer: Kind) -> tuple[Kind, ...]:
    """What may be dropped for the sake of a newcomer of this kind, the first to go first."""
    return tuple(kind for kind in (Kind.RESULT, Kind.EVENT, Kind.STATE) if kind >= newcomer)
