"""Commands about engines: build one now, make room, go back to the one before, collect calibration frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from edgeagent.app.cameras import Camera
from edgeagent.app.collect_watch import collect
from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import Again, Args, CommandError, CommandKind, Life, Progress, Result
from edgeagent.app.commands_wait import until
from edgeagent.app.engine_job import Wanted
from edgeagent.app.engine_look import Ready
from edgeagent.app.engines import EngineDesk
from edgeagent.app.job_teller import JobTeller
from edgeagent.app.served import Served
from edgeagent.app.shared_frames import FramesFrom, frames_from
from edgeagent.engine.build.messages import CalibrationWish
from edgeagent.fleet.envelope import Id

MB = 1_000_000
SERVES_S = 60.0


class BuildArgs(Args):
    """Of a pipeline, or of every pipeline that runs a model."""

    pipeline: Id | None = None
    model: Id | None = None
    force: bool = False

    @model_validator(mode="after")
    def _one(self) -> BuildArgs:
        if (self.pipeline is None) == (self.model is None):
            raise PydanticCustomError("one", "wants either pipeline or model")
        return self


async def run_build(context: CommandContext, args: BuildArgs, progress: Progress) -> Result:
    """Every pipeline's wanted engine: from the store, a registry, or built. With `force` it is made anew where it is
    there, and one in quarantine gets another chance."""
    served = _chosen(context, args)
    made = [await _provided(context, one, progress, force=args.force) for one in served]
    return {"engines": list(made)}


def _chosen(context: CommandContext, args: BuildArgs) -> Sequence[Served]:
    if args.pipeline is not None:
        return [context.pipeline(args.pipeline)]
    found = [served for served in context.served() if served.model == args.model]
    if not found:
        raise CommandError(f"no pipeline runs the model {args.model}", code="no_pipeline")
    return found


async def _provided(context: CommandContext, served: Served, progress: Progress, *, force: bool) -> Result:
    wanted = await anyio.to_thread.run_sync(partial(context.wanted, served, served.model))
    teller = JobTeller(context.publisher, served.name, progress)
    engines = context.make_engines(teller)
    with teller.told_as_before_when_cancelled():
        if force:
            await anyio.to_thread.run_sync(_give_another_chance, engines, wanted)
        ready = await _got(engines, wanted, teller)
        if force and ready.origin == "store":
            ready = await _made_anew(engines, wanted, teller, ready)
    key = ready.entry.manifest.key
    await anyio.to_thread.run_sync(engines.store().set_active, served.name, key)
    await context.serve(wanted, ready)
    serves = await until(lambda: served.running is not None and served.running.engine == key, SERVES_S)
    served.given_up = served.given_up and not serves
    return {"pipeline": served.name, "engine": key, "origin": ready.origin, "serves": serves}


async def _got(engines: EngineDesk, wanted: Wanted, teller: JobTeller) -> Ready:
    """Raises CommandError with what the desk has told."""
    found: list[Ready] = []

    async def take(_: Wanted, ready: Ready) -> None:
        found.append(ready)

    if not await engines.provide(wanted, take) or not found:
        code, reason = teller.failure
        raise CommandError(reason or "there is no engine", code=code or "engine_failed")
    return found[-1]


def _give_another_chance(engines: EngineDesk, wanted: Wanted) -> None:
    store = engines.store()
    for manifest in store.entries():
        if manifest.model.name == wanted.bundle.spec.name and store.status(manifest.key) == "quarantined":
            store.release(manifest.key)


async def _made_anew(engines: EngineDesk, wanted: Wanted, teller: JobTeller, ready: Ready) -> Ready:
    """The engine once more; the one that is there comes back where no other takes its place."""
    store, key = engines.store(), ready.entry.manifest.key
    await anyio.to_thread.run_sync(store.set_apart, key)
    try:
        anew = await _got(engines, wanted, teller)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(store.bring_back, key)
    if anew.origin == "store":
        raise CommandError("it could not be made anew; the one that was there is kept", code="engine_failed")
    return anew


def build_after_restart(args: BuildArgs, before: Life, now: Life) -> Again:
    """A build has no effect until it is done, and what it has collected stays."""
    return Again()


class PruneArgs(Args):
    max_mb: int | None = Field(default=None, ge=0, le=10_000_000)
    dry_run: bool = False


async def run_prune(context: CommandContext, args: PruneArgs, progress: Progress) -> Result:
    """Remove engines that nothing uses until the store is within its budget."""
    budget = (context.config().engines.store_max_mb if args.max_mb is None else args.max_mb) * MB
    store = context.engines().store()
    removals = await anyio.to_thread.run_sync(store.plan_prune if args.dry_run else store.prune, budget)
    left = sum(one.bytes for one in await anyio.to_thread.run_sync(store.holdings))
    removed: list[Result] = [{"name": one.name, "bytes": one.bytes, "reason": one.reason} for one in removals[:100]]
    return {"removed": list(removed), "count": len(removals), "bytes": left, "dry_run": args.dry_run}


async def engine_back(context: CommandContext, pipeline: str) -> Result:
    """The active engine goes into quarantine, and the one before serves: lasting, until somebody builds with force."""
    served = context.pipeline(pipeline)
    engines = context.engines()
    store = engines.store()
    active = await anyio.to_thread.run_sync(store.active, pipeline)
    before = await anyio.to_thread.run_sync(store.previous, pipeline)
    if not active or not before or store.status(before) != "ready":
        raise CommandError(f"there is no engine before the one that serves {pipeline}", code="no_engine")
    wanted = await anyio.to_thread.run_sync(partial(context.wanted, served, served.model))
    was_ready = store.status(active) == "ready"
    await anyio.to_thread.run_sync(store.quarantine, active, "rolled_back", "a command went back to the one before")
    ready = await anyio.to_thread.run_sync(engines.stand_in_for, wanted)
    if ready is None:
        if was_ready:
            await anyio.to_thread.run_sync(store.release, active)
        raise CommandError("the engine before is of another model or another board", code="no_engine")
    await anyio.to_thread.run_sync(store.set_active, pipeline, ready.entry.manifest.key)
    engines.words(pipeline).serves_meanwhile(ready.entry.manifest.key)
    await context.serve(wanted, ready)
    key = ready.entry.manifest.key
    serves = await until(lambda: served.running is not None and served.running.engine == key, SERVES_S)
    return {"pipeline": pipeline, "engine": key, "quarantined": active, "serves": serves}


class CalibrateArgs(Args):
    camera: Id
    frames: int | None = Field(default=None, ge=8, le=2000)


async def run_calibrate(context: CommandContext, args: CalibrateArgs, progress: Progress) -> Result:
    """A new calibration set of a camera, for each picture size that its pipelines take; where cameras share one, of all
    of them."""
    camera, engines = context.camera(args.camera), context.config().engines
    if engines.calibration_images is not None:
        raise CommandError("engines.calibration_images names pictures, so no camera's are used", code="images_are_set")
    frames = engines.calibration_frames if args.frames is None else args.frames
    if frames < engines.calibration_frames:
        raise CommandError(f"frames: a build wants at least {engines.calibration_frames}", code="bad_args")
    looks = {one.name: (one, served.ring.layout) for served, one in _frames_of(camera, context)}
    if not looks:
        raise CommandError(f"no pipeline takes frames of the camera {args.camera}", code="no_pipeline")
    sets: list[Result] = []
    for name, (source, layout) in looks.items():
        width, height = layout.width, layout.height
        wish = CalibrationWish(
            folder=str(Path(context.config().device.state_dir) / "calibration" / name),
            frames=frames,
            holdout=engines.holdout_frames,
            interval_s=engines.calibration_interval_s,
            looks=engines.calibration_looks,
        )
        rings = (source.ring_fd, *source.others)
        found = await collect(wish, rings, width, height, context.clock, progress)
        sets.append({"set": name, "frames": found.frames, "digest": found.digest, "width": width, "height": height})
    return {"camera": camera.name, "sets": list(sets)}


def _frames_of(camera: Camera, context: CommandContext) -> Iterator[tuple[Served, FramesFrom]]:
    """The camera's pipelines, each with the frames that its engine is calibrated on."""
    everyone, config = context.served(), context.config()
    for served in everyone:
        if served.camera is camera:
            yield served, frames_from(served, everyone, config, served.model)


BUILD = CommandKind("build", BuildArgs, run_build, 6 * 3600.0, "alone", after_restart=build_after_restart)
PRUNE = CommandKind("prune", PruneArgs, run_prune, 600.0)
CALIBRATE = CommandKind("calibrate", CalibrateArgs, run_calibrate, 3600.0, "alone")
