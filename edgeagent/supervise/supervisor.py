"""Keeps one child alive: start, listen, notice silence, restart with backoff, stop.

The supervisor decides nothing about the child's work: it hands each line to its owner and tells it each change of
state. Silence is measured against what the child itself announced (`Heartbeat.allow_s`). Whatever a child does ends
in a state, never in an exception here: a child that cannot be started waits like one that died, and one that breaks
its protocol (a line that its owner's model refuses, a line without an end) is killed and started again.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Literal

import anyio
import structlog

from edgeagent.clock import Clock
from edgeagent.errors import Who
from edgeagent.supervise.child import Child, ChildSpec
from edgeagent.supervise.hearing import Hearing
from edgeagent.supervise.messages import Fault, Message, Stop
from edgeagent.supervise.policy import RestartRules, RestartState, decide_restart, proven
from edgeagent.supervise.program import EXIT_WRONG_REQUEST, one_line

log = structlog.get_logger("supervise")

State = Literal["starting", "waiting", "failing", "refused", "stopped"]
START_ALLOWANCE_S = 30.0
EXIT_WAIT_S = 5.0  # from the end of a child's words to its end: a driver may take its time to let go
FAILED = 1


@dataclass(frozen=True)
class ChildState:
    """What the owner is told at each change. `reason` is one line, empty while all is well; `signal` is the number
    of the one that ended the child, 0 where none did or where it was killed from here."""

    name: str
    state: State
    reason: str = ""
    pid: int | None = None
    restarts: int = 0
    code: str = ""
    mend: str = ""
    signal: int = 0


class Supervisor:
    """Owns one child for as long as `run()` runs.

    `make_spec` is asked anew for each start, so a restarted child gets the settings of now. `on_line` is handed
    every line that is neither a heartbeat nor a fault; when it raises ValidationError, ChildError or LookupError,
    the child has broken its protocol. `wait` is what passes the time before the next start: an owner that can see that
    a start is of use already, or not yet, waits less or longer than it was told. With `starts_ahead` the next process
    is started before that time and has its imports behind it afterwards: it hears its first message when its work may
    begin. Its spec is then made twice, before the time and after it. A child that stays after a fault is the next one
    in any case, until it has failed too often.
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
        start_allowance_s: float = START_ALLOWANCE_S,
        wait: Callable[[float], Awaitable[None]] = anyio.sleep,
        *,
        starts_ahead: bool = False,
    ) -> None:
        self.name = name
        self._make_spec = make_spec
        self._on_line = on_line
        self._on_state = on_state
        self._clock = clock
        self._rng = rng
        self._rules = rules or RestartRules()
        self._grace_s = grace_s
        self._start_allowance_s = start_allowance_s
        self._wait = wait
        self._starts_ahead = starts_ahead
        self._restart = RestartState()
        self._fault: Fault | None = None
        self._child: Child | None = None
        self._next: Child | None = None
        self._renewing = False

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def restarts(self) -> int:
        return self._restart.restarts

    async def send(self, message: Message) -> None:
        if self._child is not None:
            await self._child.send(message)

    async def renew(self) -> None:
        """End the child between two pieces of its work and start it again at once: no failure, and not counted."""
        if self._child is not None:
            self._renewing = True
            await self._child.send(Stop())

    def proven(self) -> None:
        """The child does its work again: the next death is a first one."""
        self._restart = proven(self._restart)

    async def run(self) -> None:
        """Until cancelled, or until the child says that its request is wrong."""
        try:
            while True:
                code = await self._one_life()
                if code == EXIT_WRONG_REQUEST:
                    self._tell("refused", self._reason(code))
                    return
                if code == 0 and self._renewing:
                    continue
                if code == 0:
                    self._tell("stopped")
                    return
                await self._back_off(code)
        except anyio.get_cancelled_exc_class():
            self._tell("stopped")
            raise
        finally:
            await self._drop_next()

    async def _back_off(self, code: int) -> None:
        self._restart, restart = decide_restart(self._rules, self._restart, self._now_s(), self._rng.random())
        self._tell("failing" if restart.failing else "waiting", self._reason(code), signal=max(0, -code))
        if restart.failing:
            await self._drop_next()  # what has failed so often in one process is tried in another
        if self._next is None and self._starts_ahead:
            with suppress(OSError):  # then it is tried again after the wait, and told
                self._next = Child(self._make_spec())
        await self._wait(restart.delay_s)

    async def _started(self, spec: ChildSpec) -> Child:
        """A process for this spec: the one that waits for work, where it still runs and holds the same descriptors.

        Raises OSError.
        """
        child = self._next
        if child is not None and not child.ended and list(child.spec.pass_fds) == list(spec.pass_fds):
            self._next = None
            return child
        await self._drop_next()
        return Child(spec)

    async def _drop_next(self) -> None:
        child, self._next = self._next, None
        if child is not None:
            await child.kill()
            child.close()

    async def _one_life(self) -> int:
        self._fault, self._renewing = None, False
        spec = self._make_spec()
        try:
            child = await self._started(spec)
        except OSError as error:
            self._blame("not_started", "hardware", f"{self.name} could not be started: {error.strerror or error}")
            return FAILED
        self._child = child
        try:
            self._tell("starting")
            return await self._listen(child, spec.first)
        except anyio.get_cancelled_exc_class():
            await child.end(Stop(), self._grace_s)
            raise
        finally:
            self._child = None
            if child is not self._next:
                child.close()

    async def _listen(self, child: Child, first: Message) -> int:
        """The exit code of the child's life, however it ends."""
        hearing = Hearing(child, self._on_line, self._clock, self._start_allowance_s)
        with anyio.move_on_after(self._start_allowance_s):
            await child.send(first)
        ending = await hearing.listen()
        self._fault = hearing.fault
        if ending == "over":
            with anyio.move_on_after(EXIT_WAIT_S):
                return await child.wait()
        elif ending == "rests":
            self._next = child
            return FAILED
        elif ending == "silent":
            self._blame("hung", "hardware", f"{self.name} said nothing in its time and was killed")
        else:
            log.warning("protocol", child=self.name, detail=one_line(str(hearing.broken)))
            self._blame("protocol", "us", f"{self.name} broke its protocol and was killed")
        return await child.kill()

    def _blame(self, code: str, who: Who, text: str) -> None:
        self._fault = Fault(code=code, who=who, text=text)

    def _reason(self, code: int) -> str:
        if self._fault is not None:
            return one_line(self._fault.text)
        if code < 0:
            return f"{self.name} was ended by {_signal_name(-code)}"
        return f"{self.name} exited with code {code}"

    def _tell(self, state: State, reason: str = "", *, signal: int = 0) -> None:
        fault = self._fault if reason else None
        told = ChildState(
            self.name,
            state,
            reason,
            self.pid,
            self._restart.restarts,
            code=fault.code if fault else "",
            mend=fault.mend if fault else "",
            signal=0 if fault else signal,
        )
        emit = log.info if state in ("starting", "stopped") else log.warning
        emit("child", child=self.name, state=state, pid=self.pid, reason=reason, restarts=told.restarts)
        self._on_state(told)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _signal_name(number: int) -> str:
    """Real-time signals but the first and the last have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
