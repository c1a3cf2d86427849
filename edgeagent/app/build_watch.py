"""One build child from start to end: its words, its silence, its exit. The desk decides what follows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio

from edgeagent.app.build_steer import BuildEnded, BuildSteer
from edgeagent.clock import Clock
from edgeagent.engine.build.messages import BUILD_WORDS, Built, Conditions, Progress, Resting
from edgeagent.errors import EdgeAgentError
from edgeagent.supervise.child import Child, ChildSpec
from edgeagent.supervise.hearing import LEAST_WAIT_S, Hearing
from edgeagent.supervise.messages import Fault, Stop
from edgeagent.supervise.supervisor import START_ALLOWANCE_S

KEEP_GRACE_S = 5.0  # for a builder to come to the end of a step and hand over what it has timed


class BuildFailed(EdgeAgentError):
    """One attempt came to nothing."""

    code = "build_failed"


class BuildWatch:
    """One build child from start to end: its words, its silence, its exit.

    Where it is steered, the time that it is stopped counts neither as silence nor as time that it takes.
    """

    def __init__(
        self,
        spec: ChildSpec,
        clock: Clock,
        on_progress: Callable[[Progress, float | None], None],
        steer: BuildSteer | None = None,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._steer = steer
        self._busy_clock = clock if steer is None else steer.busy_clock
        self._ended: BuildEnded | None = None
        self._on_progress = on_progress
        self._started_s = self._now_s()
        self._fault: Fault | None = None
        self._built: Built | None = None
        self._to_tell: Conditions | None = None
        self._told = anyio.Event()

    def tell(self, word: Conditions) -> None:
        """Let the build know how the board is; only the newest word counts."""
        self._to_tell = word
        self._told.set()

    async def run(self, timeout_s: float) -> Built:
        """The built engine. Raises BuildFailed with the reason; leaves no process behind."""
        try:
            child = Child(self._spec)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BuildFailed(f"the build could not be started: {reason}", retry=True, code="not_started") from error
        code = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pass_on, child)
                tasks.start_soon(self._out_of_time, timeout_s, tasks.cancel_scope)
                if self._steer is not None:
                    self._steer.on_end = partial(self._end, tasks.cancel_scope)
                    tasks.start_soon(self._steer.run, child)
                code = await self._listen(child)
                tasks.cancel_scope.cancel()
            if self._ended is not None and code is None:
                code = await self._end_child(child, self._ended)
        except anyio.get_cancelled_exc_class():
            await child.end(Stop(), grace_s=0.3)
            raise
        finally:
            child.close()
        if self._built is not None and code == 0:
            return self._built
        if self._ended is not None:
            raise self._ended
        raise self._failure(code, timeout_s)

    async def _out_of_time(self, timeout_s: float, scope: anyio.CancelScope) -> None:
        """Cancel when the build has worked for so long."""
        until_ns = self._busy_clock.monotonic_ns() + round(timeout_s * 1e9)
        while (left_s := (until_ns - self._busy_clock.monotonic_ns()) / 1e9) > 0:
            await anyio.sleep(max(left_s, LEAST_WAIT_S))
        scope.cancel()

    def _end(self, scope: anyio.CancelScope, error: BuildEnded) -> None:
        self._ended = error
        scope.cancel()

    async def _end_child(self, child: Child, error: BuildEnded) -> int:
        """Let it keep what it has measured, where there is time for that; memory has none."""
        if error.error_code == "memory_falling":
            return await child.kill()
        return await child.end(Stop(), KEEP_GRACE_S)

    async def _pass_on(self, child: Child) -> None:
        while True:
            await self._told.wait()
            self._told = anyio.Event()
            if self._to_tell is not None:
                await child.send(self._to_tell)

    async def _listen(self, child: Child) -> int:
        clock = self._clock if self._steer is None else self._steer.clock
        hearing = Hearing(child, self._take, clock, START_ALLOWANCE_S)
        await child.send(self._spec.first)
        ending = await hearing.listen()
        self._fault = hearing.fault
        if ending == "over":
            return await child.wait()
        if ending == "silent":
            self._fault = Fault(code="hung", who="us", text="the build said nothing in its time and was killed")
        else:
            self._fault = Fault(code="protocol", who="us", text="the build broke its protocol and was killed")
        return await child.kill()

    def _take(self, line: bytes) -> None:
        word = BUILD_WORDS.validate_json(line)
        if isinstance(word, Built):
            self._built = word
        elif isinstance(word, Resting):
            if self._steer is not None:
                self._steer.heard(word)
        else:
            self._on_progress(word, self._eta_s(word.percent))

    def _eta_s(self, percent: float) -> float | None:
        if percent < 5:
            return None
        gone = self._now_s() - self._started_s
        return round(gone * (100 - percent) / percent, 1)

    def _failure(self, code: int | None, timeout_s: float) -> BuildFailed:
        if self._fault is not None:
            fault = self._fault
            return BuildFailed(fault.text, mend=fault.mend, retry=fault.retry, code=fault.code)
        if code is None:
            return BuildFailed(f"the build took longer than {timeout_s:.0f} s", retry=True, code="build_timeout")
        if code == -9:
            return BuildFailed("the build was killed, perhaps for want of memory", retry=True, code="build_killed")
        return BuildFailed(f"the build ended with code {code}", retry=True, code="build_crashed")

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
