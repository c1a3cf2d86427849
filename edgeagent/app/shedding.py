"""Carries the inference ladder out: takes the governor's verdicts, lets pipelines do less, and gives it back.

What is decided is `thermal.ladder`'s, which is pure. Here the desk keeps what is in force equal to what the ladder
grants, pipeline by pipeline: the pace of the infer child, the share of frames that a camera reads, the engine that
serves, the board's power. A step that cannot be carried out is withdrawn, told, and not tried again for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import anyio.to_thread

from edgeagent.app.engine_look import Ready
from edgeagent.app.inference import InferDesk, Served
from edgeagent.app.lesser_engines import NO_LESSER_ENGINE, Lesser
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
LOOK_AGAIN_S = 30.0  # between two looks for what could be shed, while it is warm
SAMPLES_MISSED = 3
TRY_AGAIN_S = 600.0  # after a step that came to nothing
LOSSLESS = "its camera plays a file once: no frame of it is left out"
UNKNOWN = "not looked for yet"


class Engines(Protocol):
    """Where a lesser engine is found; may block, raises EdgeAgentError."""

    def find(self, served: Served, model: str, placement: str) -> Lesser: ...


class Power(Protocol):
    """The board's power, lowered for a while."""

    async def why_not_lower(self, intent: str) -> str: ...

    async def lower(self, intent: str) -> str: ...

    def raise_again(self) -> None: ...


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
    looked_s: float | None = None
    cannot: dict[Step, str] = field(default_factory=dict)
    failed: dict[Step, tuple[float, str]] = field(default_factory=dict)


class SheddingDesk:
    """For the event loop only. `take` is given every verdict; `sample_s` lie between two, or less."""

    def __init__(
        self,
        served: Sequence[Served],
        infer: InferDesk,
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
        self._engines = engines
        self._power = power
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
        self._warm_s: float | None = None
        self.on_engine: Callable[[], None] = lambda: None
        self._wake = anyio.Event()

    # deciding

    def take(self, verdict: Verdict) -> None:
        """One look of the governor's: at most one step."""
        now_s = self._now_s()
        ladders = [self._ladder(served) for served in self._served.values() if served.start is not None]
        cannot = {(name, step): why for name in self._served for step, why in self._cannot(name, now_s).items()}
        self._state, change = climb(self._rules, ladders, self._state, verdict, now_s, cannot)
        if verdict.level == "nominal" and verdict.allowance >= 1:
            self._warm_s = None
        elif self._warm_s is None:
            self._warm_s = now_s
        if change is not None:
            self._words.changed(change, verdict.level)
        if change is not None or any(self._wants_look(served, now_s) for served in self._served.values()):
            self._wake.set()
        self._tell(ladders, cannot, now_s)

    def _ladder(self, served: Served) -> Ladder:
        settings = served.settings
        return Ladder(served.name, self._steps[served.name], settings.priority, settings.critical, full_rate(served))

    def _cannot(self, name: str, now_s: float) -> dict[Step, str]:
        served, mine = self._served[name], self._in_force[name]
        found = dict(mine.cannot)
        for step in self._steps[name]:
            if step.kind == "rate" and served.camera.once:
                found[step] = LOSSLESS
            elif step.kind in ("model", "placement", "power") and mine.looked_s is None:
                found[step] = UNKNOWN
        mine.failed = {step: (until_s, why) for step, (until_s, why) in mine.failed.items() if until_s > now_s}
        return {**found, **{step: why for step, (_, why) in mine.failed.items()}}

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
            await self._look()

    async def _look(self) -> None:
        """Which steps could be taken now, if it came to that."""
        for name, served in self._served.items():
            if self._wants_look(served, self._now_s()):
                self._in_force[name].cannot = await self._why_not(served)
                self._in_force[name].looked_s = self._now_s()

    def _wants_look(self, served: Served, now_s: float) -> bool:
        """Once when a pipeline runs, when it gets warm, and again and again while it is: an engine may have been built
        meanwhile."""
        looked_s = self._in_force[served.name].looked_s
        if served.start is None:
            return False
        if looked_s is None or self._warm_s is None:
            return looked_s is None
        return looked_s < self._warm_s or now_s - looked_s > LOOK_AGAIN_S

    async def _why_not(self, served: Served) -> dict[Step, str]:
        found: dict[Step, str] = {}
        granted = grant(self._state, served.name)
        taken = {one.step for one in granted.steps}
        for step in self._steps[served.name]:
            if step in taken:
                continue
            if step.kind == "power":
                why = await self._power.why_not_lower(step.name) if not self._power_in_force else ""
            elif step.kind in ("model", "placement"):
                why = await self._why_no_engine(served, step, granted)
            else:
                continue
            if why:
                found[step] = why
        return found

    async def _why_no_engine(self, served: Served, step: Step, granted: Grant) -> str:
        if step.kind == "placement" and served.start is not None and served.start.dla_core is not None:
            return "its engine runs on a DLA already"
        model = step.name if step.kind == "model" else granted.model
        placement = step.name if step.kind == "placement" else granted.placement
        try:
            await self._find(served, model, placement)
        except EdgeAgentError as error:
            return error.line() if error.error_code == NO_LESSER_ENGINE else error.message
        return ""

    async def _find(self, served: Served, model: str, placement: str) -> Lesser:
        return await anyio.to_thread.run_sync(self._engines.find, served, model, placement)

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
            holder = next(taken.pipeline for taken in self._state.taken if taken.step.name == intent)
            self._give_up(holder, Step("power", name=intent), why)

    # engines

    async def serve(self, name: str, ready: Ready) -> None:
        """The pipeline's own engine has come. It serves at once, unless a lesser one serves in its place."""
        mine = self._in_force[name]
        mine.home = ready
        start = self._served[name].start
        if mine.lesser and start is not None and start.engine == mine.lesser:
            return
        if mine.lesser:  # it was taken away: it did not load, or took its process along
            self._give_up_engine(name, "its engine did not run")
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
            found = await self._find(served, granted.model, granted.placement)
        except EdgeAgentError as error:
            self._give_up_engine(served.name, error.message)
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

    def _give_up_engine(self, name: str, why: str) -> None:
        """The newest step that changed the pipeline's engine came to nothing."""
        changed = [one.step for one in grant(self._state, name).steps if one.step.kind in ("model", "placement")]
        if changed:
            self._give_up(name, changed[-1], why)

    def _give_up(self, name: str, step: Step, why: str) -> None:
        self._state, taken = withdraw(self._state, name, step)
        self._in_force[name].failed[step] = (self._now_s() + TRY_AGAIN_S, why)
        if taken is not None:
            self._words.came_to_nothing(taken, why)
        self._wake.set()

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
