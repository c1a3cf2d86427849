"""The frame ring's two ends: a writer that never waits, readers that never see a torn frame.

Ordering. x86 keeps stores in order; Arm does not, and Python has no fence. Releasing and then taking a lock orders
everything before against everything after (release and acquire of C11 atomics), so `_fence` does that, twice.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from types import TracebackType
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from edgeagent.camera.ring_layout import (
    READERS,
    S_BEGIN,
    S_CAPTURE_MS,
    S_CAPTURE_NS,
    S_END,
    S_PAD_X,
    S_PAD_Y,
    S_SCALE,
    S_SOURCE_HEIGHT,
    S_SOURCE_WIDTH,
    S_WRITTEN_NS,
    W_BASE,
    W_CONSUMED,
    W_LOSSLESS,
    W_NEWEST,
    W_NEWEST_NS,
    W_READING,
)
from edgeagent.camera.ring_memory import open_ring
from edgeagent.vision.letterbox import Letterbox, apply_letterbox

Frame = npt.NDArray[np.uint8]
READ_TRIES = 16
_lock = threading.Lock()
End = TypeVar("End", bound="_Mapped")


def _fence() -> None:
    """A full memory barrier: a release followed by an acquire."""
    _lock.acquire()
    _lock.release()
    _lock.acquire()
    _lock.release()


class FrameMeta(NamedTuple):
    """`sequence` counts from 1; `capture_ns` is CLOCK_MONOTONIC, `capture_ms` wall time since 1970. `written_ns`:
    CLOCK_MONOTONIC when the frame lay in the ring."""

    sequence: int
    capture_ns: int
    capture_ms: int
    box: Letterbox
    written_ns: int = 0


class _Mapped:
    def __init__(self, fd: int) -> None:
        self.layout, self._map = open_ring(fd)
        self._view = memoryview(self._map)
        self._words = self._view[: len(self._view) // 8 * 8].cast("Q")
        self._floats = self._view[: len(self._view) // 8 * 8].cast("d")
        layout = self.layout
        shape = (layout.height, layout.width, 3)
        self._frames = [
            np.ndarray(shape, np.uint8, buffer=self._map, offset=layout.frame_offset(slot))
            for slot in range(layout.slots)
        ]
        self._slot_word = [layout.slot_offset(slot) // 8 for slot in range(layout.slots)]

    @property
    def newest(self) -> int:
        return self._words[W_NEWEST]

    @property
    def lossless(self) -> bool:
        return bool(self._words[W_LOSSLESS])

    def close(self) -> None:
        self._frames.clear()
        self._words.release()
        self._floats.release()
        with contextlib.suppress(BufferError):  # somebody still holds a frame (an error's traceback does): it goes
            self._view.release()  # with the last of them, and must not hide that error here
            self._map.close()

    def __enter__(self: End) -> End:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RingWriter(_Mapped):
    """The one writer. A restarted writer goes on counting where the last one stopped."""

    def __init__(self, fd: int, wake_fds: list[int]) -> None:
        """`wake_fds`: an eventfd a reader, by its number."""
        super().__init__(fd)
        self._wake_fds = wake_fds
        self._bars: dict[int, tuple[float, ...]] = {}  # by place in the ring: of which letterbox it has them

    def begin_pass(self) -> None:
        """From the next frame on nothing may be lost: every reader starts behind the frames shown before."""
        self._words[W_BASE] = self.newest
        _fence()
        self._words[W_LOSSLESS] = 1

    @property
    def passed(self) -> int | None:
        """Frames of the pass that are written; None before its begin."""
        return self.newest - self._words[W_BASE] if self.lossless else None

    def backlog(self) -> int:
        """Frames of the pass that the slowest reader has not finished.

        Progress is looked at before the mask: one who comes is there before any other reader may go on (see `hold` in
        app/rings.py), so whoever sees the others further on sees that one as well.
        """
        words = self._words
        progress = words[W_CONSUMED : W_CONSUMED + READERS].tolist()
        _fence()
        reading = words[W_READING]
        slowest = min((done for number, done in enumerate(progress) if reading >> number & 1), default=0)
        return self.newest - max(slowest, words[W_BASE])

    def start(self) -> Frame:
        """The next frame's memory, to be written in place before `publish`."""
        slot = (self.newest + 1) % self.layout.slots
        self._bars.pop(slot, None)
        self._words[self._slot_word[slot] + S_BEGIN] = self.newest + 1
        _fence()
        frame: Frame = self._frames[slot]
        return frame

    def fill(self, image: Frame, box: Letterbox) -> None:
        """`start`, and `image` in there as `box` has it. A place in the ring keeps its bars for the next picture."""
        slot = (self.newest + 1) % self.layout.slots
        has, wanted = self._bars.get(slot), (box.pad_x, box.pad_y, *box.inner)
        apply_letterbox(image, box, self.start(), bars=has != wanted)
        self._bars[slot] = wanted

    def publish(self, capture_ns: int, capture_ms: int, box: Letterbox, written_ns: int | None = None) -> int:
        """Make the frame filled since `start` the newest; returns its sequence number. `written_ns`: None for now."""
        sequence = self.newest + 1
        word = self._slot_word[sequence % self.layout.slots]
        words, floats = self._words, self._floats
        words[word + S_CAPTURE_NS] = capture_ns
        words[word + S_CAPTURE_MS] = capture_ms
        words[word + S_WRITTEN_NS] = time.monotonic_ns() if written_ns is None else written_ns
        words[word + S_SOURCE_WIDTH] = box.source_width
        words[word + S_SOURCE_HEIGHT] = box.source_height
        floats[word + S_SCALE] = box.scale
        floats[word + S_PAD_X] = box.pad_x
        floats[word + S_PAD_Y] = box.pad_y
        _fence()
        words[word + S_END] = sequence
        _fence()
        words[W_NEWEST_NS] = capture_ns
        words[W_NEWEST] = sequence
        self.wake()
        return sequence

    def wake(self) -> None:
        """Let the readers look: after each frame, and in place of a writer that died before it could."""
        reading = self._words[W_READING]
        for number, fd in enumerate(self._wake_fds):
            if reading >> number & 1:
                os.eventfd_write(fd, 1)


