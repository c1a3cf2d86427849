"""How long to wait before the next connection attempt: full jitter, so that a fleet does not return as one herd.

Pure. Source of the formula, uniform(0, min(cap, base * 2^n)): "Exponential Backoff And Jitter", AWS Architecture Blog,
2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

_MAX_DOUBLINGS = 32


@dataclass(frozen=True)
class Schedule:
    """All in seconds. `floor_s` is the least wait: 0 where trying again at once does no harm."""

    base_s: float
    cap_s: float
    floor_s: float = 0.0


LOST: Final = Schedule(base_s=1.0, cap_s=60.0)
"""The network or the broker is away: try soon, it costs nobody anything."""

REFUSED: Final = Schedule(base_s=30.0, cap_s=600.0, floor_s=5.0)
"""The broker answered and said no: a person has to act, and quick retries get devices banned."""

CLOCK: Final = Schedule(base_s=5.0, cap_s=15.0, floor_s=2.0)
"""This device's clock is not set yet: a time server sets it within seconds of finding a network."""

FILES: Final = Schedule(base_s=20.0, cap_s=60.0, floor_s=5.0)
"""A file of our own cannot be used: nobody else is asked, and whoever mends it wants to see that soon."""


def next_delay(attempt: int, rng: Random, base_s: float, cap_s: float, floor_s: float = 0.0) -> float:
    """Seconds to wait before attempt number `attempt` (0 is the first retry). Never above max(cap_s, floor_s)."""
    ceiling = min(cap_s, base_s * 2.0 ** min(max(attempt, 0), _MAX_DOUBLINGS))
    return max(floor_s, rng.uniform(0.0, ceiling))


def scheduled_delay(schedule: Schedule, attempt: int, rng: Random) -> float:
    """`next_delay` by a schedule."""
    return next_delay(attempt, rng, schedule.base_s, schedule.cap_s, schedule.floor_s)
