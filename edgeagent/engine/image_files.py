"""Which files a directory of calibration pictures holds. No numpy in here: the agent asks, too."""

from __future__ import annotations

import os
from pathlib import Path

from edgeagent.errors import EngineError

MAX_FILES = 200_000


def list_images(folder: Path) -> list[Path]:
    """All files of the directory and those below, links followed, in one order everywhere.

    Directories that cannot be entered and links that go round are left out. Raises EngineError `no_calibration` when
    the directory itself cannot be read, is empty, or holds absurdly many files.
    """
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _refused(f"the calibration pictures in {folder} cannot be read: {reason}") from error
    files: list[Path] = []
    entered: set[tuple[int, int]] = set()
    _enter(folder, entered)
    for name, below, names in os.walk(folder, followlinks=True):
        below[:] = sorted(each for each in below if _enter(Path(name, each), entered))
        files += [Path(name, each) for each in names]
        if len(files) > MAX_FILES:
            raise _refused(f"{folder} holds more than {MAX_FILES} files")
    if not files:
        raise _refused(f"{folder} is empty: there are no pictures to calibrate with")
    return sorted(files)


def _refused(message: str) -> EngineError:
    return EngineError(message, mend="name a directory of pictures of what the camera sees", code="no_calibration")


def _enter(folder: Path, entered: set[tuple[int, int]]) -> bool:
    """Whether to go into a directory: once, however many links lead there."""
    try:
        status = folder.stat()
    except OSError:
        return False
    mark = (status.st_dev, status.st_ino)
    if mark in entered:
        return False
    entered.add(mark)
    return True
