"""Starts a camera's capture anew, between two frames, before it has leaked too much. No failure, and told as none."""

from __future__ import annotations

from pathlib import Path
from random import Random

import anyio

from edgeagent.app.teller import Teller
from edgeagent.camera.recycle import recycle_reason
from edgeagent.camera.rules import CameraRules
from edgeagent.clock import Clock
from edgeagent.supervise.supervisor import Supervisor

LOOK_EVERY_S = 20.0
SPREAD = 0.2  # cameras that started together are not all started anew together


class Upkeep:
    """One camera's. `started` is called whenever its capture starts, be it in a new process or in the old one."""

    def __init__(
        self, camera: str, rules: CameraRules, supervisor: Supervisor, tell: Teller, clock: Clock, rng: Random
    ) -> None:
        self._camera = camera
        self._rules = rules
        self._supervisor = supervisor
        self._tell = tell
        self._clock = clock
        self._rng = rng
        self._pid = 0
        self._started_s = 0.0
        self._stretch = 1.0
        self.recycled = 0

    def change(self, rules: CameraRules) -> None:
        """Look by these rules from now on."""
        self._rules = rules

    def started(self, pid: int) -> None:
        if pid != self._pid:
            self._pid, self._started_s = pid, self._clock.monotonic_ns() / 1e9
            self._stretch = 1.0 + SPREAD * self._rng.random()

    async def run(self) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        pid = self._supervisor.pid
        if pid is None:
            return
        age_s = (self._clock.monotonic_ns() / 1e9 - self._started_s) * self._stretch
        reason = recycle_reason(self._rules, age_s, own_memory_mb(pid))
        if reason:
            self.recycled += 1
            text = f"the capture of camera {self._camera} is started anew: {reason}"
            self._tell.event("camera-recycled", "info", text, camera=self._camera)
            await self._supervisor.renew()


def own_memory_mb(pid: int) -> float:
    """Anonymous memory of a process (RssAnon, proc_pid_status(5)): the rings that it shares are not in it. 0 when it
    has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = next((line.split()[1] for line in lines if line.startswith("RssAnon:")), "0")
    return int(found) / 1024
