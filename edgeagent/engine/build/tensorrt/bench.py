"""What one build works with, handed from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeagent.engine.build.backend import BackendJob
from edgeagent.engine.build.tensorrt.board import Board
from edgeagent.engine.build.tensorrt.callbacks import TrtObject
from edgeagent.engine.build.tensorrt.capabilities import Capabilities, Trt
from edgeagent.engine.build.tensorrt.settings import Settings
from edgeagent.engine.build.tensorrt.verdict import Said, why_refused
from edgeagent.errors import EngineError

if TYPE_CHECKING:
    from edgeagent.inference.cuda import Gpu


@dataclass(frozen=True)
class Bench:
    """The module and what it can, the GPU (its context current), the job and its settings, and TensorRT's objects."""

    trt: Trt
    can: Capabilities
    gpu: Gpu
    job: BackendJob
    board: Board
    settings: Settings
    free_mb: int
    logger: TrtObject
    builder: TrtObject

    def refusal(self) -> EngineError:
        """Why the builder came back with nothing."""
        journal = self.board.journal
        said = Said(
            no_memory=journal.count("no_memory"),
            without_memory=journal.subjects("no_memory"),
            skipped_for_memory=journal.count("skipped_for_memory"),
            no_tactic=journal.subjects("no_tactic"),
            driver=journal.count("driver"),
            free_mb=self.free_mb,
            errors=journal.errors(),
        )
        return why_refused(said, self.can.release, self.settings.workspace_mb)
