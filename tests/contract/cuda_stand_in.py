"""As much of pycuda.driver and of cuda-bindings as edgeagent uses, over ordinary memory, as strict as the real ones.

Without a current context every call fails. What is put on a stream happens when the stream, or an event on it, is
waited for and not before, so code that forgets to wait reads what was there before; a stream waits for others only
where it is told to. Between capture's begin and end work goes into a graph, and what may not be done then spoils it.
`allocated`, `pinned`, `registered` and `graphs` tell what was never given back.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

SEEN_FROM_THE_GPU = 0x10_0000_0000_0000  # what a registered address is more by, on the GPU
Work = Callable[[], None]


class Error(Exception):
    pass


class MemoryError(Error):
    pass


class LogicError(Error):
    pass


class CudaStandIn:
    """The module, the one GPU and its memory. `driver` is what code takes for pycuda.driver."""

    def __init__(self, *, free_mb: int = 8000, total_mb: int = 16000, integrated: bool = False) -> None:
        self.free_mb, self.total_mb = free_mb, total_mb
        self.integrated = integrated
        self.allocated: dict[int, bytearray] = {}
        self.streams: dict[int, list[Work]] = {}
        self.capturing: dict[int, list[Work] | None] = {}  # None: it was spoilt
        self.graphs: dict[int, Any] = {}
        self.registered: dict[int, int] = {}
        self.mapped: dict[int, int] = {}  # pinned memory that the GPU sees
        self.fail_next: Error | None = None
        self.calls_until_failure: int | None = None  # then one fails
        self.lost: str | None = None  # the words of a sticky error
        self.calls: list[str] = []  # through cuda-bindings
        self.refuses: dict[str, CUresult] = {}  # calls of cuda-bindings that fail
        self.copied: list[tuple[int, int]] = []  # where from and how much, host to GPU
        self.pinned = 0
        self._depth = 0
        self._next = 0x7000_0000
        self.driver = SimpleNamespace(
            Error=Error,
            MemoryError=MemoryError,
            LogicError=LogicError,
            init=lambda: None,
            Device=self._device,
            Context=SimpleNamespace(pop=self._pop, synchronize=self._synchronize_all),
            Stream=self._stream,
            Event=lambda flags=0: _Event(self),
            event_flags=SimpleNamespace(DEFAULT=0, BLOCKING_SYNC=1, DISABLE_TIMING=2),
            device_attribute=SimpleNamespace(MULTIPROCESSOR_COUNT="sm", INTEGRATED="integrated"),
            mem_get_info=self._mem_get_info,
            mem_alloc=self._mem_alloc,
            pagelocked_empty=self._pagelocked_empty,
            host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
            memcpy_htod=self._htod_now,
            memcpy_htod_async=self._htod_async,
            memcpy_dtoh_async=lambda host, of, stream: self.put(stream.handle, lambda: self._dtoh(host, of)),
        )
        self.bindings = _bindings_module(self)

    def read(self, address: int, size: int) -> bytes:
        """What lies there now: in memory of the GPU, or in registered memory of the host."""
        if self._on_host(address, size):
            return ctypes.string_at(address - SEEN_FROM_THE_GPU, size)
        memory, offset = self._at(address, size)
        return bytes(memory[offset : offset + size])

    def write(self, address: int, data: bytes) -> None:
        if self._on_host(address, len(data)):
            ctypes.memmove(address - SEEN_FROM_THE_GPU, data, len(data))
            return
        memory, offset = self._at(address, len(data))
        memory[offset : offset + len(data)] = data

    def knows(self, address: int) -> bool:
        """Whether it is an address of the GPU's."""
        allocated = any(start <= address < start + len(memory) for start, memory in self.allocated.items())
        return allocated or self._on_host(address, 1)

    def put(self, handle: int, work: Work) -> None:
        """Onto a stream, or into the graph that is captured from it."""
        self._check()
        if handle in self.capturing:
            graph = self.capturing[handle]
            if graph is None:
                raise LogicError("operation failed due to a previous error during capture")
            graph.append(work)
        else:
            self.streams[handle].append(work)

    def drain(self, handle: int, until: Work | None = None) -> None:
        """Do what waits on a stream, up to one piece of it or all."""
        queue = self.streams[handle]
        while queue:
            work = queue.pop(0)
            work()
            if work is until:
                return

    def _on_host(self, address: int, size: int) -> bool:
        there = address - SEEN_FROM_THE_GPU
        seen = (*self.registered.items(), *self.mapped.items())
        return any(start <= there and there + size <= start + length for start, length in seen)

    def _at(self, address: int, size: int) -> tuple[bytearray, int]:
        for start, memory in self.allocated.items():
            if start <= address < start + len(memory):
                assert address - start + size <= len(memory), f"{size} bytes at {address - start} of {len(memory)}"
                return memory, address - start
        raise AssertionError(f"nothing is allocated at {address:#x}")

    def _device(self, index: int) -> Any:
        attributes = {"sm": 8, "integrated": int(self.integrated)}
        context = SimpleNamespace(push=self._push)
        return SimpleNamespace(
            name=lambda: "a stand-in", get_attribute=attributes.__getitem__, retain_primary_context=lambda: context
        )

    def _push(self) -> None:
        self._depth += 1

    def _pop(self) -> None:
        if self.lost is None:
            self._check()
        self._depth -= 1

    def _check(self) -> None:
        if self._depth == 0:
            raise LogicError("invalid device context")
        if self.lost is not None:
            raise LogicError(f"some call failed: {self.lost}")
        if self.calls_until_failure is not None:
            self.calls_until_failure -= 1
            if self.calls_until_failure == 0:
                raise LogicError("this call was to fail")
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error

    def _mem_get_info(self) -> tuple[int, int]:
        self._check()
        return self.free_mb << 20, self.total_mb << 20

    def _mem_alloc(self, size: int) -> Any:
        self._check()
        if size > self.free_mb << 20:
            raise MemoryError("cuMemAlloc failed: out of memory")
        self._next += 0x1000_0000
        address = self._next
        self.allocated[address] = bytearray(size)
        return _Allocation(address, lambda: self.allocated.pop(address))

    def _pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, mem_flags: int = 0) -> Any:
        self._check()
        return _Pinned(self, shape, dtype, mapped=bool(mem_flags & 2)).array()

    def _stream(self, flags: int = 0) -> Any:
        self._check()
        handle = len(self.streams) + 1
        self.streams[handle] = []
        return SimpleNamespace(
            handle=handle,
            synchronize=lambda: self._synchronize(handle),
            wait_for_event=lambda event: self.put(handle, event.finish()),
        )

    def _synchronize(self, handle: int) -> None:
        self._check()
        if handle in self.capturing:
            self.capturing[handle] = None
            raise LogicError("operation not permitted when stream is capturing")
        self.drain(handle)

    def _synchronize_all(self) -> None:
        self._check()
        for handle in self.streams:
            self._synchronize(handle)

    def _htod_async(self, to: Any, host: Any, stream: Any) -> None:
        assert host.flags.c_contiguous
        address = host.__array_interface__["data"][0]
        self.copied.append((address, host.nbytes))
        self.put(stream.handle, lambda: self._htod(to, host))

    def _htod(self, to: Any, host: Any) -> None:
        self.write(int(to), host.tobytes())

    def _htod_now(self, to: Any, host: Any) -> None:
        self._check()
        self._htod(to, host)

    def _dtoh(self, host: Any, of: Any) -> None:
        host[...] = np.frombuffer(self.read(int(of), host.nbytes), host.dtype).reshape(host.shape)


