"""The TensorRT backend: starts the build on a thread of its own and speaks with the agent meanwhile.

How a build is cancelled depends on the release. With a progress monitor (10.x, 11) the builder is told at its next
step and is waited for, a while. 8.6 cannot be told: `build` raises at once, the builder works on in a daemon thread,
and the build child's process ends with it (child.py leaves by os._exit).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeagent.engine.build.backend import BackendJob, BackendOutcome, Watcher
from edgeagent.engine.build.report import Cancelled
from edgeagent.engine.build.tensorrt.board import Abandoned, Board
from edgeagent.engine.build.tensorrt.capabilities import Trt, read_capabilities
from edgeagent.engine.build.tensorrt.work import run_build
from edgeagent.errors import EngineError

if TYPE_CHECKING:
    from edgeagent.inference.cuda import Gpu

LOOK_EVERY_S = 0.05
# A builder that is told to stop does so at its next step; one step may compile a whole subgraph for a DLA.
PATIENCE_S = 20.0


class TensorRtBackend:
    """Builds with the TensorRT of this process. `trt` and `gpu` are given only by tests and tools."""

    name = "tensorrt"

    def __init__(self, trt: Trt = None, gpu: Gpu | None = None) -> None:
        self._trt = trt
        self._gpu = gpu

    def build(self, job: BackendJob, watcher: Watcher) -> BackendOutcome:
        """Build the job's plan. Raises EngineError with one of the codes of outcome.py, and what `watcher` raises."""
        trt = self._trt or import_tensorrt()
        board = Board()
        task = _Task(lambda: run_build(trt, self._gpu or _gpu(), job, board))
        try:
            while not task.wait(0.0):
                watcher.tell(*board.word())
                watcher.pause(LOOK_EVERY_S)
        except BaseException:  # Cancelled, or the process is asked to end: the builder must not go on unseen
            board.unwanted.set()
            job.rest.end()
            if read_capabilities(trt).monitor:
                task.wait(PATIENCE_S)
            raise
        try:
            return task.result()
        except Abandoned as error:
            raise Cancelled from error


def import_tensorrt() -> Trt:
    """The module. Raises EngineError `driver_error` where it cannot be imported."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise EngineError(
            f"TensorRT cannot be imported: {error}",
            mend="install it with JetPack (`sudo apt install python3-libnvinfer`); see `edgeagent doctor`",
            code="driver_error",
        ) from error
    return tensorrt


def _gpu() -> Gpu:
    from edgeagent.inference.cuda import open_gpu

    return open_gpu()


class _Task:
    """A call on a daemon thread: nothing waits for it at the end of the process."""

    def __init__(self, call: Callable[[], BackendOutcome]) -> None:
        self._call = call
        self._ended = threading.Event()
        self._outcome: BackendOutcome | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="tensorrt-build", daemon=True).start()

    def _run(self) -> None:
        try:
            self._outcome = self._call()
        except BaseException as error:  # noqa: BLE001  carried over to the thread that waits, whatever it is
            self._error = error
        finally:
            self._ended.set()

    def wait(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    def result(self) -> BackendOutcome:
        if self._error is not None:
            raise self._error
        assert self._outcome is not None  # noqa: S101  for the type checker: one of the two is set
        return self._outcome
