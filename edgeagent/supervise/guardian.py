"""What ends a process group with the one that started it, whatever state the group is in.

The kernel's signal at a parent's death (lifeline.py) reaches a process only once that has asked for it. One that is
stopped before it could ask, as a grandchild may be that has only just been started, would stay for ever: stopped, with
its memory. The guardian is a shell that waits on a pipe for the end of its starter, and then kills the group.
"""

from __future__ import annotations

import contextlib
import subprocess

WAITS = 'read -r _; kill -s KILL -- "-$0"'  # POSIX's own form: dash takes no other for a group


class Guardian:
    """Guards one process group from now on. End it with `close` before the group's number may belong to others.

    Raises OSError when it cannot be started.
    """

    def __init__(self, group: int) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", WAITS, str(group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """The group has ended, or is ended by others: nobody is guarded any more."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
