"""The things that a tracker knows of, as one table. Pure numpy.

Row t of both arrays is about the same thing. `facts` int64 (T, 5): its number (0 until it has been seen twice), its
class, whether it is lost (1: it was not in the last frame), and the capture times of the first and the last frame that
showed it.
`state` (T, 5, 4) is of `edgeagent.vision.kalman`. Two arrays, because every array costs its share of each frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeagent.vision.kalman import State, no_states

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ID, CLASS, LOST, FIRST_NS, SEEN_NS = range(5)
FACTS: Final = 5


@dataclass(frozen=True)
class Tracks:
    facts: Numbers
    state: State

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def ids(self) -> Numbers:
        return self.facts[:, ID]

    @property
    def class_ids(self) -> Numbers:
        return self.facts[:, CLASS]

    @property
    def lost(self) -> Mask:
        return np.asarray(self.facts[:, LOST] == 1)

    @property
    def first_ns(self) -> Numbers:
        return self.facts[:, FIRST_NS]

    @property
    def seen_ns(self) -> Numbers:
        return self.facts[:, SEEN_NS]

    def at(self, rows: Numbers | Mask) -> Tracks:
        """Only these rows, in this order; a copy."""
        return Tracks(self.facts[rows], self.state[rows])

    def and_also(self, *others: Tracks) -> Tracks:
        some = [one for one in (self, *others) if len(one)]
        if len(some) < 2:
            return some[0] if some else self
        return Tracks(np.concatenate([one.facts for one in some]), np.concatenate([one.state for one in some]))


def no_tracks() -> Tracks:
    return Tracks(np.zeros((0, FACTS), np.int64), no_states())


def new_tracks(class_ids: Numbers, state: State, at_ns: int) -> Tracks:
    """Things that were seen for the first time at `at_ns`."""
    facts = np.zeros((len(class_ids), FACTS), np.int64)
    facts[:, CLASS] = class_ids
    facts[:, FIRST_NS] = facts[:, SEEN_NS] = at_ns
    return Tracks(facts, state)
