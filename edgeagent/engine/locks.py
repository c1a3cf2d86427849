"""Advisory locks between processes: a file that is never deleted, held by an open descriptor (flock(2)).

The kernel lets go when the holder dies, however it dies, so there is no stale lock to clean up. Two threads of one
process exclude each other as two processes do: each opens the file for itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from edgeagent.engine.ownership import give_to_owner_of

PATIENCE_S = 10.0
LOOK_AGAIN_S = 0.005


class LockBusyError(Exception):
    """Somebody holds the lock, and has for long."""


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock `path` for the block; yields False, and holds nothing, when another process has it.

    Raises OSError when the file cannot be made.
    """
    with _opened(path) as fd:
        yield _locked(fd, fcntl.LOCK_EX)


@contextlib.contextmanager
def hold_lock(path: Path, *, shared: bool = False, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock `path` for the block, waiting for it up to `patience_s` seconds; `shared`: with others that share.

    It waits with an end because a build that is paused to let the board cool is stopped with all that it holds.
    Raises LockBusyError, and OSError when the file cannot be made.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _opened(path) as fd:
        until = time.monotonic() + patience_s
        while not _locked(fd, kind):
            if time.monotonic() >= until:
                raise LockBusyError(str(path))
            time.sleep(LOOK_AGAIN_S)
        yield


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        give_to_owner_of(path.parent, fd)
        yield fd
    finally:
        os.close(fd)


def _locked(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
