"""Between the link's thread and the table: the newest of each number, every change of state, and never too much.

Numbers that come again every second replace each other until somebody looks; what a device says once is kept in its
order. So a slow terminal costs numbers that would have been overwritten anyway, and nothing else.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

MOST_NUMBERS: Final = 200_000
MOST_STATES: Final = 200_000


@dataclass(frozen=True)
class Letter:
    topic: str
    payload: bytes
    retained: bool


class Mailbox:
    """`put` and `take` from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, Letter] = {}
        self._states: deque[Letter] = deque()
        self.received = 0
        self.dropped = 0
        """What there was no room for."""

    def put(self, letter: Letter) -> None:
        with self._lock:
            self.received += 1
            if is_number(letter.topic):
                if letter.topic in self._numbers or len(self._numbers) < MOST_NUMBERS:
                    self._numbers[letter.topic] = letter
                else:
                    self.dropped += 1
            elif len(self._states) < MOST_STATES:
                self._states.append(letter)
            else:
                self.dropped += 1

    def take(self, most: int) -> list[Letter]:
        """At most so many: states first, in their order."""
        with self._lock:
            states = [self._states.popleft() for _ in range(min(most, len(self._states)))]
            if most - len(states) >= len(self._numbers):
                numbers, self._numbers = list(self._numbers.values()), {}
                return states + numbers
            keys = [key for key, _ in zip(self._numbers, range(most - len(states)), strict=False)]
            return states + [self._numbers.pop(key) for key in keys]


def is_number(topic: str) -> bool:
    """Measurements and summaries: `edgeagent/v1/<fleet>/<device>/m/...` and `/s/...`."""
    levels = topic.split("/", 5)
    return len(levels) > 4 and levels[4] in ("m", "s")
