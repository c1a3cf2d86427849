"""Files that are whole or not there, whatever is cut off when: written beside their place, synced, renamed into it."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Bring a file's content, or a directory's names, onto the disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Make `path` hold `data`: after this either the old content or the new one survives a power cut, never a mixture.

    The file keeps the owner of its directory, so that root may write where an ordinary user reads later. Raises
    OSError and leaves the old content in place.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)  # whatever lies there: root must not write into what somebody else has put there
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            _give_to_owner_of(path.parent, fd)
            os.fsync(fd)
        beside.replace(path)
        sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _give_to_owner_of(directory: Path, fd: int) -> None:
    owner = directory.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)
