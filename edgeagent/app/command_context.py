"""What commands reach of the agent: this and nothing else. The agent fills it in; parts may be replaced while it lives,
so they are asked for at each use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeagent.app.cameras import Camera
from edgeagent.app.command_kind import CommandError, Life
from edgeagent.app.engine_job import Wanted
from edgeagent.app.engine_look import Ready
from edgeagent.app.engines import EngineDesk
from edgeagent.app.infer_row import InferRow
from edgeagent.app.log_memory import LogLevel, LogMemory
from edgeagent.app.power import PowerDesk
from edgeagent.app.publisher import Publisher
from edgeagent.app.served import Served
from edgeagent.app.teller import Teller
from edgeagent.clock import Clock
from edgeagent.config.effective import Loaded
from edgeagent.config.schema import Config
from edgeagent.power.client import PowerHelper


async def _no_cancel(job: str) -> str:
    raise CommandError(f"there is no job {job}", code="no_job")


async def _no_way_back() -> str:
    raise CommandError("this device keeps no config from before", code="no_config")


@dataclass
class CommandContext:
    """`make_engines`: a desk of its own that tells somebody else and waits for nobody; `wanted` a pipeline's wish for
    an engine of a model, which may take a while and raise; `serve` lets a pipeline run on an engine. `restart` starts
    the agent anew; `config_back` goes back to the config before, and says which that is."""

    publisher: Publisher
    clock: Clock
    life: Life
    helper: PowerHelper
    config: Callable[[], Config]
    loaded: Callable[[], Loaded | None]
    config_file: Callable[[], Path | None]
    cameras: Callable[[], Mapping[str, Camera]]
    served: Callable[[], Sequence[Served]]
    infer: Callable[[], InferRow]
    engines: Callable[[], EngineDesk]
    make_engines: Callable[[Teller], EngineDesk]
    wanted: Callable[[Served, str], Wanted]
    serve: Callable[[Wanted, Ready], Awaitable[None]]
    provide: Callable[[Served], Awaitable[None]]
    power: Callable[[], PowerDesk]
    restart: Callable[[], None]
    logs: LogMemory
    level: LogLevel
    config_back: Callable[[], Awaitable[str]] = _no_way_back
    cancel_job: Callable[[str], Awaitable[str]] = _no_cancel

    def camera(self, name: str) -> Camera:
        """Raises CommandError where there is none."""
        found = self.cameras().get(name)
        if found is None:
            raise CommandError(f"there is no camera {name}; there are: {_names(self.cameras())}", code="no_camera")
        return found

    def pipeline(self, name: str) -> Served:
        """Raises CommandError where there is none that runs."""
        every = {served.name: served for served in self.served()}
        if name not in every:
            raise CommandError(f"no pipeline {name} runs here; there are: {_names(every)}", code="no_pipeline")
        return every[name]


def _names(things: Mapping[str, object]) -> str:
    return ", ".join(sorted(things)) or "none"
