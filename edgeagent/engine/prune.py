"""Which engines go when space is short. Pure.

Never one that a pipeline uses, used before, or that is pinned: then the store stays over its budget, and says so. Of
the others first what nothing can use (damaged, written by another release, in quarantine), then the least recently
used, by the store's use counter. No clock is asked: devices boot in 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ready", "quarantined", "unreadable", "damaged"]
ORDER: tuple[State, ...] = ("damaged", "unreadable", "quarantined", "ready")
WHY: dict[State, str] = {
    "damaged": "it is damaged",
    "unreadable": "no engine of this release",
    "quarantined": "in quarantine",
    "ready": "the least recently used",
}


@dataclass(frozen=True)
class Holding:
    """A directory of the store. `last_used`: reading of the use counter; `keep`: why it must stay, "" where it need
    not."""

    name: str
    state: State
    bytes: int
    last_used: int = 0
    keep: str = ""


@dataclass(frozen=True)
class Removal:
    """A directory that goes, how much that frees, and why this one."""

    name: str
    bytes: int
    reason: str


def decide_prune(holdings: Sequence[Holding], budget_bytes: int) -> list[Removal]:
    """What has to go for the store to be within its budget, in this order; all that may go where that is too little."""
    over = sum(holding.bytes for holding in holdings) - budget_bytes
    removals = []
    for holding in sorted((one for one in holdings if not one.keep), key=_rank):
        if over <= 0:
            break
        removals.append(Removal(holding.name, holding.bytes, WHY[holding.state]))
        over -= holding.bytes
    return removals


def _rank(holding: Holding) -> tuple[int, int, str]:
    return ORDER.index(holding.state), holding.last_used, holding.name
