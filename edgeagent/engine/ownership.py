"""Files that root writes into the agent's directories belong to the agent.

An operator runs `sudo edgeagent engine ...`; what that leaves behind must not lock the agent's own user out. Nothing
but what root has just made is given away: a descriptor, and only of a file that has no second name.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def give_to_owner_of(directory: Path, fd: int) -> None:
    """Give the open file or directory `fd` to the owner of `directory`, where root has made it. Raises OSError."""
    if os.geteuid() != 0:
        return
    owner, mine = directory.stat(), os.fstat(fd)
    one_name = mine.st_nlink == 1 or stat.S_ISDIR(mine.st_mode)
    if owner.st_uid != 0 and mine.st_uid == 0 and one_name:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def give_path_to_owner_of(directory: Path, path: Path) -> None:
    """The same for a path; a link is not followed. Raises OSError."""
    if os.geteuid() != 0:
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        give_to_owner_of(directory, fd)
    finally:
        os.close(fd)
