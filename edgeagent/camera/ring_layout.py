"""Where everything lies in a frame ring: pure arithmetic, no memory.

A ring is one anonymous shared memory object:

    header   4096 bytes   magic, geometry, newest sequence number, who reads and how far each reader has come
    slot 0   4096 bytes of slot header, then the frame, padded to whole pages
    slot 1   ...

Frame `n` lies in slot `n % slots`. The writer stores `begin = n`, then the frame, then `end = n`, then
`newest = n`; a reader looks at `end`, copies, and looks at `begin`: if both are `n` the copy is whole. This is a
sequence lock (H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012) that
never makes the writer wait. Frame numbers start at 1; 0 means "none yet". Pages keep frames apart so that a GPU
can map a slot in place.

A reader is a number. The word `reading` has a bit for each that is there; the agent alone sets it, and a new ring has
reader 0. The writer wakes those, and in a pass that must lose nothing it waits for the slowest of them.
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE = 4096
MAGIC = 0x45444745_52494E47  # "EDGERING"
VERSION = 2
READERS = 8

# indices of 8-byte words in the header
W_MAGIC, W_VERSION, W_WIDTH, W_HEIGHT, W_SLOTS, W_NEWEST, W_LOSSLESS, W_BASE, W_NEWEST_NS, W_READING = range(10)
W_CONSUMED = 16  # one word a reader

# indices of 8-byte words in a slot header
S_BEGIN, S_END, S_CAPTURE_NS, S_CAPTURE_MS, S_SOURCE_WIDTH, S_SOURCE_HEIGHT, S_WRITTEN_NS = range(7)
S_SCALE, S_PAD_X, S_PAD_Y = 8, 9, 10  # float64


@dataclass(frozen=True)
class RingLayout:
    """Geometry of a ring of `slots` frames of uint8 (height, width, 3)."""

    width: int
    height: int
    slots: int = 4

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 16384 and 1 <= self.height <= 16384):
            raise ValueError(f"a frame of {self.width}x{self.height} does not fit a ring")
        if not 2 <= self.slots <= 64:
            raise ValueError(f"a ring has 2 to 64 slots, not {self.slots}")

    @property
    def frame_bytes(self) -> int:
        return self.width * self.height * 3

    @property
    def slot_bytes(self) -> int:
        return PAGE + -(-self.frame_bytes // PAGE) * PAGE

    @property
    def total_bytes(self) -> int:
        return PAGE + self.slots * self.slot_bytes

    def slot_offset(self, slot: int) -> int:
        return PAGE + slot * self.slot_bytes

    def frame_offset(self, slot: int) -> int:
        return self.slot_offset(slot) + PAGE
