"""What the supervisor's tests share: a stage that hosts one supervised child and waits for what it sees. No tests."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from random import Random

import anyio

from edgeagent.clock import SystemClock
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.policy import RestartRules
from edgeagent.supervise.supervisor import ChildState, Supervisor

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from children.actor import Hello, Play  # noqa: E402  the children are modules of a folder that is no package

WAIT_S = 20.0
QUICK = RestartRules(base_s=0.01, cap_s=0.02, slow_s=0.05)


def environment(**more: str) -> dict[str, str]:
    """What lets `python -m children.actor` be found."""
    return {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]), **more}


def spec(play: Play, module: str = "children.actor", *, own_group: bool = False, **more: str) -> ChildSpec:
    return ChildSpec(name="actor", module=module, first=play, own_group=own_group, environment=environment(**more))


def act(part: str, number: float = 0.0, padding: str = "", *, own_group: bool = False) -> Callable[[], ChildSpec]:
    return lambda: spec(Play(part=part, number=number, padding=padding), own_group=own_group)


class Stage:
    """One supervisor, what it told, and a way to wait for it."""

    def __init__(
        self,
        make_spec: Callable[[], ChildSpec],
        *,
        rules: RestartRules = QUICK,
        grace_s: float = 0.1,
        start_allowance_s: float = WAIT_S,
        wait: Callable[[float], Awaitable[None]] = anyio.sleep,
        starts_ahead: bool = False,
    ) -> None:
        self.states: list[ChildState] = []
        self.hellos: list[Hello] = []
        self.pids: list[int] = []
        self.on_event: Callable[[], None] = lambda: None
        self.on_hello: Callable[[Hello], None] = lambda hello: None
        self._changed = anyio.Event()
        self.supervisor = Supervisor(
            "actor",
            make_spec,
            self._line,
            self._state,
            SystemClock(),
            Random(1),
            rules,
            grace_s,
            start_allowance_s,
            wait,
            starts_ahead=starts_ahead,
        )

    def _line(self, line: bytes) -> None:
        self.hellos.append(Hello.model_validate_json(line))
        self.on_hello(self.hellos[-1])
        self._tick()

    def _state(self, state: ChildState) -> None:
        self.states.append(state)
        if state.pid is not None:
            self.pids.append(state.pid)
        self._tick()

    def _tick(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
        self.on_event()

    async def until(self, fits: Callable[[], bool]) -> None:
        with anyio.fail_after(WAIT_S):
            while not fits():
                await self._changed.wait()

    async def run(self) -> None:
        """Until the supervisor ends by itself."""
        with anyio.fail_after(WAIT_S):
            await self.supervisor.run()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The supervisor runs in here and is cancelled at the end; nothing of it is left afterwards."""
        with anyio.fail_after(2 * WAIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.supervisor.run)
                yield
                tasks.cancel_scope.cancel()
        assert [pid for pid in self.pids if is_ours(pid)] == []

    def told(self) -> list[str]:
        return [state.state for state in self.states]


def is_ours(pid: int) -> bool:
    """Whether it is a child of this process, running or not reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def wait_gone(pidfd: int) -> bool:
    """Whether the process behind the pidfd ends within the time that a test has."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(WAIT_S * 1000))


@contextlib.contextmanager
def eye_on(pid: int) -> Iterator[int]:
    """A pidfd: it names this very process even after its number is used again."""
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)
