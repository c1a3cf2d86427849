"""Frames of which every byte and every number follows from the sequence number. No tests in here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeagent.camera.ring import FrameMeta, RingReader, RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.vision.letterbox import Letterbox

STEP = 0x9E37_79B9_7F4A_7C15  # odd, so that all eight bytes of a word change from frame to frame
Words = npt.NDArray[np.uint64]


class Pattern:
    """What frame `n` looks like in a ring of that layout, whose frames must be whole words."""

    def __init__(self, layout: RingLayout) -> None:
        assert layout.frame_bytes % 8 == 0
        self._layout = layout
        self._base: Words = np.random.default_rng(5).integers(0, 2**64, layout.frame_bytes // 8, np.uint64)
        self._expected: Words = np.empty_like(self._base)

    def fill(self, frame: npt.NDArray[np.uint8], sequence: int, share: float = 1.0) -> None:
        words = frame.reshape(-1).view(np.uint64)
        end = int(len(words) * share)
        np.add(self._base[:end], self._shift(sequence), out=words[:end])

    def fits(self, frame: npt.NDArray[np.uint8], sequence: int) -> bool:
        """Every byte is that of frame `sequence`."""
        np.add(self._base, self._shift(sequence), out=self._expected)
        return bool(np.array_equal(frame.reshape(-1).view(np.uint64), self._expected))

    def meta(self, sequence: int) -> FrameMeta:
        layout, n = self._layout, sequence
        box = Letterbox(n * 3 + 1, n * 5 + 1, layout.width, layout.height, n / 7, n / 11, n / 13)
        return FrameMeta(sequence, n * 1_000_003, n * 17, box, n * 1_000_033)

    def write(self, writer: RingWriter) -> int:
        sequence = writer.newest + 1
        meta = self.meta(sequence)
        self.fill(writer.start(), sequence)
        assert writer.publish(*meta[1:]) == sequence
        return sequence

    @staticmethod
    def _shift(sequence: int) -> np.uint64:
        return np.uint64(sequence * STEP % 2**64)


class CarelessReader(RingReader):
    """Skips the look at `begin` after the copy: what the test must catch."""

    def _copy(self, sequence: int, out: npt.NDArray[np.uint8]) -> FrameMeta | None:
        slot = sequence % self.layout.slots
        np.copyto(out, self._frames[slot])
        return self._meta(sequence, self._slot_word[slot])
