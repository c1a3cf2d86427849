"""Engines: for every pipeline the right one, from the store, from a registry or built, one build at a time.

The desk decides the order and the retries (engine_course.py, engine/build/policy.py); the build child does the work in
its own process group, first in line for the kernel's out-of-memory killer. Serving goes on meanwhile: with the
engine that served before, where that is one of the same model on the same board.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import structlog

from edgeagent.app.build_power import INTENT, NoPower, PowerLoan
from edgeagent.app.build_start import BuildMaker
from edgeagent.app.build_steer import BuildSteer
from edgeagent.app.build_watch import BuildWatch
from edgeagent.app.engine_conditions import Surroundings
from edgeagent.app.engine_course import Making, kind_of
from edgeagent.app.engine_forms import (
    Site,
    builder_for,
    candidates_for,
    engine_wish,
    plugin_digests,
    settings_mark,
)
from edgeagent.app.engine_job import Job, Wanted
from edgeagent.app.engine_look import EngineLook, Ready, calibration_digest
from edgeagent.app.engine_words import EngineWords
from edgeagent.app.governor import GovernorDesk
from edgeagent.app.steer_news import Pacing, hold_for_heat
from edgeagent.app.teller import Teller
from edgeagent.clock import Clock
from edgeagent.config.engine_tables import EngineSettings, RegistrySettings
from edgeagent.engine.build.gate import Go, decide_start, is_low
from edgeagent.engine.build.ledger import Ledger
from edgeagent.engine.calibration import sweep_sets
from edgeagent.engine.choice import Candidate
from edgeagent.engine.locks import try_lock
from edgeagent.engine.record import FailureKind
from edgeagent.engine.store import EngineStore, store_error
from edgeagent.engine.subject import subject_of
from edgeagent.errors import EdgeAgentError, StoreError

log = structlog.get_logger("engine")

LOOK_AGAIN_S = 2.0
GATE_LOOK_S = 5.0


class EngineDesk:
    """Gets engines for pipelines.

    `patient` is the agent's way: what is remembered counts, and a spent budget means a long pause. Without it an
    operator stands there: nothing is remembered against the wish, and a spent budget is the end.
    """

    def __init__(
        self,
        settings: EngineSettings,
        registry: RegistrySettings,
        state_dir: Path,
        site: Site,
        teller: Teller,
        clock: Clock,
        *,
        patient: bool = True,
        governor: GovernorDesk | None = None,
        power: PowerLoan | None = None,
        pacing: Pacing = "auto",
    ) -> None:
        self._patient = patient
        self._settings = settings
        self._registry = registry
        self._state_dir = state_dir
        self._site = site
        self._teller = teller
        self._clock = clock
        self._one_build = anyio.Lock()
        self._store: EngineStore | None = None
        self._governor = governor
        self._power = power or NoPower()
        self._pacing: Pacing = pacing
        self._maker = BuildMaker(settings, registry, state_dir, site)
        self.surroundings = Surroundings(state_dir)
        self.on_built: Callable[[str], None] = lambda key: None
        self.on_failed: Callable[[str, str], None] = lambda code, text: None

    def sweep(self, pipelines: set[str] | None = None) -> None:
        """Clean up after builds that were killed, and after pipelines that are none of these any more (None: any may
        be). Raises StoreError when the store cannot be made."""
        if pipelines is not None:
            self.store().forget_pipelines(pipelines)
        for name in self.store().sweep():
            log.info("swept", entry=name)
        sweep_sets(self._state_dir / "calibration")

    def store(self) -> EngineStore:
        if self._store is None:
            self._store = EngineStore(self._state_dir / "engines")
        return self._store

    def stand_in_for(self, wanted: Wanted) -> Ready | None:
        """What served the pipeline before, where that is an engine of this model on this very board. Raises StoreError;
        may take a while."""
        return self._look(wanted, {}).stand_in(wanted.pipeline)

    def words(self, pipeline: str) -> EngineWords:
        return EngineWords(pipeline, self._teller, self._settings.precision, self._site.backend)

    def refuse(self, pipeline: str, error: EdgeAgentError) -> None:
        """Tell that a pipeline gets no engine, because its model cannot be one."""
        self.words(pipeline).failed(error, attempt=0, final=True)

    async def provide(self, wanted: Wanted, on_ready: Callable[[Wanted, Ready], Awaitable[None]]) -> bool:
        """Until the pipeline has its engine: store, registry, build; retried with pauses, told at every step.

        `on_ready` is awaited with each engine that shall serve from then on: first perhaps the one that served
        before, then the one that was wanted. False when it will not come: only a person or a new setting can help.
        """
        words = self.words(wanted.pipeline)
        words.wanted()
        if wanted.trouble is not None:
            await self._serve_on(wanted, words, on_ready)
            words.failed(wanted.trouble, attempt=0, final=True)
            return False
        try:
            job = await anyio.to_thread.run_sync(partial(self._job, wanted, words))
        except EdgeAgentError as error:
            words.failed(error, attempt=0, final=True)
            return False
        while True:
            try:
                found = await self._found(job) or await self._made(job, on_ready)
                if found is not None and self._patient:
                    await anyio.to_thread.run_sync(partial(self._keep, job.wanted.pipeline, found.entry.manifest.key))
            except EdgeAgentError as error:
                if not await self._failed(job, error, on_ready):
                    return False
                continue
            if found is None:
                return False
            await self._deliver(job, found, on_ready)
            return True

    async def _serve_on(
        self, wanted: Wanted, words: EngineWords, on_ready: Callable[[Wanted, Ready], Awaitable[None]]
    ) -> None:
        """The model cannot be read: let what served before serve on."""
        if (before := await self._stand_in(wanted)) is not None:
            words.serves_meanwhile(before.entry.manifest.key)
            await on_ready(wanted, before)

    async def _stand_in(
        self, wanted: Wanted, forms: Sequence[Candidate] = (), plugins: dict[str, str] | None = None
    ) -> Ready | None:
        """What served this pipeline before, else what can be had of `forms`; None also where the store cannot tell."""
        try:
            look = self._look(wanted, plugins or {})
            return await anyio.to_thread.run_sync(look.stand_in, wanted.pipeline, forms)
        except StoreError as error:
            log.warning("stand_in", reason=error.line())
            return None

    def _job(self, wanted: Wanted, words: EngineWords) -> Job:
        settings = self._settings.placed(wanted.placement)
        candidates = candidates_for(settings, self._site, wanted.bundle, wanted.max_batch)
        plugins = plugin_digests(self._settings) if self._site.backend == "tensorrt" else {}
        builder = builder_for(self._settings, self._site, candidates[0], plugins)
        making = Making(
            ledger=Ledger(self._state_dir / "engines"),
            subject=subject_of(engine_wish(self._site, wanted.bundle, candidates[0], builder, "")),
            candidates=candidates,
            tunable=self._site.backend == "tensorrt",
            max_attempts=self._settings.max_attempts,
            mark=settings_mark(settings, wanted.calibration.name, wanted.max_batch),
        )
        if self._patient:
            making.recall()
        else:
            making.forget()
        words.form(making.candidate, making.course.steps)
        return Job(wanted, words, making, plugins)

    def _look(self, wanted: Wanted, plugins: dict[str, str]) -> EngineLook:
        """Raises StoreError where the disk takes no store."""
        return EngineLook(self.store(), self._settings, self._site, wanted.bundle, wanted.calibration, plugins)

    async def _calibration_digest(self, job: Job) -> str:
        return await anyio.to_thread.run_sync(calibration_digest, job.wanted.calibration, self._settings)

    async def _found(self, job: Job) -> Ready | None:
        """The engine from the store: in the form asked for, else in the one that was gone on with."""
        candidates = job.making.candidates[: job.making.course.candidate + 1]
        return await anyio.to_thread.run_sync(partial(self._look(job.wanted, job.plugins).find, candidates))

    async def _made(self, job: Job, on_ready: Callable[[Wanted, Ready], Awaitable[None]]) -> Ready | None:
        """The engine from a registry or a build; None where an earlier run has found that it cannot be."""
        await self._serve_meanwhile(job, on_ready)
        digest = await self._calibration_digest(job)
        stopped = job.making.still_stopped(digest)
        if stopped is not None:
            job.words.remembered(stopped.code, stopped.reason)
            return None
        return await self._built(job)

    async def _serve_meanwhile(self, job: Job, on_ready: Callable[[Wanted, Ready], Awaitable[None]]) -> None:
        """Let the engine that served before serve on, where it is one of this model, in any version, on this board;
        else, while one for several frames is made, one for a single frame that is there already."""
        if job.serving:
            return
        if (before := await self._stand_in(job.wanted, _for_one(job.making), job.plugins)) is not None:
            job.serving = before.entry.manifest.key
            job.words.serves_meanwhile(job.serving)
            await on_ready(job.wanted, before)

    async def _built(self, job: Job) -> Ready:
        if self._one_build.locked():
            job.words.waiting("another pipeline's engine is being built")
        while True:
            with anyio.move_on_after(LOOK_AGAIN_S):
                await self._one_build.acquire()
                break
            # Another pipeline with the same wish may have built it while this one waited.
            if (found := await self._found(job)) is not None:
                return found
        try:
            return await self._found(job) or await self._build(job)
        finally:
            self._one_build.release()

    async def _build(self, job: Job) -> Ready:
        async with self._turn(job), self._prepared(job):
            return await self._build_now(job, await self._gate(job))

    @asynccontextmanager
    async def _prepared(self, job: Job) -> AsyncIterator[None]:
        """The board's fan and power are set for a build within the block, where that needs no reboot."""
        job.prepared.clear()
        try:
            if self._governor is not None and self._governor.governs and (done := await self._power.begin()):
                job.prepared.append(f"power intent {INTENT}: {done}")
                job.words.prepared(job.prepared[-1])
            yield
        finally:
            await self._power.end()

    @asynccontextmanager
    async def _turn(self, job: Job) -> AsyncIterator[None]:
        """One build at a time on this device, whoever builds: the agent or a command."""
        lock, told = self._state_dir / "engines" / ".locks" / "build", False
        while True:
            with ExitStack() as stack:
                try:
                    free = stack.enter_context(try_lock(lock))
                except OSError as error:
                    raise store_error("lock", lock, error) from error
                if free:
                    yield
                    return
            if not told:
                job.words.waiting("another process builds an engine")
                told = True
            await anyio.sleep(LOOK_AGAIN_S)

    async def _build_now(self, job: Job, go: Go) -> Ready:
        job.making.begin()
        candidate, course = job.making.candidate, job.making.course
        job.words.form(candidate, course.steps, course.attempts)
        watch = BuildWatch(self._maker.spec(job, go), self._clock, job.words.progress, self._steer(job))
        log.info("build", pipeline=job.wanted.pipeline, attempt=course.attempts, form=candidate.variant.line())
        self.surroundings.begin(watch.tell)
        try:
            built = await watch.run(self._settings.build_timeout_s)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._clear_up)
            raise
        finally:
            self.surroundings.end()
            job.words.unsteered()
        entry = await anyio.to_thread.run_sync(self.store().find, built.key)
        if entry is None:
            raise StoreError(f"the engine {built.key} is not in the store after its build", retry=True)
        if built.origin == "build" and course.workspace_divisor == 1 and course.level is None:
            self.on_built(built.key)  # a lowered one has the key of a full one: it stays on this device
        return Ready(entry, built.origin, candidate, built.agreement)

    def _clear_up(self) -> None:
        """A build that was killed, because it was unwanted or by the kernel, has left what it had written."""
        try:
            for name in self.store().sweep():
                log.info("swept", entry=name)
        except StoreError as error:
            log.warning("store", reason=error.line())

    def _steer(self, job: Job) -> BuildSteer | None:
        if self._governor is None:
            return None
        return BuildSteer(self._governor, self._pacing, self._clock, job.words, ceiling=job.making.course.ceiling)

    async def _gate(self, job: Job) -> Go:
        """Wait until memory, disk and headroom are there; told when it begins and when the reason changes."""
        need = self._maker.need(job.wanted.bundle, job.making.candidate.variant.batch)
        told, began_s = "", self._now_s()
        while True:
            have = self.surroundings.have()
            answer = decide_start(
                need, have, workspace_mb=self._settings.workspace_mb, divisor=job.making.course.workspace_divisor
            )
            if isinstance(answer, Go):
                hot = hold_for_heat(self._governor.verdict if self._governor else None)
                if hot is None:
                    self._note_wait(job, told, self._now_s() - began_s)
                    return answer
                answer = hot
            if answer.code != told:
                told = answer.code
                job.words.held(answer)
            await anyio.sleep(GATE_LOOK_S)
            if (await self._found(job)) is not None:  # somebody else has made it meanwhile: the build ends at once
                return Go(None)

    def _note_wait(self, job: Job, held: str, waited_s: float) -> None:
        """What a build has waited for stands in its record."""
        if held:
            job.prepared.append(f"waited {waited_s:.0f} s ({held.replace('_', ' ')})")

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    async def _failed(
        self, job: Job, error: EdgeAgentError, on_ready: Callable[[Wanted, Ready], Awaitable[None]]
    ) -> bool:
        """Tell it, decide, wait. False when only a person or a new setting can help."""
        self.on_failed(error.error_code, error.line())
        low = is_low(self.surroundings.have())
        kind = kind_of(error, oom_kills=self.surroundings.oom_kills_since(), memory_low=low)
        digest = await self._calibration_digest(job)
        attempt = job.making.course.attempts
        decision = job.making.failed(kind, error, digest)
        spent = job.making.course.tries > 0 and job.making.course.tries % self._settings.max_attempts == 0
        log.warning(
            "build_failed", pipeline=job.wanted.pipeline, kind=kind, code=error.error_code, reason=error.line(),
            attempt=attempt, next=decision.text,
        )  # fmt: skip
        job.words.failed(error, attempt=attempt, final=decision.stop or spent, outcome=kind, then=decision.text)
        await self._serve_meanwhile(job, on_ready)
        if decision.stop or (spent and not self._patient):
            return False
        await anyio.sleep(decision.pause_s)
        job.words.goes_on(f"{decision.text}, after: {error.line()}")
        return True

    async def _deliver(self, job: Job, found: Ready, on_ready: Callable[[Wanted, Ready], Awaitable[None]]) -> None:
        job.making.done()
        job.words.ready(found)
        await on_ready(job.wanted, found)

    def _keep(self, pipeline: str, key: str) -> None:
        """The engine serves from now on and stays; room for the next one. Raises StoreError, to be tried again, when
        somebody has pruned it since it was found. A disk that does not take the note costs the note only."""
        try:
            self.store().set_active(pipeline, key)
            self.store().prune(self._settings.store_max_mb * 1_000_000)
        except StoreError as error:
            if error.error_code == "no_engine":
                raise StoreError(f"the engine {key[:12]} was removed before it could serve", retry=True) from error
            log.warning("store", reason=error.line())

    async def trust(self, key: str) -> None:
        """An engine has run well for a while: what it did before counts no more."""
        with suppress(StoreError):
            await anyio.to_thread.run_sync(self.store().forget_failures, key)

    async def blame(self, key: str, kind: FailureKind, reason: str) -> bool:
        """An engine did not load, took its process along or failed. True when it is in quarantine from now on."""
        return await anyio.to_thread.run_sync(partial(self._blame, key, kind, reason))

    def _blame(self, key: str, kind: FailureKind, reason: str) -> bool:
        try:
            return bool(self.store().note_failure(key, kind, reason))
        except StoreError as error:
            log.warning("store", reason=error.line())
            return False


def _for_one(making: Making) -> list[Candidate]:
    """The forms for one frame of those that come up to the one that is being made."""
    batch = making.candidate.variant.batch
    return [one for one in making.candidates if one.variant.batch == 1] if batch > 1 else []
