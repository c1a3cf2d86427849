"""Which steps of the ladders could be taken now, and why the others could not.

Looking takes time (the store's engines are read whole, the power plan is made): it is done beforehand, once when a
pipeline runs, when it gets warm, and again and again while it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import anyio.to_thread

from edgeagent.app.lesser_engines import NO_LESSER_ENGINE, Lesser
from edgeagent.app.served import Served
from edgeagent.errors import EdgeAgentError
from edgeagent.thermal.ladder import Grant, LadderState, grant, lowered_power
from edgeagent.thermal.steps import Step

LOOK_AGAIN_S = 30.0  # between two looks while it is warm: an engine may have been built meanwhile
POWER_AGAIN_S = 5.0  # the same where the board's power could not be lowered: it may not have been set yet
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


@dataclass
class _Known:
    """Of one pipeline. `failed`: steps that came to nothing, until when they are not tried again, and why."""

    looked_s: float | None = None
    cannot: dict[Step, str] = field(default_factory=dict)
    failed: dict[Step, tuple[float, str]] = field(default_factory=dict)


class Possible:
    """Knows it of every pipeline, by name."""

    def __init__(
        self, served: Mapping[str, Served], steps: Mapping[str, tuple[Step, ...]], engines: Engines, power: Power
    ) -> None:
        self._served = served
        self._steps = steps
        self._engines = engines
        self._power = power
        self._known = {name: _Known() for name in served}
        self._warm_s: float | None = None

    def cannot(self, now_s: float) -> dict[tuple[str, Step], str]:
        """Why which steps cannot be taken, as far as is known now."""
        return {(name, step): why for name in self._served for step, why in self._of(name, now_s).items()}

    def _of(self, name: str, now_s: float) -> dict[Step, str]:
        served, known = self._served[name], self._known[name]
        found = dict(known.cannot)
        for step in self._steps[name]:
            if step.kind == "rate" and served.camera.once:
                found[step] = LOSSLESS
            elif step.per_s is not None and step.per_s >= (served.settings.max_results_per_s or math.inf):
                found[step] = f"it gives {served.settings.max_results_per_s:g} results a second as it is"
            elif step.kind in ("model", "placement", "power") and known.looked_s is None:
                found[step] = UNKNOWN
        known.failed = {step: (until_s, why) for step, (until_s, why) in known.failed.items() if until_s > now_s}
        return {**found, **{step: why for step, (_, why) in known.failed.items()}}

    def came_to_nothing(self, name: str, step: Step, now_s: float, why: str) -> None:
        """A step was taken and could not be carried out."""
        self._known[name].failed[step] = (now_s + TRY_AGAIN_S, why)

    def notice(self, now_s: float, *, warm: bool) -> None:
        """Whether it is warm: then it may come to it soon."""
        if not warm:
            self._warm_s = None
        elif self._warm_s is None:
            self._warm_s = now_s

    def due(self, now_s: float) -> bool:
        """Whether anything has to be looked at."""
        return any(self._is_due(served, now_s) for served in self._served.values())

    def _is_due(self, served: Served, now_s: float) -> bool:
        looked_s = self._known[served.name].looked_s
        if served.start is None:
            return False
        if looked_s is None or self._warm_s is None:
            return looked_s is None
        waits_for_power = any(step.kind == "power" for step in self._known[served.name].cannot)
        return looked_s < self._warm_s or now_s - looked_s > (POWER_AGAIN_S if waits_for_power else LOOK_AGAIN_S)

    async def look(self, state: Callable[[], LadderState], now_s: Callable[[], float]) -> None:
        """Look at what is due, with the steps that are in force by then."""
        for name, served in self._served.items():
            if self._is_due(served, now_s()):
                self._known[name].cannot = await self._why_not(served, state())
                self._known[name].looked_s = now_s()

    async def _why_not(self, served: Served, state: LadderState) -> dict[Step, str]:
        found: dict[Step, str] = {}
        granted = grant(state, served.name)
        taken = {one.step for one in granted.steps}
        for step in self._steps[served.name]:
            why = ""
            if step.kind == "power" and not lowered_power(state):
                why = await self._power.why_not_lower(step.name)
            elif step.kind in ("model", "placement") and step not in taken:
                why = await self._why_no_engine(served, step, granted)
            if why:
                found[step] = why
        return found

    async def _why_no_engine(self, served: Served, step: Step, granted: Grant) -> str:
        if step.kind == "placement" and served.start is not None and served.start.dla_core is not None:
            return "its engine runs on a DLA already"
        model = step.name if step.kind == "model" else granted.model
        placement = step.name if step.kind == "placement" else granted.placement
        try:
            await self.find(served, model, placement)
        except EdgeAgentError as error:
            return error.line() if error.error_code == NO_LESSER_ENGINE else error.message
        return ""

    async def find(self, served: Served, model: str, placement: str) -> Lesser:
        """The lesser engine. Raises EdgeAgentError."""
        return await anyio.to_thread.run_sync(self._engines.find, served, model, placement)
