"""Since when a camera's picture has not changed, and whether that means anything. Pure arithmetic on pixels.

A camera that hangs may go on handing out its last picture. A sensor never gives the same picture twice: its noise
changes every pixel a little. So a picture that does not change at all, of a camera whose pictures have shown noise, is
a frozen one. What has never shown noise (a drawn picture, a screen, a stream that is compressed until nothing moves)
may stand still for as long as it likes: it is not judged.

Noise is told from things that move by where it is: nearly everywhere, frame after frame. A picture that is black or
white all over cannot show noise, and is not judged while it is so.

A few thousand values of each picture are compared, always at the same places; what does not touch one of them is not
seen, but noise touches all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

ROWS, COLUMNS = 32, 64  # of values that are compared
CELLS = 8  # each way: where the picture changed is told by cells
WIDE = 0.5  # share of the cells that noise reaches at least
BLOCK = 60  # pairs of frames by which it is decided whether there is noise
NOISY_SHARE = 0.25  # of the pairs of a block: a camera may hand out every frame two or three times
DARK, BRIGHT, CLIPPED_SHARE = 20, 250, 0.98
LEAST_LOOKS = 5  # so many frames without a change before it counts, however seldom they come


def sample(image: Image) -> Image:
    """The values that are compared: at most (ROWS, COLUMNS, 3) of uint8 (H, W, 3), always from the same places."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[:: -(-height // ROWS), :: -(-width // COLUMNS)])


def spread(before: Image, now: Image) -> float:
    """Share of the picture's cells in which something differs between two samples of one shape."""
    changed = np.any(before != now, axis=2)
    down, across = (-(-size // CELLS) for size in changed.shape)
    rows = np.logical_or.reduceat(changed, np.arange(0, changed.shape[0], down), axis=0)
    return float(np.logical_or.reduceat(rows, np.arange(0, changed.shape[1], across), axis=1).mean())


def is_clipped(seen: Image) -> bool:
    """Black or white nearly everywhere: a sensor's noise cannot show in it."""
    clipped = np.count_nonzero((seen <= DARK) | (seen >= BRIGHT))
    return bool(clipped >= CLIPPED_SHARE * seen.size)


class Stillness:
    """One camera's pictures. `noisy`: they are known to show noise, from a capture before this one. `moved`: one has
    been another than the one before, since the source was opened."""

    def __init__(self, noisy: bool, now_s: float) -> None:
        self.noisy = noisy
        self.moved = False
        self._seen: Image | None = None
        self._changed_s = now_s
        self._equal = 0
        self._pairs = self._wide = 0

    def look(self, image: Image, now_s: float) -> None:
        """One more picture."""
        before, self._seen = self._seen, sample(image)
        if before is None or before.shape != self._seen.shape:
            self._changed(now_s)
            return
        same = np.array_equal(before, self._seen)
        if not self.noisy:
            self._learn(0.0 if same else spread(before, self._seen))
        if not same or is_clipped(self._seen):
            self.moved = True
            self._changed(now_s)
        else:
            self._equal += 1

    def restart(self, now_s: float) -> None:
        """The source was opened anew: the time without a change counts from here."""
        self._seen, self.moved = None, False
        self._changed(now_s)

    def _changed(self, now_s: float) -> None:
        self._changed_s, self._equal = now_s, 0

    def _learn(self, reached: float) -> None:
        self._pairs += 1
        self._wide += reached >= WIDE
        if self._pairs == BLOCK:
            self.noisy = self._wide >= NOISY_SHARE * BLOCK
            self._pairs = self._wide = 0

    def unchanged_s(self, now_s: float) -> float:
        """For how long the picture has been the same, to the bit; 0 while that says nothing."""
        return now_s - self._changed_s if self.noisy and self._equal >= LEAST_LOOKS else 0.0