class RingReader(_Mapped):
    """A reader. `index` is its place among the readers whose progress the writer can see."""

    def __init__(self, fd: int, index: int = 0) -> None:
        if not 0 <= index < READERS:
            raise ValueError(f"a ring knows {READERS} readers, there is no number {index}")
        super().__init__(fd)
        self._index = index
        self._views = [frame.view() for frame in self._frames]
        for view in self._views:
            view.flags.writeable = False
        self.torn = 0
        self._box: tuple[tuple[float, ...], Letterbox] | None = None

    @property
    def memory(self) -> memoryview:
        """The whole ring, for whoever can read frames where they lie. To be let go before `close`."""
        return self._view

    def close(self) -> None:
        self._views.clear()
        super().close()

    @property
    def consumed(self) -> int:
        """Up to which frame this reader has told that it is done; in a pass at least up to its begin."""
        return max(self._words[W_CONSUMED + self._index], self._words[W_BASE])

    def set_consumed(self, sequence: int) -> None:
        self._words[W_CONSUMED + self._index] = sequence

    def read_newest(self, out: Frame, after: int = 0) -> FrameMeta | None:
        """Copy the newest frame into `out` (uint8 (H, W, 3)); None when there is none newer than `after`.

        Also None, with `out` torn, when the writer was faster than the copy READ_TRIES times in a row.
        """
        for _ in range(READ_TRIES):
            sequence = self.newest
            if sequence <= after:
                return None
            meta = self._copy(sequence, out)
            if meta is not None:
                return meta
            self.torn += 1
        return None

    def peek_newest(self, after: int = 0) -> FrameMeta | None:
        """What `read_newest` would read, without the copy."""
        for _ in range(READ_TRIES):
            sequence = self.newest
            if sequence <= after:
                return None
            if (meta := self._copy(sequence, None)) is not None:
                return meta
        return None

    def peek_exactly(self, sequence: int) -> FrameMeta | None:
        """What is known of that very frame; None when it is not written yet or already overwritten."""
        return self._copy(sequence, None) if self.newest >= sequence else None

    def view(self, meta: FrameMeta) -> Frame:
        """The frame where it lies, read-only, good until it is overwritten: ask `is_whole` after the last look."""
        frame: Frame = self._views[meta.sequence % self.layout.slots]
        return frame

    def is_whole(self, meta: FrameMeta) -> bool:
        """Whether nobody has begun to overwrite the frame so far. One that is not is counted in `torn`.

        A lossless ring's writer waits for its readers, so a frame there stays whole until it is consumed.
        """
        whole = self.lies_there(meta)
        self.torn += not whole
        return whole

    def lies_there(self, meta: FrameMeta) -> bool:
        """What `is_whole` would say, without counting it."""
        _fence()
        word = self._slot_word[meta.sequence % self.layout.slots]
        return self._words[word + S_BEGIN] == meta.sequence

    def read_exactly(self, sequence: int, out: Frame) -> FrameMeta | None:
        """Copy that very frame; None when it is not written yet or already overwritten (`out` is torn then)."""
        return self._copy(sequence, out) if self.newest >= sequence else None

    def _copy(self, sequence: int, out: Frame | None) -> FrameMeta | None:
        slot = sequence % self.layout.slots
        word = self._slot_word[slot]
        if self._words[word + S_END] != sequence:
            return None
        _fence()
        if out is not None:
            np.copyto(out, self._frames[slot])
        meta = self._meta(sequence, word)
        _fence()
        return meta if self._words[word + S_BEGIN] == sequence else None

    def _meta(self, sequence: int, word: int) -> FrameMeta:
        words = self._words
        return FrameMeta(
            sequence,
            words[word + S_CAPTURE_NS],
            words[word + S_CAPTURE_MS],
            self._box_at(word),
            words[word + S_WRITTEN_NS],
        )

    def _box_at(self, word: int) -> Letterbox:
        """How the frame lies in the input: mostly as the one before."""
        words, floats = self._words, self._floats
        width, height = words[word + S_SOURCE_WIDTH], words[word + S_SOURCE_HEIGHT]
        scale, pad_x, pad_y = floats[word + S_SCALE], floats[word + S_PAD_X], floats[word + S_PAD_Y]
        known = (width, height, scale, pad_x, pad_y)
        if self._box is None or self._box[0] != known:
            box = Letterbox(width, height, self.layout.width, self.layout.height, scale, pad_x, pad_y)
            self._box = known, box
        return self._box[1]