class _Pinned:
    """Pinned memory, which is given back by `free` and in no other way."""

    def __init__(self, cuda: CudaStandIn, shape: tuple[int, ...], dtype: Any, *, mapped: bool = False) -> None:
        self._cuda = cuda
        self._mapped = mapped
        self._whole = _paged(shape, dtype)
        self._whole[...] = 77
        self.__array_interface__ = self._whole.__array_interface__
        cuda.pinned += 1

    def array(self) -> Any:
        """An array whose `base` is this, as pycuda makes them."""
        return np.asarray(self)

    def get_device_pointer(self) -> int:
        self._cuda._check()
        assert self._mapped, "it was not asked to be mapped"
        address = int(self._whole.__array_interface__["data"][0])
        self._cuda.mapped[address] = self._whole.nbytes
        return address + SEEN_FROM_THE_GPU

    def free(self) -> None:
        self._cuda.pinned -= 1
        self._cuda.mapped.pop(self._whole.__array_interface__["data"][0], None)


class _Allocation:
    def __init__(self, address: int, free: Callable[[], Any]) -> None:
        self._address = address
        self.free = free

    def __int__(self) -> int:
        return self._address


def _paged(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array that begins at a page, as CUDA's do."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 4096, np.uint8)
    begin = -raw.__array_interface__["data"][0] % 4096
    return raw[begin : begin + size].view(dtype).reshape(shape)


class _Event:
    """Where a stream was when it was recorded."""

    def __init__(self, cuda: CudaStandIn) -> None:
        cuda._check()
        self._cuda = cuda
        self._recorded: tuple[int, _Mark] | None = None

    def record(self, stream: Any) -> None:
        mark = _Mark()
        self._cuda.put(stream.handle, mark)
        self._recorded = (stream.handle, mark)

    def finish(self) -> Work:
        """What brings that stream as far as it was recorded now; a later record does not change it."""
        recorded = self._recorded

        def wait() -> None:
            if recorded is not None and not recorded[1].passed:
                self._cuda.drain(*recorded)

        return wait

    def synchronize(self) -> None:
        self._cuda._check()
        self.finish()()


class _Mark:
    passed = False

    def __call__(self) -> None:
        self.passed = True


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712
    CUDA_ERROR_NOT_PERMITTED = 800
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


WITH_RESULT = ("cuStreamEndCapture", "cuGraphInstantiate", "cuMemHostGetDevicePointer")
WORDS = {
    0: b"no error",
    1: b"invalid argument",
    2: b"out of memory",
    700: b"an illegal memory access was encountered",
    712: b"part or all of the requested memory range is already mapped",
    800: b"operation not permitted",
    901: b"operation failed due to a previous error during capture",
}


@dataclass
class _Graph:
    work: list[Work]
    uploaded: bool = False
    launches: int = field(default=0)


def _bindings_module(cuda: CudaStandIn) -> Any:
    """cuda.bindings.driver: each call returns a tuple of its status and its results."""
    done = CUresult.CUDA_SUCCESS

    def begin(stream: int, mode: int) -> tuple[Any, ...]:
        if int(stream) in cuda.capturing:
            return (CUresult.CUDA_ERROR_INVALID_VALUE,)
        cuda.capturing[int(stream)] = []
        return (done,)

    def end(stream: int) -> tuple[Any, ...]:
        work = cuda.capturing.pop(int(stream))
        if work is None:
            return CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, None
        return done, keep(_Graph(work))

    def keep(graph: _Graph) -> int:
        handle = max(cuda.graphs, default=0) + 1
        cuda.graphs[handle] = graph
        return handle

    def upload(ready: int, stream: Any) -> tuple[Any, ...]:
        cuda.graphs[ready].uploaded = True
        return (done,)

    def launch(ready: int, stream: Any) -> tuple[Any, ...]:
        if cuda.lost is not None:
            return (CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,)
        cuda.graphs[ready].launches += 1
        for work in cuda.graphs[ready].work:
            cuda.put(int(stream), work)
        return (done,)

    def destroy(graph: int) -> tuple[Any, ...]:
        del cuda.graphs[graph]
        return (done,)

    def register(address: int, size: int, flags: int) -> tuple[Any, ...]:
        if any(start < address + size and address < start + held for start, held in cuda.registered.items()):
            return (CUresult.CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,)
        cuda.registered[address] = size
        return (done,)

    def unregister(address: int) -> tuple[Any, ...]:
        return (done if cuda.registered.pop(address, None) else CUresult.CUDA_ERROR_INVALID_VALUE,)

    def checked(name: str, call: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
        def checked_call(*arguments: Any) -> tuple[Any, ...]:
            cuda.calls.append(name)
            assert cuda._depth > 0, f"{name} without a context"
            if name in cuda.refuses:
                return (cuda.refuses[name], None) if name in WITH_RESULT else (cuda.refuses[name],)
            return call(*arguments)

        return checked_call

    calls = {
        "cuStreamBeginCapture": begin,
        "cuStreamEndCapture": end,
        "cuGraphInstantiate": lambda graph, flags: (done, keep(_Graph(cuda.graphs[graph].work))),
        "cuGraphUpload": upload,
        "cuGraphLaunch": launch,
        "cuGraphExecDestroy": destroy,
        "cuGraphDestroy": destroy,
        "cuMemHostRegister": register,
        "cuMemHostGetDevicePointer": lambda address, flags: (done, address + SEEN_FROM_THE_GPU),
        "cuMemHostUnregister": unregister,
    }
    return SimpleNamespace(
        CUresult=CUresult,
        CUstream=int,
        CU_MEMHOSTREGISTER_DEVICEMAP=2,
        CUstreamCaptureMode=SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1),
        cuGetErrorString=lambda status: (done, WORDS[int(status)]),
        **{name: checked(name, call) for name, call in calls.items()},
    )
