"""A GPU that stays lost: told as an alarm that asks for a reboot, and rebooted where that is allowed.

When to ask is gpu_ladder.py's. The reboot is one of those that `power.max_reboots_per_day` allows, and is made only
with `power.allow_reboot`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import structlog

from edgeagent.app.gpu_ladder import LOSSES, WINDOW_S, GpuState, after_look, after_loss
from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock

log = structlog.get_logger("gpu")

ALARM = "gpu-lost"
LOOK_S = 5.0


class GpuTrouble:
    """`serves`: whether any engine runs; `reboot`: asks for one, and says why none is made ("" where one is)."""

    def __init__(
        self, publisher: Publisher, clock: Clock, serves: Callable[[], bool], reboot: Callable[[], Awaitable[str]]
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._serves = serves
        self._reboot = reboot
        self._state = GpuState()
        self._asked = anyio.Event()
        self._reason = ""

    def lost(self, reason: str, by: str) -> None:
        """A process has lost the GPU: `by` names it."""
        self._state, asks = after_loss(self._state, self._now_s(), by)
        self._reason = reason
        log.warning("lost", losses=len(self._state.lost_s), reason=reason)
        if asks:
            self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._publisher.clear_alarm(ALARM)
        while True:
            with anyio.move_on_after(LOOK_S):
                await self._asked.wait()
            if self._asked.is_set():
                self._asked = anyio.Event()
                await self._ask()
            self._look()

    def _look(self) -> None:
        self._state, clears = after_look(self._state, self._now_s(), serves=self._serves())
        if clears:
            self._publisher.clear_alarm(ALARM)

    async def _ask(self) -> None:
        text = (
            f"the GPU was lost {LOSSES} times within {WINDOW_S / 60:.0f} min and no process can mend it: {self._reason}"
        )
        self._publisher.alarm(ALARM, "error", f"{text}; reboot the board")
        self._publisher.event("gpu-lost", "error", text)
        why_not = await self._reboot()
        if why_not:
            self._publisher.alarm(ALARM, "error", f"{text}; reboot the board (not done by itself: {why_not})")
        else:
            self._publisher.alarm(ALARM, "error", f"{text}; the board reboots")

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
