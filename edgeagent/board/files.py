"""Reading small kernel files without ever blocking or raising: the only place of this room that opens any.

A sysfs attribute may answer EAGAIN for hours (a powered-down rail), vanish with its driver, or be closed to ordinary
users. All of that is an answer here, not an error. Nothing is tried twice.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from edgeagent.board.reading import Absent

_REASONS: dict[int, Absent] = {
    errno.EAGAIN: "offline",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOENT: "vanished",
    errno.ENODEV: "vanished",
    errno.ENXIO: "vanished",
    errno.ENOTDIR: "vanished",
}


def reason_of(error: OSError) -> Absent:
    return _REASONS.get(error.errno or 0, "unreadable")


class Probe:
    """One file kept open for rereading from its start. The owner calls `close`.

    sysfs and procfs make the content anew at each read at offset 0. A FIFO has no offset: it is read where it stands.
    """

    __slots__ = ("_absent", "_fd", "_stream", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._stream = False
        self._absent: Absent = ""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._stream = not stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError as error:
            self._absent = reason_of(error)
        except ValueError:  # a NUL in the path
            self._absent = "vanished"

    def read(self, limit: int = 256) -> tuple[bytes, Absent]:
        """Up to `limit` bytes and "", or nothing and the reason."""
        if self._fd < 0:
            return b"", self._absent
        try:
            raw = os.read(self._fd, limit) if self._stream else os.pread(self._fd, limit, 0)
        except OSError as error:
            return b"", reason_of(error)
        return (raw, "") if raw else (b"", "offline")

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._absent = -1, "vanished"


def read_bytes(path: Path | str, limit: int = 65536) -> bytes:
    """The file's first `limit` bytes; b"" when it cannot be read now."""
    chunks: list[bytes] = []
    left = limit
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return b""
    try:
        while left > 0 and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
    except OSError:
        return b""
    finally:
        os.close(fd)
    return b"".join(chunks)


def list_names(path: Path | str) -> tuple[str, ...]:
    """Sorted names in a directory; empty when it cannot be listed."""
    try:
        return tuple(sorted(os.listdir(path)))  # noqa: PTH208 - a tenth of the cost of Path.iterdir, and read often
    except OSError:
        return ()
