"""How the line goes over to another config while it runs: only what has changed is stopped and begun anew.

What a key's change brings about stands in config/changes.py; rings are looked at beside it, because a model may want
frames of another size. Order: what uses a part is stopped before it, and begun after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.app.line import Line, infer_settings
from edgeagent.app.lineup import Lineup
from edgeagent.app.served import Served, restarted
from edgeagent.app.shared_frames import other_frames
from edgeagent.config.changes import Changes
from edgeagent.config.schema import Config


@dataclass(frozen=True)
class LinePlan:
    """`inference`: its children are started anew; `engines`: another desk asks for every engine; `shedding`: what was
    given up is given back; `cameras` get a new capture; `resettle` are loaded anew beside themselves; for `provide` the
    right engine is looked for: another model's, or one made with the frames of a new source, its own or another
    pipeline's that shares the engine."""

    inference: bool
    engines: bool
    shedding: bool
    cameras: frozenset[str]
    resettle: frozenset[str]
    provide: frozenset[str]


def plan_line(line: Line, config: Config, lineup: Lineup, changes: Changes) -> LinePlan:
    """What has to be done to the line as it runs now."""
    cameras, wishes = changes.ids("cameras", "camera"), lineup.cameras()
    inference = (
        changes.touches("cameras", "infer")
        or changes.touches("pipelines", "infer")
        or changes.touches("engines", "infer")
        or not line.cameras.keeps_rings(wishes, cameras)
        or _seats(line.config, line.lineup) != _seats(config, lineup)
    )
    engines = inference or any(changes.touches(table, "engine") for table in ("engines", "registry", "thermal"))
    models = changes.ids("models", "engine")
    provide = (
        changes.ids("pipelines", "engine")
        | other_frames(line.config, config)
        | {
            name
            for name, pipeline in config.pipelines.items()
            if pipeline.model in models or pipeline.camera in cameras
        }
    )
    return LinePlan(
        inference=inference,
        engines=engines,
        shedding=engines or changes.has("shedding"),
        cameras=cameras,
        resettle=changes.ids("pipelines", "pipeline", "shedding"),
        provide=frozenset(provide),
    )


def _seats(config: Config, lineup: Lineup) -> dict[str, str]:
    """The pipelines that run, each with its camera."""
    cameras = lineup.cameras()
    return {
        name: settings.camera
        for name, settings in config.pipelines.items()
        if settings.enabled and name not in lineup.refused and settings.camera in cameras
    }


async def change_line(line: Line, config: Config, lineup: Lineup, changes: Changes) -> list[str]:
    """Bring the config into force. The processes that were started anew for it, such as camera/gate."""
    plan = plan_line(line, config, lineup, changes)
    await _stop(line, plan)
    before, line.config, line.lineup = line.config, config, lineup
    cameras = await line.cameras.change(lineup.cameras(), plan.cameras)
    _forget(line, before)
    _seat(line, plan, before)
    if plan.engines:
        line.make_engines()
    if plan.shedding:
        line.make_shedding()
    await _begin(line, plan)
    return [*(f"camera/{name}" for name in cameras), *(line.infer.names() if plan.inference else [])]


async def _stop(line: Line, plan: LinePlan) -> None:
    if plan.engines:
        await line.crew.stop()
    if plan.shedding:
        await line.stop_shedding()
        await line.shedding.retire()
    if plan.inference:
        await line.stop_inference()


async def _begin(line: Line, plan: LinePlan) -> None:
    if plan.inference:
        line.begin_inference()
    if plan.shedding:
        line.begin_shedding()
    if not plan.inference:
        for served in line.served:
            if served.name in plan.resettle:
                await line.infer.resettle(served.name)
    if plan.engines:
        line.begin_engines()
        return
    line.refuse()
    for served in line.served:
        if plan.shedding or served.name in plan.provide:
            line.crew.start_soon(line.provide, served)


def _forget(line: Line, before: Config) -> None:
    """What is no more in the config, or not enabled any longer, counts no more."""
    config, publisher = line.config, line.ground.publisher
    for name, settings in before.pipelines.items():
        publisher.forget(f"pipeline/{name}")
        now = config.pipelines.get(name)
        if settings.enabled and (now is None or not now.enabled):
            publisher.forget_pipeline(name)
            line.ground.governor.streams.forget(name)


def _seat(line: Line, plan: LinePlan, before: Config) -> None:
    """The pipelines as they shall run from now on."""
    old, new = {served.name: served for served in line.served}, _newly_served(line)
    if not plan.inference:
        for served in new:
            _update(old[served.name], served)
        return
    for served in new:
        _carry(line, old.get(served.name), served, before)
    line.served = new
    line.infer.change(new, infer_settings(line.config))


def _newly_served(line: Line) -> list[Served]:
    return line.lineup.pipelines(line.cameras.by_name, line.ground.publisher)


def _update(running: Served, wanted: Served) -> None:
    running.settings, running.camera, running.ring = wanted.settings, wanted.camera, wanted.ring
    running.classes, running.model = wanted.classes, wanted.model


def _carry(line: Line, old: Served | None, new: Served, before: Config) -> None:
    """What a pipeline takes along into another child: its engine, where that is one of the same model for frames of
    the same size, and what was counted."""
    new.shed_told = new.camera.state.shed
    if old is None:
        return
    new.last_track = old.last_track
    was, now = before.models.get(new.model), line.config.models[new.model]
    fits = old.ring.layout == new.ring.layout and was == now
    if old.start is not None and old.start.model == new.model and fits:
        start = old.start.model_copy(update={"ring": new.ring.id})
        new.start = restarted(start, new.settings)
