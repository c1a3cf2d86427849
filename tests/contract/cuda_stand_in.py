"""As much of pycuda.driver as edgeagent uses, over ordinary memory, and as strict as the real one.

Without a current context every call fails. What is put on a stream happens when the stream is waited for and not
before, so code that forgets to wait reads what was there before. `allocated` tells what was never freed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


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
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.fail_next: Error | None = None
        self.pinned = 0
        self._depth = 0
        self._next = 0x7000_0000
        self.driver = SimpleNamespace(
            Error=Error,
            MemoryError=MemoryError,
            LogicError=LogicError,
            init=lambda: None,
            Device=self._device,
            Context=SimpleNamespace(pop=self._pop),
            Stream=self._stream,
            device_attribute=SimpleNamespace(MULTIPROCESSOR_COUNT="sm", INTEGRATED="integrated"),
            mem_get_info=self._mem_get_info,
            mem_alloc=self._mem_alloc,
            pagelocked_empty=self._pagelocked_empty,
            memcpy_htod=self._htod,
            memcpy_htod_async=lambda to, host, stream: self._later(stream, lambda: self._htod(to, host)),
            memcpy_dtoh_async=lambda host, of, stream: self._later(stream, lambda: self._dtoh(host, of)),
        )

    def read(self, address: int, size: int) -> bytes:
        memory = self.allocated[address]
        assert size <= len(memory), f"{size} bytes are read where {len(memory)} were allocated"
        return bytes(memory[:size])

    def write(self, address: int, data: bytes) -> None:
        memory = self.allocated[address]
        assert len(data) <= len(memory)
        memory[: len(data)] = data

    def _device(self, index: int) -> Any:
        attributes = {"sm": 8, "integrated": int(self.integrated)}
        context = SimpleNamespace(push=self._push)
        return SimpleNamespace(
            name=lambda: "a stand-in", get_attribute=attributes.__getitem__, retain_primary_context=lambda: context
        )

    def _push(self) -> None:
        self._depth += 1

    def _pop(self) -> None:
        self._check()
        self._depth -= 1

    def _check(self) -> None:
        if self._depth == 0:
            raise LogicError("invalid device context")
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

    def _pagelocked_empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        self._check()
        return _Pinned(self, shape, dtype).array()

    def _stream(self) -> Any:
        self._check()
        handle = len(self.streams) + 1
        self.streams[handle] = []
        return SimpleNamespace(handle=handle, synchronize=lambda: self._synchronize(handle))

    def _later(self, stream: Any, what: Callable[[], None]) -> None:
        self._check()
        self.streams[stream.handle].append(what)

    def _synchronize(self, handle: int) -> None:
        self._check()
        waiting, self.streams[handle] = self.streams[handle], []
        for what in waiting:
            what()

    def _htod(self, to: Any, host: Any) -> None:
        self._check()
        self.write(int(to), host.tobytes())

    def _dtoh(self, host: Any, of: Any) -> None:
        host[...] = np.frombuffer(self.read(int(of), host.nbytes), host.dtype).reshape(host.shape)


class _Pinned:
    """Pinned memory, which is given back by `free` and in no other way."""

    def __init__(self, cuda: CudaStandIn, shape: tuple[int, ...], dtype: Any) -> None:
        self._cuda = cuda
        self._whole = np.full(shape, 77, dtype)
        self.__array_interface__ = self._whole.__array_interface__
        cuda.pinned += 1

    def array(self) -> Any:
        """An array whose `base` is this, as pycuda makes them."""
        return np.asarray(self)

    def free(self) -> None:
        self._cuda.pinned -= 1


class _Allocation:
    def __init__(self, address: int, free: Callable[[], Any]) -> None:
        self._address = address
        self.free = free

    def __int__(self) -> int:
        return self._address
