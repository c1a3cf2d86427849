"""Engines that do not load or take their process along: blamed, in quarantine the second time, replaced.

The store counts (engine/record.py); this hears of it from the infer children's desks, and asks for an engine anew. An
engine that has run well for a while starts again from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from edgeagent.app.engines import EngineDesk
from edgeagent.app.groups import Crew
from edgeagent.app.infer_row import InferRow
from edgeagent.app.publisher import Publisher
from edgeagent.app.served import Served

PAUSE_S = 1.0
TRUST_AFTER_S = 600.0  # an engine that ran so long without taking its process along is a good one


class EngineTroubles:
    """`provide` gets a pipeline its engine, from the beginning."""

    def __init__(
        self,
        engines: EngineDesk,
        infer: InferRow,
        publisher: Publisher,
        provide: Callable[[Served], Coroutine[Any, Any, None]],
    ) -> None:
        self._engines = engines
        self._infer = infer
        self._publisher = publisher
        self._provide = provide
        self._tasks: Crew | None = None

    def watch(self, tasks: Crew) -> None:
        """Hear of troubles from now on; what follows from them runs in `tasks`."""
        self._tasks = tasks
        self._infer.news.load_failed = self._not_loaded
        self._infer.news.crash = self._crashed
        self._infer.news.run_failed = self._taken_out

    def serves(self, engine: str) -> None:
        """An engine was given to an infer child."""
        if self._tasks is not None:
            self._tasks.start_soon(self._trust_later, engine)

    def _not_loaded(self, served: Served, engine: str, reason: str) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(self._after_failed_load, served, engine, reason)

    async def _after_failed_load(self, served: Served, engine: str, reason: str) -> None:
        """Once more with the same engine; after that it is in quarantine, and another is made or taken."""
        if await self._engines.blame(engine, "load", reason):
            self._tell_quarantine(engine, f"did not load twice: {reason}")
        await anyio.sleep(PAUSE_S)
        await self._provide(served)

    def _taken_out(self, served: Served, engine: str, reason: str) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(self._after_failed_run, served, engine, reason)

    async def _after_failed_run(self, served: Served, engine: str, reason: str) -> None:
        """As after a failed load: loaded anew once, then in quarantine. The one before may serve meanwhile."""
        if await self._engines.blame(engine, "run", reason):
            self._tell_quarantine(engine, f"has failed twice: {reason}")
        await anyio.sleep(PAUSE_S)
        await self._provide(served)

    def _crashed(self, engine: str, reason: str) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(self._after_crash, engine, reason)

    async def _after_crash(self, engine: str, reason: str) -> None:
        """The supervisor starts the child again; an engine that has done it twice is not given to it any more."""
        if not await self._engines.blame(engine, "crash", reason):
            return
        self._tell_quarantine(engine, "has crashed its process twice")
        for served in self._infer.stop_serving(engine):
            if self._tasks is not None:
                self._tasks.start_soon(self._provide, served)

    def _tell_quarantine(self, engine: str, why: str) -> None:
        text = f"the engine {engine[:12]} is in quarantine: it {why}"
        self._publisher.event("engine-quarantined", "error", text, engine=engine)

    async def _trust_later(self, engine: str) -> None:
        desk = self._infer.desk_with(engine)
        if desk is None:
            return
        restarts = desk.supervisor.restarts
        await anyio.sleep(TRUST_AFTER_S)
        if self._infer.desk_with(engine) is desk and desk.supervisor.restarts == restarts:
            await self._engines.trust(engine)
