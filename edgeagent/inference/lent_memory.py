"""Memory of others that the GPU may read in place: a ring's mapping, registered with CUDA once in the process.

Two sessions may be lent the same ring, as while one engine takes the place of another: the first registers it, the last
that gives it back undoes that. The mapping cannot go as long as it is registered.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgeagent.inference.cuda_failure import CudaCallFailed

PAGE = 4096


class Registers(Protocol):
    def register(self, address: int, size: int) -> int: ...

    def unregister(self, address: int) -> None: ...


@dataclass(frozen=True)
class Region:
    """Registered memory from `start` to before `end`, which the GPU sees from `device` on."""

    start: int
    end: int
    device: int

    def seen_at(self, frame: npt.NDArray[Any]) -> int | None:
        """Where the GPU sees a frame that lies in here as a whole and in one piece; None for all others."""
        start = address_of(frame)
        inside = self.start <= start and start + frame.nbytes <= self.end and frame.flags.c_contiguous
        return self.device + start - self.start if inside else None


class Registry:
    """What is registered, and for how many. Its calls need the context to be current; any thread may make them."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self._lock = threading.Lock()
        self._held: dict[int, tuple[Region, memoryview, int]] = {}

    def lend(self, memory: memoryview) -> Region:
        """Raises CudaCallFailed for memory that is not made of whole pages, and when CUDA does not take it."""
        start, size = _extent(memory)
        with self._lock:
            # a view of our own: the owner may release theirs, and the mapping stays
            region, kept, users = self._held.get(start) or (self._register(start, size), memory[:], 0)
            if region.end - region.start != size:
                raise CudaCallFailed("other memory is lent at this address")
            self._held[start] = (region, kept, users + 1)
            return region

    def give_back(self, region: Region) -> None:
        """Raises CudaCallFailed when CUDA does not let go of it; it counts as given back all the same."""
        with self._lock:
            _, memory, users = self._held.pop(region.start)
            if users > 1:
                self._held[region.start] = (region, memory, users - 1)
            else:
                self._registers.unregister(region.start)

    def _register(self, start: int, size: int) -> Region:
        return Region(start, start + size, self._registers.register(start, size))


def address_of(array: npt.NDArray[Any]) -> int:
    """Where its first byte lies; the cheapest way to ask."""
    return int(array.__array_interface__["data"][0])


def _extent(memory: memoryview) -> tuple[int, int]:
    whole = np.frombuffer(memory, np.uint8)
    start = address_of(whole)
    if not whole.nbytes or start % PAGE or whole.nbytes % PAGE:
        raise CudaCallFailed("only whole pages of memory can be lent to a GPU")
    return start, whole.nbytes
