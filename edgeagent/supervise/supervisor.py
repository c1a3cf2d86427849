"""Keeps one child alive: start, listen, notice silence, restart with backoff, stop.

The supervisor decides nothing about the child's work: it hands each line to its owner and tells it each change of
state. Silence is measured against what the child itself announced (`Heartbeat.allow_s`).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

import anyio
import structlog

from edgeagent.clock import Clock
from edgeagent.supervise.child import Child, ChildSpec
from edgeagent.supervise.messages import Fault, Heartbeat, Message, Stop
from edgeagent.supervise.policy import RestartRules, RestartState, decide_restart
from edgeagent.supervise.program import EXIT_WRONG_REQUEST

log = structlog.get_logger("supervise")

State = Literal["starting", "waiting", "failing", "refused", "stopped"]
START_ALLOWANCE_S = 30.0


@dataclass(frozen=True)
class ChildState:
    """What the owner is told at each change. `reason` is one line, empty while all is well."""

    name: str
    state: State
    reason: str = ""
    pid: int | None = None
    restarts: int = 0
    code: str = ""
    mend: str = ""


@dataclass
class Allowance:
    """How long the child may stay silent: until `deadline_s` on the monotonic clock."""

    deadline_s: float

    def grant(self, now_s: float, allow_s: float) -> None:
        self.deadline_s = now_s + allow_s


class Supervisor:
    """Owns one child for as long as `run()` runs.

    `make_spec` is asked anew for each start, so a restarted child gets the settings of now. `on_line` is handed
    every line that is neither a heartbeat nor a fault.
    """

    def __init__(
        self,
        name: str,
        make_spec: Callable[[], ChildSpec],
        on_line: Callable[[bytes], None],
        on_state: Callable[[ChildState], None],
        clock: Clock,
        rng: Random,
        rules: RestartRules | None = None,
        grace_s: float = 1.0,
    ) -> None:
        self.name = name
        self._make_spec = make_spec
        self._on_line = on_line
        self._on_state = on_state
        self._clock = clock
        self._rng = rng
        self._rules = rules or RestartRules()
        self._grace_s = grace_s
        self._restart = RestartState()
        self._fault: Fault | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def restarts(self) -> int:
        return self._restart.restarts

    async def send(self, message: Message) -> None:
        if self._child is not None:
            await self._child.send(message)

    async def run(self) -> None:
        """Until cancelled, or until the child says that its request is wrong."""
        try:
            while True:
                code = await self._one_life()
                if code == EXIT_WRONG_REQUEST:
                    self._tell("refused", self._reason(code))
                    return
                if code == 0:
                    self._tell("stopped")
                    return
                await self._back_off(code)
        except anyio.get_cancelled_exc_class():
            self._tell("stopped")
            raise

    async def _back_off(self, code: int) -> None:
        self._restart, restart = decide_restart(self._rules, self._restart, self._now_s(), self._rng.random())
        self._tell("failing" if restart.failing else "waiting", self._reason(code))
        await anyio.sleep(restart.delay_s)

    async def _one_life(self) -> int:
        self._fault = None
        child = Child(self._make_spec())
        self._child = child
        try:
            self._tell("starting")
            return await self._listen(child)
        except anyio.get_cancelled_exc_class():
            await child.end(Stop(), self._grace_s)
            raise
        finally:
            self._child = None
            child.close()

    async def _listen(self, child: Child) -> int:
        allowance = Allowance(self._now_s() + START_ALLOWANCE_S)
        await child.send(child.spec.first)
        while True:
            lines = await self._lines_in_time(child, allowance)
            if lines is None:
                return await self._end_hung(child)
            if not lines:
                with anyio.move_on_after(1.0):
                    return await child.wait()
                return await child.kill()
            for line in lines:
                self._take(line, allowance)

    async def _lines_in_time(self, child: Child, allowance: Allowance) -> list[bytes] | None:
        with anyio.move_on_after(max(0.0, allowance.deadline_s - self._now_s())):
            return await child.lines()
        return None

    async def _end_hung(self, child: Child) -> int:
        self._fault = Fault(code="hung", who="hardware", text=f"{self.name} said nothing in its time and was killed")
        return await child.kill()

    def _take(self, line: bytes, allowance: Allowance) -> None:
        if line.startswith(b'{"kind":"heartbeat"'):
            allowance.grant(self._now_s(), _allow_s(line))
            return
        if line.startswith(b'{"kind":"fault"'):
            self._fault = Fault.model_validate_json(line)
            return
        self._on_line(line)

    def _reason(self, code: int) -> str:
        if self._fault is not None:
            return self._fault.text
        if code < 0:
            return f"{self.name} was ended by {signal.Signals(-code).name}"
        return f"{self.name} exited with code {code}"

    def _tell(self, state: State, reason: str = "") -> None:
        fault = self._fault
        told = ChildState(
            self.name,
            state,
            reason,
            self.pid,
            self._restart.restarts,
            code=fault.code if fault else "",
            mend=fault.mend if fault else "",
        )
        emit = log.info if state in ("starting", "stopped") else log.warning
        emit("child", child=self.name, state=state, pid=self.pid, reason=reason, restarts=told.restarts)
        self._on_state(told)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _allow_s(line: bytes) -> float:
    return Heartbeat.model_validate_json(line).allow_s
