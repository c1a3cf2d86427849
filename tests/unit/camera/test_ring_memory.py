"""The ring's memory: where things lie, what it is sealed against, and what is refused as no ring."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeagent.camera.ring import RingReader, RingWriter
from edgeagent.camera.ring_layout import MAGIC, PAGE, VERSION, W_HEIGHT, W_SLOTS, W_WIDTH, RingLayout
from edgeagent.camera.ring_memory import create_ring, map_header, open_ring

LAYOUT = RingLayout(40, 30, 3)


@pytest.fixture
def fd() -> Iterator[int]:
    number = create_ring("unit", LAYOUT)
    yield number
    os.close(number)


def test_a_ring_knows_its_layout(fd: int) -> None:
    layout, memory = open_ring(fd)
    memory.close()
    assert layout == LAYOUT
    words = map_header(fd)
    assert [words[index] for index in (W_WIDTH, W_HEIGHT, W_SLOTS)] == [40, 30, 3]
    words.release()


@pytest.mark.parametrize("size", [0, 1, LAYOUT.total_bytes - 1, LAYOUT.total_bytes + 1, 1 << 30])
def test_nobody_can_resize_it(fd: int, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(fd, size)
    assert os.fstat(fd).st_size == LAYOUT.total_bytes


def test_nobody_can_take_the_seals_off(fd: int) -> None:
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_its_pages_are_there_from_the_start(fd: int) -> None:
    assert os.fstat(fd).st_blocks * 512 >= LAYOUT.total_bytes


def test_memory_that_cannot_be_had_is_told_at_once_and_leaves_nothing() -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            create_ring("unit", LAYOUT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_it_has_no_name_in_the_file_system(fd: int) -> None:
    assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:edgeagent-unit")  # noqa: PTH115
    assert not [name for name in os.listdir("/dev/shm") if "edgeagent-unit" in name]  # noqa: PTH208


def test_it_is_not_inherited_by_accident(fd: int) -> None:
    assert not os.get_inheritable(fd)


def memory_file(content: bytes, size: int | None = None) -> int:
    number = os.memfd_create("junk")
    os.write(number, content)
    if size is not None:
        os.ftruncate(number, size)
    return number


def head(magic: int = MAGIC, version: int = VERSION, width: int = 40, height: int = 30, slots: int = 3) -> bytes:
    return struct.pack("=5Q", magic, version, width, height, slots)


def a_pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


JUNK: dict[str, Callable[[], int]] = {
    "nothing in it": lambda: memory_file(b""),
    "half a header": lambda: memory_file(head()[:39]),
    "zeros": lambda: memory_file(b"", LAYOUT.total_bytes),
    "another magic": lambda: memory_file(head(magic=1), LAYOUT.total_bytes),
    "another version": lambda: memory_file(head(version=VERSION + 1), LAYOUT.total_bytes),
    "no slots": lambda: memory_file(head(slots=0), LAYOUT.total_bytes),
    "no width": lambda: memory_file(head(width=0), LAYOUT.total_bytes),
    "absurd size": lambda: memory_file(head(width=2**63, height=2**63), LAYOUT.total_bytes),
    "cut short": lambda: memory_file(head(), LAYOUT.total_bytes - 1),
    "header only": lambda: memory_file(head()),
    "a pipe": a_pipe,
    "a directory": lambda: os.open("/", os.O_RDONLY),
    "read only": lambda: os.open("/proc/self/exe", os.O_RDONLY),
}


@pytest.mark.parametrize("kind", JUNK)
def test_what_is_no_ring_is_refused(kind: str) -> None:
    number = JUNK[kind]()
    try:
        for opener in (open_ring, RingReader, lambda fd: RingWriter(fd, [])):
            with pytest.raises(ValueError, match=r"ring|slots"):
                opener(number)
    finally:
        os.close(number)


def test_a_closed_descriptor_is_refused() -> None:
    number = os.open("/", os.O_RDONLY)
    os.close(number)
    with pytest.raises(ValueError, match=f"descriptor {number} is no frame ring: Bad file descriptor"):
        open_ring(number)


def test_a_ring_that_may_only_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    path.write_bytes(head() + bytes(LAYOUT.total_bytes - 40))
    number = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(ValueError, match="Permission denied"):
            open_ring(number)
    finally:
        os.close(number)


@pytest.mark.parametrize("sizes", [(0, 1, 2), (1, 0, 2), (16385, 1, 2), (1, 16385, 2), (1, 1, 1), (1, 1, 65)])
def test_a_layout_that_makes_no_sense_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"ring"):
        RingLayout(*sizes)


def test_the_documented_places() -> None:
    layout = RingLayout(640, 640, 4)
    assert layout.slot_bytes == PAGE + 300 * PAGE
    assert [layout.slot_offset(slot) for slot in range(4)] == [PAGE + slot * 301 * PAGE for slot in range(4)]
    assert layout.frame_offset(0) == 2 * PAGE
    assert layout.total_bytes == PAGE + 4 * 301 * PAGE
