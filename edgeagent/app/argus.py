"""Has nvargus-daemon restarted when CSI cameras keep failing: a session that a dead client left holds the sensor.

Only root may, so the power helper is asked. A restart costs every CSI camera its pictures for a while, so it is asked
for seldom, whatever the answer was; the helper has a limit of its own.
"""

from __future__ import annotations

import anyio
import anyio.to_thread

from edgeagent.app.teller import Teller
from edgeagent.clock import Clock
from edgeagent.power.client import HelperError, Outcome, PowerHelper

EVERY_S = 600.0


class ArgusDesk:
    """For the agent's loop; the helper is called on a thread."""

    def __init__(self, helper: PowerHelper, tell: Teller, clock: Clock) -> None:
        self._helper = helper
        self._tell = tell
        self._clock = clock
        self._asked = anyio.Event()
        self._camera = ""
        self._last_s: float | None = None

    def ask(self, camera: str) -> None:
        """This camera keeps failing. Nothing happens where the last restart is too young."""
        now_s = self._clock.monotonic_ns() / 1e9
        if self._last_s is None or now_s - self._last_s >= EVERY_S:
            self._last_s, self._camera = now_s, camera
            self._asked.set()

    async def run(self) -> None:
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            await self._restart(self._camera)

    async def _restart(self, camera: str) -> None:
        try:
            outcome = await anyio.to_thread.run_sync(self._call, abandon_on_cancel=True)
        except HelperError as error:
            self._failed(camera, error.line())
            return
        if outcome.result != "done":
            self._failed(camera, outcome.detail)
            return
        text = f"nvargus-daemon was restarted because camera {camera} kept failing"
        self._tell.event("argus-restarted", "warning", text, camera=camera)

    def _call(self) -> Outcome:
        return self._helper.call("restart-argus")

    def _failed(self, camera: str, reason: str) -> None:
        text = f"camera {camera} keeps failing, and nvargus-daemon could not be restarted: {reason}"
        self._tell.event("argus-not-restarted", "warning", text, camera=camera)
