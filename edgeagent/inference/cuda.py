"""The GPU through pycuda: one context a process, buffers with an owner, every CUDA status an EngineError.

The primary context is used, which TensorRT and ONNX Runtime share; never pycuda.autoinit, whose context nobody else
has. It is retained once and lives as long as the process: pycuda gives a primary context back by leaving a dead one
current. It is current only inside `with gpu:`, so sessions may be opened and closed in any order and on any thread.
Nothing here knows of TensorRT.
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

Driver = Any  # the module pycuda.driver, which has no types
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class GpuMemory:
    """In MB. `shared`: CPU and GPU have one memory, as on a Jetson; then free is what the kernel could free."""

    free_mb: int
    total_mb: int
    shared: bool


class Gpu:
    """The first GPU. `with gpu:` makes its context current on this thread; nesting is allowed."""

    def __init__(self, driver: Driver, context: Any) -> None:  # noqa: ANN401  pycuda has no types
        self.driver = driver
        self._context = context
        self.device = driver.Device(0)

    def __enter__(self) -> Gpu:
        with translated(self.driver):
            self._context.push()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.Context.pop()

    def name(self) -> str:
        return str(self.device.name())

    def sm_count(self) -> int:
        return int(self.device.get_attribute(self.driver.device_attribute.MULTIPROCESSOR_COUNT))

    def memory(self) -> GpuMemory:
        """What is free now; the context must be current."""
        with translated(self.driver):
            free, total = self.driver.mem_get_info()
            shared = bool(self.device.get_attribute(self.driver.device_attribute.INTEGRATED))
        available = available_mb(MEMINFO.read_text(encoding="ascii")) if shared else None
        return GpuMemory(free >> 20 if available is None else available, total >> 20, shared)


@functools.cache
def open_gpu() -> Gpu:
    """The GPU of this process. Raises EngineError `no_gpu` where there is none that works."""
    try:
        from pycuda import driver
    except ImportError as error:
        raise _no_gpu(f"pycuda cannot be imported: {error}") from error
    return retain(driver)


def retain(driver: Driver) -> Gpu:
    """The first GPU with its primary context retained."""
    try:
        driver.init()
        return Gpu(driver, driver.Device(0).retain_primary_context())
    except driver.Error as error:
        raise _no_gpu(f"CUDA does not start: {error}") from error


def _no_gpu(message: str) -> EngineError:
    return EngineError(
        message, mend='see `edgeagent doctor`; without a GPU set engines.backend = "onnxruntime"', code="no_gpu"
    )


@contextlib.contextmanager
def translated(driver: Driver, code: str = "driver_error") -> Iterator[None]:
    """Turn what pycuda raises into an EngineError: `out_of_memory`, or else `code`."""
    try:
        yield
    except driver.MemoryError as error:
        raise EngineError(
            f"the GPU's memory is full: {error}",
            mend="stop what else uses the GPU, or choose a smaller model",
            retry=True,
            code="out_of_memory",
        ) from error
    except driver.Error as error:
        raise EngineError(
            f"CUDA failed: {error}", mend="restart the service; if it stays, the device", retry=True, code=code
        ) from error


def available_mb(meminfo: str) -> int | None:
    """MemAvailable of /proc/meminfo in MB, None where it is not told."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) // 1024
    return None


class DeviceBuffer:
    """An array on the GPU and its twin on the host, pinned where copies are to run behind other work. Made and freed
    with the context current, by one thread: pinned memory that is left to the garbage collector is never given back."""

    def __init__(self, gpu: Gpu, shape: tuple[int, ...], dtype: npt.DTypeLike, *, pinned: bool = True) -> None:
        self._driver = gpu.driver
        kind = np.dtype(dtype)
        with translated(gpu.driver):
            self.host: npt.NDArray[Any] = gpu.driver.pagelocked_empty(shape, kind) if pinned else np.empty(shape, kind)
            self._memory = gpu.driver.mem_alloc(max(1, self.host.nbytes))

    @property
    def address(self) -> int:
        return int(self._memory)

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
        self._memory.free()
        pinned: Any = self.host.base
        self.host = np.empty(0, self.host.dtype)
        if hasattr(pinned, "free"):
            pinned.free()
