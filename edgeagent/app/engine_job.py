"""One pipeline's way to its engine: what it wants, and where it is on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.app.engine_course import Making
from edgeagent.app.engine_words import EngineWords
from edgeagent.config.kinds import Placement
from edgeagent.engine.bundle import ModelBundle
from edgeagent.errors import EdgeAgentError


@dataclass(frozen=True)
class Wanted:
    """One pipeline's engine wish. `images`: a directory to calibrate from in place of the ring's frames; `trouble`: why
    the model cannot be read, so that nothing can be made of it; `max_batch`: frames at once where it is not for the
    settings to say, and `placement`: the same of where it runs; `other_rings`: of the cameras that will share the
    engine."""

    pipeline: str
    model: str
    bundle: ModelBundle
    calibration: Path
    ring_fd: int | None
    images: str | None = None
    trouble: EdgeAgentError | None = None
    max_batch: int | None = None
    placement: Placement | None = None
    other_rings: tuple[int, ...] = ()


@dataclass
class Job:
    """One pipeline's way to its engine, while it is on it. `prepared`: what was done to the board for its build."""

    wanted: Wanted
    words: EngineWords
    making: Making
    plugins: dict[str, str] = field(default_factory=dict)
    serving: str = ""
    prepared: list[str] = field(default_factory=list)
