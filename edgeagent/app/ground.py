"""What the cameras and pipelines stand on: the board, its power, the governor, and whom everything is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from edgeagent.app.backends import Backend
from edgeagent.app.engine_forms import Site
from edgeagent.app.governor import GovernorDesk
from edgeagent.app.power import PowerDesk
from edgeagent.app.publisher import Publisher
from edgeagent.app.wiring import engine_fingerprint
from edgeagent.board.identity import Identity
from edgeagent.clock import Clock


@dataclass
class Ground:
    """`identity` is replaced when TensorRT has said what it knows of the DLA."""

    root: Path
    state_dir: Path
    identity: Identity
    publisher: Publisher
    clock: Clock
    rng: Random
    power: PowerDesk
    governor: GovernorDesk

    def site(self, backend: Backend) -> Site:
        """The device as engines see it."""
        return Site(backend, engine_fingerprint(self.identity, backend, self.root), self.identity.dla)
