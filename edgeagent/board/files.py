"""Reading small kernel files without ever blocking or raising: the only place of this room that opens any.

A sysfs attribute may answer EAGAIN for hours (a powered-down rail), vanish with its driver, or be closed to ordinary
users. All of that is an answer here, not an error. Nothing is tried twice.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from edgeagent.board.parse import parse_int, parse_text
from edgeagent.board.parts import Absent

Range = tuple[int, int]
"""The lowest and the highest number that a file can hold in earnest, in its own unit."""

_REASONS: dict[int, Absent] = {
    errno.EAGAIN: "offline",
    errno.EBUSY: "offline",  # cpufreq of a cluster whose cores are all offline
    errno.ENODATA: "offline",  # a channel of a power monitor that is switched off
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EOPNOTSUPP: "not-given",  # pressure, where the kernel was built with it and started without
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

    __slots__ = ("_absent", "_answered", "_fd", "_stream", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._stream = False
        self._answered = False
        self._absent: Absent = ""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._stream = not stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError as error:
            self._absent = self._reason_of(error)
        except ValueError:  # a NUL in the path
            self._absent = "not-given"

    def read(self, limit: int = 256) -> tuple[bytes, Absent]:
        """Up to `limit` bytes and "", or nothing and the reason."""
        if self._fd < 0:
            return b"", self._absent
        try:
            raw = os.read(self._fd, limit) if self._stream else os.pread(self._fd, limit, 0)
        except OSError as error:
            return b"", self._reason_of(error)
        self._answered = True
        return (raw, "") if raw else (b"", "offline")

    def _reason_of(self, error: OSError) -> Absent:
        """Only what has answered before can have gone away since."""
        reason = reason_of(error)
        return "not-given" if reason == "vanished" and not self._answered else reason

    def is_replaced(self) -> bool:
        """Whether another file lies at the path by now. A file that we hold open keeps its inode number to itself."""
        if self._fd < 0:
            return False
        try:
            return os.stat(self.path).st_ino != os.fstat(self._fd).st_ino  # noqa: PTH116 - read often
        except OSError:
            return True

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._absent = -1, "vanished"

    def read_int(self, possible: Range | None = None) -> tuple[int | None, Absent]:
        """The number that the file starts with, or None and the reason: `unreadable` outside of `possible`."""
        raw, absent = self.read()
        value = _within(parse_int(raw), possible)
        return value, absent or ("" if value is not None else "unreadable")


class OpenFiles:
    """Probes that are closed together. One owner."""

    def __init__(self) -> None:
        self._probes: list[Probe] = []

    def __len__(self) -> int:
        return sum(probe.is_open for probe in self._probes)

    def open(self, path: str) -> Probe:
        """A probe, whether or not the file can be opened now."""
        probe = Probe(path)
        self._probes.append(probe)
        return probe

    def open_first(self, *paths: str) -> Probe | None:
        """The first of `paths` that opens, else the first that exists but is closed to us, else None."""
        closed: Probe | None = None
        for path in paths:
            probe = Probe(path)
            if probe.is_open:
                self._probes.append(probe)
                return probe
            if closed is None and probe.read()[1] == "permission":
                closed = probe
        return closed

    def close(self) -> None:
        for probe in self._probes:
            probe.close()
        self._probes.clear()


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


def read_text(path: str) -> str:
    """The first line of a small file; "" when it cannot be read."""
    return parse_text(read_bytes(path, 256))


def read_int(path: str, possible: Range | None = None) -> int | None:
    """None for junk, and for a number outside of `possible`."""
    return _within(parse_int(read_bytes(path, 64)), possible)


def _within(value: int | None, possible: Range | None) -> int | None:
    if value is None or possible is None:
        return value
    return value if possible[0] <= value <= possible[1] else None


def numbered(directory: str, prefix: str) -> list[str]:
    """Paths of `<prefix><number>` entries in the order of their numbers: cooling_device2 before cooling_device10."""
    found = ((name.removeprefix(prefix), name) for name in list_names(directory) if name.startswith(prefix))
    entries = sorted((int(number), name) for number, name in found if number.isdecimal() and len(number) < 10)
    return [f"{directory}/{name}" for _, name in entries]
