"""Commands about what runs: restart a camera, a pipeline or the agent, take a picture, set the board's power."""

from __future__ import annotations

from typing import Annotated, Literal

import anyio
from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import (
    AfterRestart,
    Args,
    Broken,
    CommandError,
    CommandKind,
    Done,
    Life,
    Progress,
    Result,
)
from edgeagent.app.commands_wait import until
from edgeagent.app.served import Served
from edgeagent.fleet.envelope import Id
from edgeagent.inference.messages import Snapshot

CAMERA_S, PIPELINE_S, AGENT_S, PICTURE_S = 60.0, 120.0, 90.0, 20.0
LAST_WORD_S = 0.3  # for the answer to leave before what it announces


class RestartArgs(Args):
    """One of a camera, a pipeline, the agent."""

    camera: Id | None = None
    pipeline: Id | None = None
    agent: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> RestartArgs:
        if sum(one is not None for one in (self.camera, self.pipeline, self.agent)) != 1:
            raise PydanticCustomError("one", "wants one of camera, pipeline, agent (true)")
        return self


async def run_restart(context: CommandContext, args: RestartArgs, progress: Progress) -> Result:
    """Raises CommandError where there is nothing to be started again."""
    if args.camera is not None:
        return await _restart_camera(context, args.camera)
    if args.pipeline is not None:
        return await _restart_pipeline(context, args.pipeline)
    progress("the agent starts anew")
    await anyio.sleep(LAST_WORD_S)
    context.restart()
    await anyio.sleep(AGENT_S)
    raise CommandError("the agent did not start anew", code="not_restarted")


async def _restart_camera(context: CommandContext, name: str) -> Result:
    camera = context.camera(name)
    if camera.once:
        raise CommandError(f"the camera {name} plays a file once", code="once")
    before = camera.supervisor.pid
    if before is None:
        state = camera.state.word
        raise CommandError(
            f"no process of the camera {name} runs: it is {state}, and tried again by itself", code=state
        )
    await camera.supervisor.renew()
    back = await until(lambda: camera.supervisor.pid not in (None, before) and camera.state.word == "running", CAMERA_S)
    if not back:
        raise CommandError(f"the camera {name} is {camera.state.word} since it was started again", code="not_running")
    return {"camera": name, "pid": camera.supervisor.pid, "pid_before": before}


async def _restart_pipeline(context: CommandContext, name: str) -> Result:
    """The process that runs its engine, and with it every pipeline of that accelerator."""
    context.pipeline(name)
    infer = context.infer().desk_of(name)
    before = None if infer is None else infer.supervisor.pid
    if infer is None or before is None:
        raise CommandError("no infer process runs it; it is tried again by itself", code="not_running")
    again = await infer.renew()
    back = await until(lambda: infer.supervisor.pid not in (None, before) and all(s.loaded for s in again), PIPELINE_S)
    if not back:
        raise CommandError("its engine is not loaded again", code="not_running")
    pid = infer.supervisor.pid
    return {"pipeline": name, "pid": pid, "pid_before": before, "with": [served.name for served in again]}


def restart_after(args: RestartArgs, before: Life, now: Life) -> AfterRestart:
    if args.agent:
        return Done({"session": now.session, "session_before": before.session})
    return Broken()


class SnapshotArgs(Args):
    """Of a pipeline, or of a camera: then of any pipeline that looks at it."""

    camera: Id | None = None
    pipeline: Id | None = None
    drawn: bool = True

    @model_validator(mode="after")
    def _one(self) -> SnapshotArgs:
        if (self.camera is None) == (self.pipeline is None):
            raise PydanticCustomError("one", "wants either camera or pipeline")
        return self


async def run_snapshot(context: CommandContext, args: SnapshotArgs, progress: Progress) -> Result:
    """The picture goes onto the pipeline's snapshot topic; the result says which frame it is."""
    served = _looker(context, args)
    taken: list[Snapshot] = []
    await context.infer().ask_snapshot(served.name, drawn=args.drawn, on_taken=taken.append)
    if not await until(lambda: bool(taken), PICTURE_S):
        raise CommandError(f"the pipeline {served.name} looked at no frame for {PICTURE_S:g} s", code="no_frame")
    word = taken[0]
    return {
        "camera": served.camera.name,
        "pipeline": served.name,
        "frame": word.frame,
        "capture_ts": word.capture_ms,
        "drawn": word.drawn,
        "found": word.found,
        "topic": context.publisher.snapshot_topic(served.camera.name, served.name),
        "jpeg_bytes": len(word.jpeg) * 3 // 4,
    }


def _looker(context: CommandContext, args: SnapshotArgs) -> Served:
    if args.pipeline is not None:
        found = [context.pipeline(args.pipeline)]
    else:
        camera = context.camera(args.camera or "")
        found = [served for served in context.served() if served.camera is camera]
    for served in found:
        if served.running is not None:
            return served
    raise CommandError("no pipeline with an engine looks at it", code="no_pipeline")


class PowerArgs(Args):
    """`intent` null: back to what the config says."""

    intent: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9-]{0,63}$")] | None = Field()


async def run_power(context: CommandContext, args: PowerArgs, progress: Progress) -> Result:
    """In force until the agent starts again or another word comes. Nothing is rebooted for it."""
    power = context.power()
    why = await power.ask(args.intent)
    view = power.view
    if why:
        raise CommandError(why, code="not_in_force")
    return {"state": view.state, "intent": view.intent, "mode": view.mode, "clocks": view.clocks, "fan": view.fan}


RESTART = CommandKind("restart", RestartArgs, run_restart, 180.0, after_restart=restart_after)
SNAPSHOT = CommandKind("snapshot", SnapshotArgs, run_snapshot, 60.0)
POWER = CommandKind("power", PowerArgs, run_power, 300.0, "alone")
