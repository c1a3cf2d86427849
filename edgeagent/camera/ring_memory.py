"""The ring's memory: made by the agent, inherited by the children, gone with the last of them.

An anonymous memory file (memfd_create(2)) and not a name under /dev/shm: nothing can be left behind when every
process is killed at once (docs/decisions/0002-anonymous-ring-memory.md). It is sealed against resizing, so no
child can make another one fault by truncating it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

from edgeagent.camera.ring_layout import MAGIC, PAGE, VERSION, W_READING, RingLayout


def create_ring(name: str, layout: RingLayout) -> int:
    """A new ring's descriptor. Its pages are there from the start: raises OSError when memory is short, and no
    process dies of a page that cannot be had later."""
    fd = os.memfd_create(f"edgeagent-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, layout.total_bytes)
        os.pwrite(fd, struct.pack("=5Q", MAGIC, VERSION, layout.width, layout.height, layout.slots), 0)
        os.pwrite(fd, struct.pack("=Q", 1), W_READING * 8)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(fd)
        raise
    return fd


def open_ring(fd: int) -> tuple[RingLayout, mmap.mmap]:
    """The layout and the mapping of an inherited ring. Raises ValueError when `fd` is no ring of ours."""
    try:
        layout = _read_layout(os.pread(fd, 40, 0))
        if os.fstat(fd).st_size < layout.total_bytes:
            raise ValueError("the ring is shorter than its header says")
        return layout, mmap.mmap(fd, layout.total_bytes)
    except OSError as error:
        raise ValueError(f"descriptor {fd} is no frame ring: {error.strerror}") from error


def _read_layout(head: bytes) -> RingLayout:
    if len(head) < 40:
        raise ValueError("the ring is too short")
    magic, version, width, height, slots = struct.unpack("=5Q", head)
    if magic != MAGIC or version != VERSION:
        raise ValueError("this is no frame ring of this version")
    return RingLayout(width, height, slots)


def map_header(fd: int) -> memoryview:
    """The header's 8-byte words, for the agent: it follows the counters and never touches frames."""
    return memoryview(mmap.mmap(fd, PAGE)).cast("Q")
