"""Calibration pictures from a directory: found, looked at with suspicion, letterboxed as the camera's frames are.

A file counts by what is in it, not by its name. What cannot be used is passed over and counted with its reason:
no picture, cut short, absurdly large, of one colour, the same as another, unreadable. Pictures come in an order that
is spread over the whole directory, and of up to four times as many as are wanted those stay that differ most.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.engine.calibration import LEAST_SPREAD, SetWriter, spread
from edgeagent.engine.image_files import list_images
from edgeagent.engine.picture_head import read_head
from edgeagent.engine.spread import LOOKS
from edgeagent.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 256 << 20
GOLDEN = 0.6180339887498949  # (sqrt(5) - 1) / 2: multiples of it, modulo 1, fill the unit interval evenly

NO_PICTURE = "no JPEG, PNG, BMP or WebP picture"
EMPTY = "empty"
CUT_SHORT = "cut short or damaged"
TOO_LARGE = "larger than 100 megapixels or 256 MiB"
ONE_COLOUR = "of one colour"
REPEATED = "the same picture as another"
UNREADABLE = "unreadable"
NO_FILE = "no ordinary file"


class _Unusable(Exception):
    """A file that is passed over; its text is one of the reasons above."""


@dataclass
class ImagesFound:
    """What there was in a directory: files looked at, those that could be used, those kept, and why not the rest."""

    files: int = 0
    looked_at: int = 0
    usable: int = 0
    kept: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """For a person: `80 pictures kept of 214 usable ones; passed over: 3 unreadable, 1 empty`."""
        text = f"{self.kept} pictures kept of {self.usable} usable ones"
        return f"{text}; passed over: {self.reasons()}" if self.passed_over else text

    def reasons(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.passed_over.most_common())


def collect_images(
    folder: Path,
    writer: SetWriter,
    width: int,
    height: int,
    frames: int,
    holdout: int,
    progress: Callable[[float, str], None],
) -> ImagesFound:
    """Put `frames` + `holdout` pictures of the directory into the set, `width` x `height`, letterboxed.

    `progress` is told 0..100 and a line, and may raise. Raises EngineError `no_calibration` when the directory cannot
    be read or does not have enough pictures.
    """
    files = list_images(folder)
    wanted = frames + holdout
    found = ImagesFound(files=len(files))
    seen: set[bytes] = set()
    writer.choose(wanted)
    for index in even_order(len(files)):
        if writer.settled:
            break
        found.looked_at += 1
        try:
            writer.offer(_usable(files[index], width, height, seen))
            found.usable += 1
        except _Unusable as reason:
            found.passed_over[str(reason)] += 1
        done = max(found.looked_at / len(files), found.usable / (LOOKS * wanted))
        progress(min(100.0, 100.0 * done), f"picture {found.looked_at} of {len(files)} in {folder}")
    found.kept = writer.kept
    _check_enough(folder, found, frames, holdout)
    progress(100.0, found.line())
    return found


def _check_enough(folder: Path, found: ImagesFound, frames: int, holdout: int) -> None:
    wanted = frames + holdout
    if found.usable >= wanted:
        return
    why = f" (passed over: {found.reasons()})" if found.passed_over else ""
    raise EngineError(
        f"{folder} has {found.usable} usable pictures of {found.files} files, and {wanted} are needed{why}",
        mend=f"add pictures, or lower engines.calibration_frames ({frames}) or engines.holdout_frames ({holdout})",
        facts={"usable": found.usable, "files": found.files, "needed": wanted},
        code="no_calibration",
    )


def even_order(count: int) -> list[int]:
    """The numbers below `count`, so ordered that every beginning of them is spread over the whole."""
    return sorted(range(count), key=lambda index: index * GOLDEN % 1.0)


def _usable(path: Path, width: int, height: int, seen: set[bytes]) -> Frames:
    """The picture as the engine will see it, uint8 (height, width, 3) BGR. Raises _Unusable."""
    frame = _letterboxed(_decoded(_content(path)), width, height)
    mark = hashlib.sha256(frame.tobytes()).digest()
    if mark in seen:
        raise _Unusable(REPEATED)
    if spread(frame) < LEAST_SPREAD:
        raise _Unusable(ONE_COLOUR)
    seen.add(mark)
    return frame


def _content(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would block
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _Unusable(NO_FILE)
            if status.st_size > MAX_FILE_BYTES:
                raise _Unusable(TOO_LARGE)
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise _Unusable(UNREADABLE) from error


def _decoded(data: bytes) -> Frames:
    import cv2
    import numpy as np

    if not data:
        raise _Unusable(EMPTY)
    head = read_head(data)
    if head is None:
        raise _Unusable(NO_PICTURE)
    if head.width * head.height > MAX_PIXELS:
        raise _Unusable(TOO_LARGE)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if head.whole else None
    except cv2.error:
        image = None
    if image is None:
        raise _Unusable(CUT_SHORT)
    return np.asarray(image, np.uint8)


def _letterboxed(image: Frames, width: int, height: int) -> Frames:
    import numpy as np

    from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

    out = np.empty((height, width, 3), np.uint8)
    apply_letterbox(image, fit_letterbox(image.shape[1], image.shape[0], width, height), out)
    return out
