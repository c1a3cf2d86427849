"""Who holds registered memory, and what of it the GPU sees where."""

from __future__ import annotations

import mmap
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from edgeagent.inference.cuda_failure import CudaCallFailed
from edgeagent.inference.lent_memory import PAGE, Region, Registry, address_of

ON_GPU = 1 << 50


@dataclass
class Registers:
    """As strict as CUDA: nothing twice, nothing given back that was not taken."""

    held: dict[int, int] = field(default_factory=dict)
    made: int = 0

    def register(self, address: int, size: int) -> int:
        assert address not in self.held
        self.held[address] = size
        self.made += 1
        return address + ON_GPU

    def unregister(self, address: int) -> None:
        del self.held[address]


def pages(count: int) -> memoryview:
    return memoryview(mmap.mmap(-1, count * PAGE))


def test_the_first_registers_and_the_last_undoes_it() -> None:
    registers, memory = Registers(), pages(2)
    registry = Registry(registers)
    one, two = registry.lend(memory), registry.lend(memory)
    assert one == two and registers.made == 1 and list(registers.held.values()) == [2 * PAGE]
    registry.give_back(one)
    assert registers.held
    registry.give_back(two)
    assert not registers.held
    registry.give_back(registry.lend(memory))
    assert registers.made == 2 and not registers.held


def test_other_memory_at_the_same_address_is_refused() -> None:
    registers, memory = Registers(), pages(2)
    registry = Registry(registers)
    registry.lend(memory)
    with pytest.raises(CudaCallFailed, match="other memory"):
        registry.lend(memory[:PAGE])


def test_a_mapping_stays_as_long_as_it_is_registered() -> None:
    mapping = mmap.mmap(-1, PAGE)
    registry, memory = Registry(Registers()), memoryview(mapping)
    region = registry.lend(memory)
    memory.release()
    with pytest.raises(BufferError):
        mapping.close()
    registry.give_back(region)
    mapping.close()


@pytest.mark.parametrize("part", [slice(0, 0), slice(1, PAGE), slice(0, PAGE + 1), slice(8, PAGE + 8)])
def test_only_whole_pages(part: slice) -> None:
    with pytest.raises(CudaCallFailed, match="whole pages"):
        Registry(Registers()).lend(pages(2)[part])


def test_many_threads() -> None:
    registers, memory = Registers(), pages(1)
    registry = Registry(registers)

    def work() -> None:
        for _ in range(200):
            registry.give_back(registry.lend(memory))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not registers.held


def test_where_the_gpu_sees_a_frame() -> None:
    whole = np.zeros(4 * PAGE, np.uint8)
    start = address_of(whole)
    region = Region(start, start + 2 * PAGE, ON_GPU)
    assert region.seen_at(whole[: 2 * PAGE]) == ON_GPU
    assert region.seen_at(whole[PAGE : 2 * PAGE]) == ON_GPU + PAGE
    assert region.seen_at(whole[PAGE : 2 * PAGE + 1]) is None, "its end is outside"
    assert region.seen_at(whole[2 * PAGE :]) is None
    assert region.seen_at(whole[: 2 * PAGE : 2]) is None, "it is in pieces"
    assert region.seen_at(whole[:PAGE][::-1]) is None
    assert region.seen_at(np.zeros(4, np.uint8)) is None
