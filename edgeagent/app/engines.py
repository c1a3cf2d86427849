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
from edgeagent.errors import EdgeAgentError, EngineError, StoreError
from edgeagent.supervise.child import ChildSpec

log = structlog.get_logger("engine")

PAUSE_AFTER_DEATH_S = 1.0
PAUSE_AFTER_FAILURE_S = 5.0
LOOK_AGAIN_S = 2.0
DEATHS = {"build_killed", "build_crashed", "engine_crashed"}
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

    def refuse(self, pipeline: str, error: EdgeAgentError) -> None:
        """Tell that a pipeline gets no engine, because its model cannot be one."""
        line = error.line()
        self._publisher.engine(
            pipeline, state="failed", reason=line, precision=self._settings.precision, backend=self.backend
        )
        self._blame(pipeline, error, attempt=0)

    async def provide(self, wanted: Wanted, on_ready: Callable[[Wanted, Ready], Awaitable[None]]) -> bool:
        """Until the pipeline has its engine: store, else build; retried with pauses, told at every step.

        False when it will not get one: only a person or a new setting can help.
        """
        attempt = 0
        self._tell(wanted, "wanted")
        self._publisher.note(f"engine/{wanted.pipeline}", "degraded", "its engine is being made")
        while True:
            try:
                found = await self._from_store(wanted)
                if found is None:
                    attempt += 1
                    found = await self._built(wanted, attempt)
            except EdgeAgentError as error:
                if not await self._failed(wanted, error, attempt):
                    return False
                continue
            self._tell_ready(wanted, found)
            await on_ready(wanted, found)
            return True

    async def _from_store(self, wanted: Wanted) -> Ready | None:
        return await anyio.to_thread.run_sync(partial(self._look_up, wanted))

    def _look_up(self, wanted: Wanted) -> Ready | None:
        digest = ""
        if self._settings.precision == "int8":
            found = find_set(wanted.calibration)
            enough = self._settings.calibration_frames + self._settings.holdout_frames
            if found is None or len(found.record.files) < enough:
                return None
            digest = found.record.digest
        entry = self.store().find(self._key(wanted, digest))
        if entry is None:
            return None
        self._check_agreement(entry)
        return Ready(entry, from_store=True)

    def _check_agreement(self, entry: Entry) -> None:
        """An engine proven under a lower demand does not meet a higher one by lying in the store."""
        proven = entry.manifest.agreement
        if proven is not None and proven.value < self._settings.min_agreement:
            raise EngineError(
                f"the engine {entry.manifest.key[:12]} agrees with the FP32 network to {proven.value:.3f} only, and "
                f"engines.min_agreement is {self._settings.min_agreement}",
                mend="lower it, or set engines.precision to fp32",
                code="engine_disagrees",
            )

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
        while True:
            with anyio.move_on_after(LOOK_AGAIN_S):
                await self._one_build.acquire()
                break
            # Another pipeline with the same wish may have built it while this one waited.
            if (found := await self._from_store(wanted)) is not None:
                return found
        try:
            return await self._from_store(wanted) or await self._build(wanted, attempt)
        finally:
            self._one_build.release()

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
        self._blame(wanted.pipeline, error, attempt)
        if not error.retry:
            return False
        await anyio.sleep(self._pause_s(error, attempt))
        self._publisher.note(f"engine/{wanted.pipeline}", "degraded", f"tried again after: {line}")
        return True

    def _pause_s(self, error: EdgeAgentError, attempt: int) -> float:
        if attempt and attempt % self._settings.max_attempts == 0:
            return PAUSE_AFTER_GIVING_UP_S
        return PAUSE_AFTER_DEATH_S if error.error_code in DEATHS else PAUSE_AFTER_FAILURE_S

    def _blame(self, pipeline: str, error: EdgeAgentError, attempt: int) -> None:
        line = error.line()
        self._publisher.note(f"engine/{pipeline}", "failed", line)
        final = not error.retry or (attempt > 0 and attempt % self._settings.max_attempts == 0)
        self._publisher.event(
            "engine-failed", "error", line, pipeline=pipeline, code=error.error_code, attempt=attempt, final=final
        )

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
