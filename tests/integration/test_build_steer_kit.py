"""A steered build of the stand-in child: the real watch, steer, governor and signals; readings that a test makes."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio
from test_supervisor_kit import TESTS, WAIT_S, environment, eye_on, wait_gone

from edgeagent.app.build_steer import BuildSteer, Steered
from edgeagent.app.build_watch import BuildWatch
from edgeagent.app.governor import GovernorDesk
from edgeagent.app.steer_news import Pacing
from edgeagent.board.parts import Memory, Zone
from edgeagent.board.reading import Reading
from edgeagent.clock import Clock, SystemClock
from edgeagent.config.schema import ThermalSettings
from edgeagent.engine.build.messages import BuildStart, Built, CalibrationWish, Progress
from edgeagent.errors import EdgeAgentError
from edgeagent.supervise.child import ChildSpec

sys.path.insert(0, str(TESTS))
COOL_C, HOT_C, THROTTLE_C = 45.0, 97.5, 99.0
TOTAL_MB = 8000
LONGEST_S = 90.0


def board(celsius: float = COOL_C, available_mb: float = 5000) -> Reading:
    """A board whose one zone has this temperature."""
    zone = Zone("cpu-thermal", celsius, throttle_c=THROTTLE_C, critical_c=104.5, throttle_source="trip")
    return Reading(zones=(zone,), memory=Memory(TOTAL_MB * 1000, round(available_mb * 1000)))


def child_spec(folder: Path, part: str) -> ChildSpec:
    first = BuildStart(
        model=part,
        precision="int8",
        quantisation="qdq",
        placement="cpu",
        backend="onnxruntime",
        fingerprint={},
        calibration=CalibrationWish(folder=str(folder), frames=1, holdout=1, interval_s=0.0),
        store=str(folder),
        threads=1,
        min_agreement=0.0,
    )
    return ChildSpec(
        name="build-test", module="children.builder", first=first, own_group=True, environment=environment()
    )


class Site:
    """One steered build. `reading` is what the board shows from now on; `look` lets the governor see it."""

    def __init__(
        self,
        folder: Path,
        *,
        part: str = "works",
        pacing: Pacing = "auto",
        clock: Clock | None = None,
        timeout_s: float = 3600.0,
        ceiling: float = 1.0,
    ) -> None:
        self.folder = folder
        self.reading = board()
        self.clock = clock or SystemClock()
        self.desk = GovernorDesk(ThermalSettings(), self.clock)
        self.desk.read = lambda: self.reading
        self.steer = BuildSteer(self.desk, pacing, self.clock, self, ceiling=ceiling)
        self.watch = BuildWatch(child_spec(folder, part), self.clock, self._progress, self.steer)
        self.timeout_s = timeout_s
        self.events: list[str] = []
        self.told: list[Steered] = []
        self.texts: list[str] = []
        self.pids: list[int] = []
        self.built: Built | None = None
        self.error: EdgeAgentError | None = None
        self.ended = anyio.Event()
        self._changed = anyio.Event()

    def steered(self, now: Steered) -> None:
        self.told.append(now)
        self._tick()

    def steer_event(self, kind: str, text: str, *, duty: float, code: str, warns: bool) -> None:
        self.events.append(kind)
        self._tick()

    def _progress(self, word: Progress, eta_s: float | None) -> None:
        self.texts.append(word.text)
        if not self.pids:
            self.pids = [int(pid) for pid in word.text.split()]
        self._tick()

    def _tick(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def go(self) -> None:
        """Let the build come to its end."""
        (self.folder / "go").touch()

    async def until(self, fits: Callable[[], bool]) -> None:
        with anyio.fail_after(WAIT_S):
            while not fits():
                await self._changed.wait()

    async def stopped(self) -> None:
        """Until the kernel says that the build child is stopped."""
        await self._waits(os.WSTOPPED)

    async def continued(self) -> None:
        await self._waits(os.WCONTINUED)

    async def _waits(self, what: int) -> None:
        def wait() -> None:
            os.waitid(os.P_PID, self.pids[0], what)

        with anyio.fail_after(WAIT_S):
            await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)

    async def run(self) -> None:
        try:
            self.built = await self.watch.run(self.timeout_s)
        except EdgeAgentError as error:
            self.error = error
        finally:
            self.ended.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The build runs in here, and is cancelled at the end; nothing of it is left afterwards."""
        with ExitStack() as stack:
            with anyio.fail_after(LONGEST_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.desk.run)
                    tasks.start_soon(self.run)
                    await self.until(lambda: bool(self.pids))
                    eyes = [stack.enter_context(eye_on(pid)) for pid in self.pids]
                    yield
                    tasks.cancel_scope.cancel()
            assert [wait_gone(eye) for eye in eyes] == [True, True]
