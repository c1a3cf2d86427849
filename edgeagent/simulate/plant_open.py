"""The changing files of a virtual board, held open and written by role.

Writes go to the open file at offset 0, so readers may keep theirs open. A shorter content is cut after it is written:
in between a reader sees the new first line and an old tail behind it, never half a first line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from edgeagent.simulate.board import VirtualBoard

_SHARED = ("cpu_freq:", "gpu_freq", "online", "offline")
"""Roles that tools write, too: never taken for unchanged."""


class PlantFiles:
    """The changing files of a virtual board, open for writing. Use in a `with`.

    It holds the FIFOs of the zones without power, so that reading them gives EAGAIN. A sleeper that is awake has one
    reading waiting in its FIFO, taken back and written anew at each call: whoever reads twice in between gets EAGAIN.
    """

    def __init__(self, board: VirtualBoard) -> None:
        self._closing = contextlib.ExitStack()
        with self._closing:
            self._fds = {role: self._open(board.path(role), os.O_WRONLY) for role in board.files}
            # Both ends: an end for writing alone does not open before somebody reads.
            held = {path: self._open(board.root / path, os.O_RDWR) for path in board.fifos}
            self._closing = self._closing.pop_all()
        self._sleepers = {role: held[path] for role, path in board.sleepers.items()}
        self._written: dict[str, bytes] = {}

    def _open(self, path: Path, flags: int) -> int:
        """Never waits: in a board that is being made anew, a FIFO may lie where a file is expected."""
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
        self._closing.callback(os.close, fd)
        return fd

    def __enter__(self) -> PlantFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def write(self, content: Mapping[str, bytes]) -> int:
        """Bring the files to `content`; returns how many had changed. Roles that this board has not are left out.

        A role that `content` leaves out is somebody else's for now, and written anew when it comes back.
        """
        for role, fd in self._sleepers.items():
            _refill(fd, content.get(role, b""))
        regular = {role: data for role, data in content.items() if role in self._fds}
        for role in [role for role in self._written if role not in regular or role.startswith(_SHARED)]:
            del self._written[role]
        changed = {role: data for role, data in regular.items() if self._written.get(role) != data}
        for role, data in changed.items():
            os.pwrite(self._fds[role], data, 0)
            if len(data) < len(self._written.get(role, b"")) or role not in self._written:
                os.ftruncate(self._fds[role], len(data))
        self._written.update(changed)
        return len(changed)


def _refill(fd: int, data: bytes) -> None:
    """Empty the FIFO and leave `data` in it."""
    with contextlib.suppress(BlockingIOError):
        os.read(fd, 4096)
    if data:
        os.write(fd, data)
