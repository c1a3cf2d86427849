"""Carries the inference ladder out: takes the governor's verdicts, lets pipelines do less, and gives it back.

What is decided is `thermal.ladder`'s, which is pure. Here the desk keeps what is in force equal to what the ladder
grants, pipeline by pipeline: the pace of the infer child, the share of frames that a camera reads, the engine that
serves, the board's power. A step that cannot be carried out is withdrawn, told, and not tried again for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio

from edgeagent.app.engine_look import Ready
from edgeagent.app.infer_row import InferRow
from edgeagent.app.served import Served
from edgeagent.app.shed_possible import Engines, Possible, Power
from edgeagent.app.shed_rates import expected_rate, full_rate
from edgeagent.app.shed_words import ShedWords
from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError
from edgeagent.inference.messages import Pace
from edgeagent.thermal.governor import Verdict
from edgeagent.thermal.ladder import (
    Grant,
    Ladder,
    LadderRules,
    LadderState,
    climb,
    grant,
    lowered_power,
    unavailable,
    withdraw,
)
from edgeagent.thermal.steps import Step

LEAST_CAMERA_FPS = 1.0  # a camera that nobody looks at: enough to see that it lives, and for a calibration
SAMPLES_MISSED = 3


class Streams(Protocol):
    """Who judges whether frames are lost: it must know which are meant to be."""

    def ask(self, pipeline: str, fps: float | None) -> None: ...

    def forget(self, pipeline: str) -> None: ...


@dataclass
class _InForce:
    """What is really in force for a pipeline. `home`: its own engine, to go back to."""

    pace: tuple[float, float | None] = (1.0, None)
    engine: tuple[str, str] = ("", "")
    home: Ready | None = None
    lesser: str = ""


class SheddingDesk:
    """For the event loop only. `take` is given every verdict; `sample_s` lie between two, or less."""

    def __init__(
        self,
        served: Sequence[Served],
        infer: InferRow,
        engines: Engines,
        power: Power,
        streams: Streams,
        words: ShedWords,
        clock: Clock,
        *,
        sample_s: float = 2.0,
        calm_s: float = LadderRules.calm_s,
        plugins: Sequence[str] = (),
    ) -> None:
        self._served = {one.name: one for one in served}
        self._steps = {one.name: one.settings.ladder for one in served}
        self._infer = infer
        self._power = power
        self._possible = Possible(self._served, self._steps, engines, power)
        self._streams = streams
        self._words = words
        self._clock = clock
        self._rules = LadderRules(
            calm_s=calm_s,
            relapse_s=max(LadderRules.relapse_s, calm_s),
            max_calm_s=max(LadderRules.max_calm_s, calm_s),
            stale_s=max(LadderRules.stale_s, SAMPLES_MISSED * sample_s),
        )
        self._plugins = plugins
        self._state = LadderState()
        self._in_force = {one.name: _InForce() for one in served}
        self._power_in_force = ""
        self.on_engine: Callable[[], None] = lambda: None
        self._wake = anyio.Event()

    # deciding

    def take(self, verdict: Verdict) -> None:
        """One look of the governor's: at most one step."""
        now_s = self._now_s()
        ladders = [self._ladder(served) for served in self._served.values() if served.start is not None]
        cannot = self._possible.cannot(now_s)
        self._state, change = climb(self._rules, ladders, self._state, verdict, now_s, cannot)
        self._possible.notice(now_s, warm=verdict.level != "nominal" or verdict.allowance < 1)
        if change is not None:
            self._words.changed(change, verdict.level)
        if change is not None or self._possible.due(now_s):
            self._wake.set()
        self._tell(ladders, cannot, now_s)

    def _ladder(self, served: Served) -> Ladder:
        settings = served.settings
        return Ladder(served.name, self._steps[served.name], settings.priority, settings.critical, full_rate(served))

    def _tell(self, ladders: Sequence[Ladder], cannot: dict[tuple[str, Step], str], now_s: float) -> None:
        missing: dict[str, list[tuple[Step, str]]] = {}
        for name, step, why in unavailable(ladders, self._state, cannot):
            missing.setdefault(name, []).append((step, why))
        for ladder in ladders:
            granted = grant(self._state, ladder.pipeline)
            since_s = granted.steps[0].since_s if granted.steps else None
            self._served[ladder.pipeline].shed_since_ns = None if since_s is None else round(since_s * 1e9)
            self._words.state(ladder, granted, now_s, missing.get(ladder.pipeline, ()))

    # carrying out

    async def run(self) -> None:
        """Until cancelled: bring into force what the ladder grants. Says first how every pipeline is: the broker may
        still hold what an earlier session has left."""
        self._tell([self._ladder(served) for served in self._served.values()], {}, self._now_s())
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self._carry_out()
            await self._possible.look(lambda: self._state, self._now_s)

    async def _carry_out(self) -> None:
        for served in self._served.values():
            granted = grant(self._state, served.name)
            await self._set_pace(served, granted)
            await self._set_engine(served, granted)
        await self._set_cameras()
        await self._set_power(lowered_power(self._state))

    async def _set_pace(self, served: Served, granted: Grant) -> None:
        mine = self._in_force[served.name]
        if mine.pace == granted.limits:
            return
        mine.pace = granted.limits
        self._streams.ask(served.name, expected_rate(served, granted))
        await self._infer.pace(Pace(pipeline=served.name, share=granted.share, per_s=granted.per_s))

    async def _set_cameras(self) -> None:
        """A camera whose pipelines are all paused reads a frame a second."""
        for camera in {id(served.camera): served.camera for served in self._served.values()}.values():
            looking = [served for served in self._served.values() if served.camera is camera]
            paused = all(grant(self._state, served.name).paused for served in looking)
            fps = camera.state.opened.fps if camera.state.opened else 0.0
            await camera.read_share(min(1.0, LEAST_CAMERA_FPS / fps) if paused and fps else 1.0)

    async def _set_power(self, intent: str) -> None:
        if intent == self._power_in_force:
            return
        if not intent:
            self._power_in_force = ""
            self._power.raise_again()
            return
        self._power_in_force = intent
        if why := await self._power.lower(intent):
            self._power_in_force = ""
            self._power.raise_again()
            step = Step("power", name=intent)
            holders = [taken.pipeline for taken in self._state.taken if taken.step == step]
            if holders:  # else it was given back while the board took its time to answer
                self._give_up(holders[0], step, why)

    async def retire(self) -> None:
        """Give everything back before another desk takes over; `run` has ended."""
        self._power.raise_again()
        for served in self._served.values():
            if served.pace is not None and self._in_force[served.name].pace != (1.0, None):
                await self._infer.pace(Pace(pipeline=served.name))
            self._streams.ask(served.name, None)
            served.shed_since_ns = None
        for camera in {id(served.camera): served.camera for served in self._served.values()}.values():
            await camera.read_share(1.0)

    # engines

    async def serve(self, name: str, ready: Ready) -> None:
        """The pipeline's own engine has come. It serves at once, unless a lesser one serves in its place."""
        mine = self._in_force[name]
        mine.home = ready
        start = self._served[name].start
        if mine.lesser and start is not None and start.engine == mine.lesser:
            return
        if mine.lesser:  # it was taken away: it did not load, or took its process along
            self._give_up_engine(name, grant(self._state, name), "its engine did not run")
        await self._serve_home(name)

    async def _serve_home(self, name: str) -> None:
        mine = self._in_force[name]
        mine.lesser, mine.engine = "", ("", "")
        if (ready := mine.home) is not None:
            self._streams.forget(name)
            await self._infer.serve(
                name,
                ready.entry.manifest,
                str(ready.entry.plan_path),
                dla_core=ready.candidate.dla_core,
                plugins=self._plugins,
            )
            self.on_engine()

    async def _set_engine(self, served: Served, granted: Grant) -> None:
        mine, wanted = self._in_force[served.name], (granted.model, granted.placement)
        if mine.engine == wanted:
            return
        if wanted == ("", ""):
            await self._serve_home(served.name)
            return
        try:
            found = await self._possible.find(served, granted.model, granted.placement)
        except EdgeAgentError as error:
            self._give_up_engine(served.name, granted, error.message)
            return
        manifest = found.ready.entry.manifest
        mine.engine, mine.lesser = wanted, manifest.key
        self._streams.forget(served.name)
        await self._infer.serve(
            served.name,
            manifest,
            str(found.ready.entry.plan_path),
            dla_core=found.ready.candidate.dla_core,
            plugins=self._plugins,
            model=found.model,
            classes=found.classes,
        )
        self.on_engine()

    def _give_up_engine(self, name: str, granted: Grant, why: str) -> None:
        """The newest of these steps that changed the pipeline's engine came to nothing; it may have been given back,
        and others taken, meanwhile."""
        changed = [one.step for one in granted.steps if one.step.kind in ("model", "placement")]
        if changed:
            self._give_up(name, changed[-1], why)

    def _give_up(self, name: str, step: Step, why: str) -> None:
        self._state, taken = withdraw(self._state, name, step)
        self._possible.came_to_nothing(name, step, self._now_s(), why)
        if taken is not None:
            self._words.came_to_nothing(taken, why)
        self._wake.set()

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
