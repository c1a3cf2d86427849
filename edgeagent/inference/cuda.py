"""The GPU through pycuda: one context a process, buffers with an owner, every CUDA status an EngineError.

The primary context is used, which TensorRT and ONNX Runtime share; never pycuda.autoinit, whose context nobody else
has. It is retained once and lives as long as the process: pycuda gives a primary context back by leaving a dead one
current. It is current only inside `with gpu:`, so sessions may be opened and closed in any order and on any thread.
Nothing here knows of TensorRT.

Some errors are sticky: after them every call fails, whatever it is, until the process ends. They have a code of their
own, `gpu_lost`, so that the process can end at once instead of trying again for ever.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import EngineError
from edgeagent.inference.cuda_bindings import Bindings, open_bindings
from edgeagent.inference.cuda_failure import RESTART, CudaCallFailed, failure_of, is_sticky, lost
from edgeagent.inference.lent_memory import Registry

Driver = Any  # the module pycuda.driver, which has no types
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class GpuMemory:
    """In MB. `shared`: CPU and GPU have one memory, as on a Jetson; then free is what the kernel could free."""

    free_mb: int
    total_mb: int
    shared: bool


class Gpu:
    """The first GPU. `with gpu:` makes its context current on this thread; nesting is allowed. `errors` is what its
    calls raise. `bindings` and `registry` are None where cuda-bindings is missing: no graphs, no lent memory."""

    def __init__(self, driver: Driver, context: Any, bindings: Bindings | None = None) -> None:  # noqa: ANN401  no types
        self.driver = driver
        self._context = context
        self.device = driver.Device(0)
        self.errors: tuple[type[Exception], ...] = (driver.Error, CudaCallFailed)
        self.bindings = bindings
        self.registry = None if bindings is None else Registry(bindings)
        self.integrated = bool(self.device.get_attribute(driver.device_attribute.INTEGRATED))

    def __enter__(self) -> Gpu:
        try:
            self._context.push()
        except self.driver.Error as error:
            raise failure_of(self.driver, error, "driver_error") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.driver.Context.pop()
        except self.driver.Error as trouble:
            if error is None:  # else that one tells more
                raise failure_of(self.driver, trouble, "driver_error") from trouble

    def failure(self, error: Exception, code: str) -> EngineError:
        """The EngineError for one of `errors`: `gpu_lost`, `out_of_memory`, or else `code`. The context is current.

        What an error is called does not always tell whether it stays, so the GPU is asked once more."""
        found = failure_of(self.driver, error, code)
        return self.failed(found.message, code) if found.error_code == code else found

    def failed(self, message: str, code: str) -> EngineError:
        """The same for a failure that has no exception: TensorRT's."""
        if is_sticky(message) or self._is_lost():
            return lost(message)
        return EngineError(message, mend=RESTART, retry=True, code=code)

    def _is_lost(self) -> bool:
        try:
            self.driver.Context.synchronize()
        except self.driver.Error:
            return True
        return False

    def name(self) -> str:
        return str(self.device.name())

    def sm_count(self) -> int:
        return int(self.device.get_attribute(self.driver.device_attribute.MULTIPROCESSOR_COUNT))

    def memory(self) -> GpuMemory:
        """What is free now; the context must be current."""
        with translated(self.driver):
            free, total = self.driver.mem_get_info()
        available = available_mb(MEMINFO.read_text(encoding="ascii")) if self.integrated else None
        return GpuMemory(free >> 20 if available is None else available, total >> 20, self.integrated)


@functools.cache
def open_gpu() -> Gpu:
    """The GPU of this process. Raises EngineError `no_gpu` where there is none that works."""
    try:
        from pycuda import driver
    except ImportError as error:
        raise _no_gpu(f"pycuda cannot be imported: {error}") from error
    return retain(driver, open_bindings())


def retain(driver: Driver, bindings: Bindings | None = None) -> Gpu:
    """The first GPU with its primary context retained."""
    try:
        driver.init()
        return Gpu(driver, driver.Device(0).retain_primary_context(), bindings)
    except driver.Error as error:
        raise _no_gpu(f"CUDA does not start: {error}") from error


def _no_gpu(message: str) -> EngineError:
    return EngineError(
        message, mend='see `edgeagent doctor`; without a GPU set engines.backend = "onnxruntime"', code="no_gpu"
    )


@contextlib.contextmanager
def translated(driver: Driver, code: str = "driver_error") -> Iterator[None]:
    """Turn what pycuda raises into an EngineError: `gpu_lost`, `out_of_memory`, or else `code`."""
    try:
        yield
    except driver.Error as error:
        raise failure_of(driver, error, code) from error


def available_mb(meminfo: str) -> int | None:
    """MemAvailable of /proc/meminfo in MB, None where it is not told."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) // 1024
    return None


class DeviceBuffer:
    """An array on the GPU and its twin on the host, pinned where copies are to run behind other work. Made and freed
    with the context current, by one thread: pinned memory that is left to the garbage collector is never given back.
    With `memory_of` the twin is its own, and the array on the GPU that of another buffer, which frees it."""

    def __init__(
        self,
        gpu: Gpu,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        pinned: bool = True,
        memory_of: DeviceBuffer | None = None,
    ) -> None:
        self._driver = gpu.driver
        self._owns = memory_of is None
        kind = np.dtype(dtype)
        size = max(1, int(np.prod(shape)) * kind.itemsize)
        with translated(gpu.driver):
            self._memory: Any = memory_of._memory if memory_of else gpu.driver.mem_alloc(size)
        self.address = int(self._memory)
        try:
            with translated(gpu.driver):
                self.host: npt.NDArray[Any] = (
                    gpu.driver.pagelocked_empty(shape, kind) if pinned else np.empty(shape, kind)
                )
        except EngineError:
            if self._owns:
                self._memory.free()
            raise

    def push(self, stream: Any = None) -> None:  # noqa: ANN401  a pycuda stream
        """Host to GPU, behind what is on the stream; without one, done when it returns."""
        if stream is None:
            self._driver.memcpy_htod(self._memory, self.host)
        else:
            self._driver.memcpy_htod_async(self._memory, self.host, stream)

    def pull(self, stream: Any) -> None:  # noqa: ANN401
        """GPU to host, behind what is on the stream."""
        self._driver.memcpy_dtoh_async(self.host, self._memory, stream)

    def free(self) -> None:
        """Give both back. `host` is empty afterwards."""
        if self._owns:
            self._memory.free()
        pinned: Any = self.host.base
        self.host = np.empty(0, self.host.dtype)
        if hasattr(pinned, "free"):
            pinned.free()


class MappedArray:
    """A pinned array on the host into which the GPU writes by itself, through its bus: for results of a few thousand
    bytes, which a copy would take longer to start than to make. Made and freed as a DeviceBuffer is."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        driver = gpu.driver
        with translated(driver):
            self.host: npt.NDArray[np.uint8] = driver.pagelocked_empty(
                (size,), np.uint8, mem_flags=driver.host_alloc_flags.DEVICEMAP
            )
        pinned: Any = self.host.base
        try:
            with translated(driver):
                self.address = int(pinned.get_device_pointer())
        except EngineError:
            self.free()
            raise

    def free(self) -> None:
        pinned: Any = self.host.base
        self.host = np.empty(0, np.uint8)
        pinned.free()
