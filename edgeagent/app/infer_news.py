"""What is said of infer children, and to whom; and what all of them are started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgeagent.app.served import Served
from edgeagent.inference.accelerators import Accelerator


def _nobody(*_: object) -> None:
    """Nobody hears it."""


@dataclass
class InferNews:
    """Who hears of what happens in the infer children. `idle`: a pipeline has no engine any more."""

    loaded: Callable[[Served], None] = _nobody
    idle: Callable[[str], None] = _nobody
    load_failed: Callable[[Served, str, str], None] = _nobody
    run_failed: Callable[[Served, str, str], None] = _nobody
    crash: Callable[[str, str], None] = _nobody
    gpu_lost: Callable[[str, str], None] = _nobody


class Moves(Protocol):
    """What a desk tells whoever moves pipelines."""

    def loaded(self, served: Served) -> None: ...

    def warm(self, served: Served) -> None: ...

    def idle(self, served: Served) -> None: ...

    def released(self, accelerator: Accelerator, served: Served, came_to: int | None) -> None: ...


@dataclass(frozen=True)
class InferSettings:
    threads: int
    max_delay_ms: float = 0.0
    canary_s: float = 0.0
