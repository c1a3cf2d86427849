"""What the governor tells. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["nominal", "warm", "hot", "critical"]
LEVELS: tuple[Level, ...] = ("nominal", "warm", "hot", "critical")
Cancel = Literal["", "memory", "critical", "stuck"]


@dataclass(frozen=True)
class Reason:
    """Why a build or the inference does less: a stable code, it in words, and what a person can do about it.

    Codes: none, heat, heat_rising, throttling, over_current, power, memory, cameras, blind,
    blind_memory, inference, ceiling.
    """

    code: str
    text: str
    mend: str = ""


@dataclass(frozen=True)
class Verdict:
    """What follows from a look.

    `build_duty`: the share 0..1 of its time that a build may work; without a build, what one would get now.
    `allowance`: the share 0..1 of their work that the pipelines may do, 1 = everything. `cancel`: why the build that
    runs has to end. The next four describe the zone that binds; None and "" where none can be read. `memory_is_far`:
    the memory need not be looked at more than once a second.
    """

    level: Level
    build_duty: float
    allowance: float
    reason: Reason
    cancel: Cancel = ""
    set_point_c: float | None = None
    hottest: str = ""
    celsius: float | None = None
    headroom_c: float | None = None
    memory_is_far: bool = False
