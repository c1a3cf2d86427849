"""One build child from start to end: its words, its silence, its exit. The desk decides what follows."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from edgeagent.clock import Clock
from edgeagent.engine.build.messages import BUILD_WORDS, Built, Conditions, Progress
from edgeagent.errors import EdgeAgentError
from edgeagent.supervise.child import Child, ChildSpec
from edgeagent.supervise.hearing import Hearing
from edgeagent.supervise.messages import Fault, Stop
from edgeagent.supervise.supervisor import START_ALLOWANCE_S


class BuildFailed(EdgeAgentError):
    """One attempt came to nothing."""

    code = "build_failed"


class BuildWatch:
    """One build child from start to end: its words, its silence, its exit."""

    def __init__(self, spec: ChildSpec, clock: Clock, on_progress: Callable[[Progress, float | None], None]) -> None:
        self._spec = spec
        self._clock = clock
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
            with anyio.move_on_after(timeout_s):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._pass_on, child)
                    code = await self._listen(child)
                    tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            await child.end(Stop(), grace_s=0.3)
            raise
        finally:
            child.close()
        if self._built is not None and code == 0:
            return self._built
        raise self._failure(code, timeout_s)

    async def _pass_on(self, child: Child) -> None:
        while True:
            await self._told.wait()
            self._told = anyio.Event()
            if self._to_tell is not None:
                await child.send(self._to_tell)

    async def _listen(self, child: Child) -> int:
        hearing = Hearing(child, self._take, self._clock, START_ALLOWANCE_S)
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
