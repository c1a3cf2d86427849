"""Brings a config into force on the agent's parts, and sees how the device does with it: what the config desk needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread

from edgeagent.app.cameras import Camera
from edgeagent.app.line import lineup_of
from edgeagent.app.lineup import Lineup
from edgeagent.app.parts import Parts
from edgeagent.app.served import Served
from edgeagent.config.changes import changes_between
from edgeagent.config.mistake import Mistake
from edgeagent.config.schema import Config
from edgeagent.config.trial_facts import CameraFact, Changed, Facts, PipelineFact
from edgeagent.health.book import Word

FRAME_S = 3.0  # a camera without a new frame for so long gives none
FRAMES = 3  # or for so many frames of its rate, where that is longer
ELSEWHERE = ("camera/", "engine/", "pipeline/", "link")  # components that are looked at in their own right
ANSWERS_FOR = {"broker-rights": {"mqtt", "device"}, "metrics": {"metrics"}}  # the tables that may degrade a component


class ConfigApplier:
    """`set_up_anew` ends the agent, for another one to begin in this process."""

    def __init__(self, parts: Parts, set_up_anew: Callable[[str], Awaitable[None]]) -> None:
        self._parts = parts
        self._set_up_anew = set_up_anew
        self._applied_ns = 0

    async def examine(self, config: Config) -> list[Mistake]:
        """Pipelines that cannot run on this device and were not refused before: a model that is not there, a class
        that its model does not know. Models that are still to come from a registry are waited for in the trial."""
        lineup = await anyio.to_thread.run_sync(lineup_of, config)
        known = self._parts.line.lineup.refused
        return [
            Mistake(f"pipelines.{name}", error.message, error.mend)
            for name, error in lineup.refused.items()
            if not error.retry and (name not in known or known[name].line() != error.line())
        ]

    async def bring_into_force(self, config: Config) -> list[str]:
        """Raises EdgeAgentError. Does not return where everything has to be set up anew."""
        changes = changes_between(self._parts.config, config)
        if changes.has("agent"):
            await self._set_up_anew("the settings have changed")
            await anyio.sleep_forever()
        if not changes:
            return []
        lineup: Lineup = await anyio.to_thread.run_sync(lineup_of, config)
        restarted = await self._parts.change(config, lineup)
        self._applied_ns = self._parts.ground.clock.monotonic_ns()
        self._parts.line.on_info()
        return restarted

    def changed(self, old: Config, new: Config) -> Changed:
        changes = changes_between(old, new)
        cameras, models = changes.ids("cameras", "camera", "infer"), changes.ids("models", "engine")
        engines = changes.ids("pipelines", "engine") | {n for n, p in new.pipelines.items() if p.model in models}
        if any(changes.touches(table, "engine") for table in ("engines", "registry")):
            engines = frozenset(new.pipelines)
        looking = {name for name, pipeline in new.pipelines.items() if pipeline.camera in cameras}
        return Changed(
            link=changes.has("link", "agent"),
            cameras=cameras,
            pipelines=changes.ids("pipelines", "infer") | looking,
            settings=changes.ids("pipelines", "pipeline"),
            engines=frozenset(engines),
            components=frozenset(name for name, tables in ANSWERS_FOR.items() if changes.tables & tables),
        )

    def facts(self) -> Facts:
        parts, line = self._parts, self._parts.line
        refused = {
            name: PipelineFact(
                serves=False, waits=error.retry, hopeless=not error.retry, trouble=error.message, bare=True
            )
            for name, error in line.lineup.refused.items()
        }
        return Facts(
            link=parts.keeper.connected,
            link_waits=parts.keeper.waits,
            link_trouble=parts.keeper.trouble,
            cameras={name: self._camera(camera) for name, camera in line.cameras.by_name.items()},
            pipelines={**refused, **{served.name: self._pipeline(served) for served in line.served}},
            alarms=parts.publisher.alarms(),
            failed=self._ill("failed"),
            degraded=self._ill("degraded"),
        )

    def _ill(self, word: Word) -> dict[str, str]:
        """The components in that health, each with its reason."""
        return {
            name: component.reason
            for name, component in self._parts.publisher.health().components.items()
            if component.health == word and not name.startswith(ELSEWHERE)
        }

    def _camera(self, camera: Camera) -> CameraFact:
        if camera.state.ended:
            return CameraFact(flows=True)
        fps = camera.state.opened.fps if camera.state.opened else 0.0
        window_ns = max(FRAME_S, FRAMES / fps if fps else 0.0) * 1e9
        now_ns = self._parts.ground.clock.monotonic_ns()
        newest_ns = [ring.newest_ns for ring in camera.rings.values()]
        flows = camera.state.word == "running" and all(
            at_ns > self._applied_ns and now_ns - at_ns < window_ns for at_ns in newest_ns
        )
        waits = camera.state.word in ("starting", "running") and not camera.watch.failures
        return CameraFact(flows, waits, camera.watch.verdict.reason)

    def _pipeline(self, served: Served) -> PipelineFact:
        trouble = self._parts.publisher.health().components.get(f"engine/{served.name}")
        starts = served.start is not None and not served.loaded
        return PipelineFact(
            serves=served.loaded and served.start is not None,
            waits=starts or self._parts.line.is_providing(served.name),
            hopeless=served.given_up,
            trouble=trouble.reason if trouble is not None else "",
            bare=served.start is None,
        )
