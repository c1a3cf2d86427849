"""Engines: for every pipeline the right one, from the store or built, one build at a time.

The desk decides the order (store, then build) and the retries; the build child does the work in its own process
group, first in line for the kernel's out-of-memory killer. Serving goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import structlog

from edgeagent.app.build_watch import BuildWatch
from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.config.schema import EngineSettings
from edgeagent.engine.build.messages import BuildStart, CalibrationWish, Progress
from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.calibration import find_set, sweep_sets
from edgeagent.engine.key import engine_key
from edgeagent.engine.store import EngineStore, Entry
from edgeagent.engine.wish import wish_for
from edgeagent.errors import EdgeAgentError, StoreError
from edgeagent.supervise.child import ChildSpec

log = structlog.get_logger("engine")

PAUSE_AFTER_FAILURE_S = 5.0
PAUSE_AFTER_GIVING_UP_S = 600.0
BUILD_NICE = 10
BUILD_OOM_SCORE = 800
STATE_OF_PHASE = {
    "waiting": "waiting",
    "collecting": "collecting",
    "preparing": "building",
    "calibrating": "building",
    "verifying": "verifying",
    "storing": "verifying",
}


@dataclass(frozen=True)
class Wanted:
    """One pipeline's engine wish."""

    pipeline: str
    model: str
    bundle: ModelBundle
    calibration: Path
    ring_fd: int


@dataclass(frozen=True)
class Ready:
    """A verified engine for a pipeline. `from_store` is False when this agent built it just now."""

    entry: Entry
    from_store: bool


