"""The CUDA driver's calls that pycuda lacks: graphs, and memory of others that the GPU may read.

Through NVIDIA's cuda-bindings, which is optional. (pycuda can register memory too; it crashed on a mapping of a
memory file.) Every call returns its status; every status is looked at and, where it is not success, raised as
CudaCallFailed. The context must be current.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from edgeagent.inference.cuda_failure import CudaCallFailed

Module = Any  # cuda.bindings.driver, which has no types


class Bindings:
    """`module` is cuda.bindings.driver, or what stands in for it."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def capture(self, stream: int, work: Callable[[], None]) -> CudaGraph:
        """What `work` puts on the stream, as a graph; nothing of it runs. What `work` raises is passed on, with the
        stream as it was."""
        cuda = self._module
        mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self.call("cuStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:
            status, graph = cuda.cuStreamEndCapture(stream)  # a status tells of the same failure
            if status == 0:
                cuda.cuGraphDestroy(graph)
            raise
        graph = self.call("cuStreamEndCapture", stream)
        try:
            ready = self.call("cuGraphInstantiate", graph, 0)
        finally:
            self.call("cuGraphDestroy", graph)
        made = CudaGraph(self, ready, stream)
        try:
            self.call("cuGraphUpload", ready, stream)  # else its first launch would do it
        except CudaCallFailed:
            made.free()
            raise
        return made

    def register(self, address: int, size: int) -> int:
        """Let the GPU read memory of this process; its address there."""
        self.call("cuMemHostRegister", address, size, self._module.CU_MEMHOSTREGISTER_DEVICEMAP)
        try:
            return int(self.call("cuMemHostGetDevicePointer", address, 0))
        except CudaCallFailed:
            self.unregister(address)
            raise

    def unregister(self, address: int) -> None:
        self.call("cuMemHostUnregister", address)

    def call(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401
        """The result of a call, None where it has none."""
        status, *results = getattr(self._module, name)(*arguments)
        if status != 0:
            raise self.failure(name, status)
        return results[0] if results else None

    def failure(self, name: str, status: Any) -> CudaCallFailed:  # noqa: ANN401
        asked, said = self._module.cuGetErrorString(status)
        text = said.decode("ascii", "replace") if asked == 0 and said else f"status {int(status)}"
        full = status == self._module.CUresult.CUDA_ERROR_OUT_OF_MEMORY
        return CudaCallFailed(f"{name} failed: {text}", out_of_memory=full)


class CudaGraph:
    """Work recorded once, put on its stream by one call. Freed by its owner."""

    def __init__(self, bindings: Bindings, ready: Any, stream: int) -> None:  # noqa: ANN401
        self._bindings = bindings
        self._module = bindings._module
        self._launch = self._module.cuGraphLaunch
        self._ready = ready
        self._stream = self._module.CUstream(stream)  # wrapped once, not at each launch

    def launch(self) -> None:
        (status,) = self._launch(self._ready, self._stream)
        if status != 0:
            raise self._bindings.failure("cuGraphLaunch", status)

    def free(self) -> None:
        """Nothing of it may be running."""
        self._bindings.call("cuGraphExecDestroy", self._ready)


@functools.cache
def open_bindings() -> Bindings | None:
    """None where the package is not installed, or does not load."""
    try:
        from cuda.bindings import driver
    except (ImportError, OSError):
        return None
    return Bindings(driver)
