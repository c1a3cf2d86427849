"""The board's power for the time of a build: the profile's intent `build`, where it needs no reboot; afterwards back.

What was there before is written down before anything is changed (power/board_power.py), so an agent that dies in the
middle of a build brings the board back when it starts again. What a person has set by hand is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import anyio
import anyio.to_thread
import structlog

from edgeagent.errors import EdgeAgentError
from edgeagent.power.board_power import BoardPower, RebootRule
from edgeagent.power.client import PowerHelper

log = structlog.get_logger("power")

INTENT = "build"
NO_REBOOT = RebootRule(why_not="nothing is rebooted for a build")
BEGIN_S, END_S = 60.0, 60.0
GOOD = ("applied", "unverified")


class PowerLoan(Protocol):
    """The board's power, set for a build and given back after it. Neither raises, neither takes for ever."""

    async def begin(self) -> str:
        """What was done, or why it was not, in words; empty where there was nothing to do."""
        ...

    async def end(self) -> None: ...


class NoPower:
    """A board whose power is left alone."""

    async def begin(self) -> str:
        return ""

    async def end(self) -> None:
        return


class BuildPower:
    """For a board whose power nobody keeps: no intent is set. `make` opens the board's power, and may raise."""

    def __init__(self, make: Callable[[], BoardPower], helper: PowerHelper) -> None:
        self._make = make
        self._helper = helper
        self._power: BoardPower | None = None

    async def begin(self) -> str:
        with anyio.move_on_after(BEGIN_S):
            try:
                return await anyio.to_thread.run_sync(self._begin, abandon_on_cancel=True)
            except EdgeAgentError as error:
                log.info("build_power", left="as it is", reason=error.line())
                return ""
        log.warning("build_power", left="as it is", reason=f"not set within {BEGIN_S:g} s")
        return ""

    def _begin(self) -> str:
        power = self._make()
        memory = power.memory()
        if memory.pending is not None or (memory.found is not None and memory.keeper != "agent"):
            return "left alone, a person has set the board's power"
        plan = power.plan(INTENT)
        if plan.reboot:
            return "left alone, it would take a reboot"
        if not plan.steps:
            return ""
        self._power = power
        try:
            _, result = power.apply(INTENT, self._helper, NO_REBOOT)
        except EdgeAgentError as error:
            log.warning("build_power", left="as it is", reason=error.line())
            return f"not set, {error.line()}"
        log.info("build_power", state=result.word, reason=result.detail)
        return plan.line() if result.word in GOOD else f"not set, {result.detail}"

    async def end(self) -> None:
        power, self._power = self._power, None
        if power is None:
            return
        with anyio.move_on_after(END_S, shield=True) as scope:
            try:
                call = partial(power.restore, self._helper, NO_REBOOT)
                ended = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
            except EdgeAgentError as error:
                log.error("build_power", restored=False, reason=error.line())
                return
            log.info("build_power", restored=ended is not None, reason=ended[1].detail if ended else "")
        if scope.cancelled_caught:
            log.error("build_power", restored=False, reason=f"not done within {END_S:g} s")