class EngineDesk:
    """Gets engines for pipelines. `on_ready` is awaited with each one."""

    def __init__(
        self, settings: EngineSettings, state_dir: Path, fingerprint: dict[str, str], publisher: Publisher, clock: Clock
    ) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._fingerprint = fingerprint
        self._publisher = publisher
        self._clock = clock
        self._one_build = anyio.Lock()
        self._store: EngineStore | None = None

    @property
    def backend(self) -> str:
        """`auto` is ONNX Runtime as long as it is the only backend there is."""
        return "onnxruntime" if self._settings.backend == "auto" else self._settings.backend

    def sweep(self) -> None:
        """Clean up after builds that were killed. Raises StoreError when the store cannot be made."""
        for name in self.store().sweep():
            log.info("swept", entry=name)
        sweep_sets(self._state_dir / "calibration")

    def store(self) -> EngineStore:
        if self._store is None:
            self._store = EngineStore(self._state_dir / "engines")
        return self._store

    async def provide(self, wanted: Wanted, on_ready: Callable[[Wanted, Ready], Awaitable[None]]) -> None:
        """Until the pipeline has its engine: store, else build; retried with pauses, told at every step."""
        attempt = 0
        self._tell(wanted, "wanted")
        while True:
            try:
                found = await self._from_store(wanted)
                if found is None:
                    attempt += 1
                    found = await self._built(wanted, attempt)
            except EdgeAgentError as error:
                if not await self._failed(wanted, error, attempt):
                    return
                continue
            self._tell_ready(wanted, found)
            await on_ready(wanted, found)
            return

    async def _from_store(self, wanted: Wanted) -> Ready | None:
        return await anyio.to_thread.run_sync(partial(self._look_up, wanted))

    def _look_up(self, wanted: Wanted) -> Ready | None:
        digest = ""
        if self._settings.precision == "int8":
            found = find_set(wanted.calibration)
            if found is None:
                return None
            digest = found.record.digest
        entry = self.store().find(self._key(wanted, digest))
        return None if entry is None else Ready(entry, from_store=True)

    def _key(self, wanted: Wanted, calibration_digest: str) -> str:
        return engine_key(
            wish_for(
                wanted.bundle,
                precision=self._settings.precision,
                calibration_digest=calibration_digest,
                backend=self.backend,
                fingerprint=self._fingerprint,
            )
        )

    async def _built(self, wanted: Wanted, attempt: int) -> Ready:
        if self._one_build.locked():
            self._tell(wanted, "waiting", phase="another pipeline's engine is being built", attempt=attempt)
        async with self._one_build:
            # Another pipeline with the same wish may have built it while this one waited.
            found = await self._from_store(wanted)
            return found if found is not None else await self._build(wanted, attempt)

    async def _build(self, wanted: Wanted, attempt: int) -> Ready:
        watch = BuildWatch(self._spec(wanted), self._clock, partial(self._progress, wanted, attempt))
        log.info("build", pipeline=wanted.pipeline, attempt=attempt, precision=self._settings.precision)
        built = await watch.run(self._settings.build_timeout_s)
        entry = await anyio.to_thread.run_sync(self.store().find, built.key)
        if entry is None:
            raise StoreError(f"the engine {built.key} is not in the store after its build", retry=True)
        return Ready(entry, built.from_store)

    def _spec(self, wanted: Wanted) -> ChildSpec:
        settings = self._settings
        start = BuildStart(
            model=wanted.model,
            precision=settings.precision,
            backend=self.backend,
            fingerprint=self._fingerprint,
            calibration=CalibrationWish(
                folder=str(wanted.calibration),
                frames=settings.calibration_frames,
                holdout=settings.holdout_frames,
                interval_s=settings.calibration_interval_s,
            ),
            store=str(self._state_dir / "engines"),
            ring_fd=wanted.ring_fd,
            threads=settings.build_threads or 1,
            min_agreement=settings.min_agreement,
        )
        return ChildSpec(
            name=f"build-{wanted.pipeline}",
            module="edgeagent.engine.build.child",
            first=start,
            pass_fds=[wanted.ring_fd],
            own_group=True,
            nice=BUILD_NICE,
            oom_score_adj=BUILD_OOM_SCORE,
            environment={"OMP_NUM_THREADS": str(start.threads)},
        )

    async def _failed(self, wanted: Wanted, error: EdgeAgentError, attempt: int) -> bool:
        """Tell it; wait if trying again can help. False when only a person or a new setting can."""
        line = error.line()
        log.warning("build_failed", pipeline=wanted.pipeline, code=error.error_code, reason=line, attempt=attempt)
        self._tell(wanted, "failed", reason=line, attempt=attempt)
        self._publisher.note(f"engine/{wanted.pipeline}", "failed", line)
        self._publisher.event(
            "engine-failed", "error", line, pipeline=wanted.pipeline, code=error.error_code, attempt=attempt
        )
        if not error.retry:
            return False
        spent = attempt % self._settings.max_attempts == 0
        await anyio.sleep(PAUSE_AFTER_GIVING_UP_S if spent and attempt else PAUSE_AFTER_FAILURE_S)
        return True

    def _progress(self, wanted: Wanted, attempt: int, word: Progress, eta_s: float | None) -> None:
        self._tell(
            wanted,
            STATE_OF_PHASE[word.phase],
            phase=word.text,
            percent=word.percent,
            attempt=attempt,
            key=word.key,
            eta_s=eta_s,
        )

    def _tell(self, wanted: Wanted, state: str, **values: object) -> None:
        common = {"precision": self._settings.precision, "backend": self.backend}
        self._publisher.engine(wanted.pipeline, state=state, **common, **values)

    def _tell_ready(self, wanted: Wanted, ready: Ready) -> None:
        manifest = ready.entry.manifest
        agreement = manifest.agreement.value if manifest.agreement else None
        log.info("engine", pipeline=wanted.pipeline, key=manifest.key, from_store=ready.from_store, agreement=agreement)
        self._tell(
            wanted,
            "ready",
            key=manifest.key,
            percent=100.0,
            from_store=ready.from_store,
            build_s=manifest.build_s,
            agreement=agreement,
        )
        self._publisher.note(f"engine/{wanted.pipeline}", "ok")
