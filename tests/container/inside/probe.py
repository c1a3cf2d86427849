#!/usr/bin/python3
"""A tool that says what the helper's unit lets a tool do: JSON, a name or an errno's name for each attempt."""

import ctypes
import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

CLONE_NEWNS = 0x00020000
NO_REBOOT_COMMAND = 0x12345678
C = ctypes.CDLL(None, use_errno=True)


def attempt(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def called(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "")


def make_suid() -> None:
    path = Path("/srv/probe")
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def same(link: str) -> bool:
    """Whether a link in /proc leads to one place for this process and for the first one."""
    mine, first = (Path(f"/proc/{pid}/{link}") for pid in ("self", "1"))
    return mine.samefile(first)


print(
    json.dumps(
        {
            "mount_namespace_of_pid_1": same("ns/mnt"),
            "root_of_pid_1": same("root"),
            "reboot": attempt(lambda: called(C.reboot(NO_REBOOT_COMMAND))),
            "new_namespace": attempt(lambda: called(C.unshare(CLONE_NEWNS))),
            "mount": attempt(lambda: called(C.mount(b"none", b"/mnt", b"tmpfs", 0, None))),
            "internet": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()),
            "netlink": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
            "unix": attempt(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()),
            "suid": attempt(make_suid),
            "device": attempt(lambda: os.mknod("/srv/null", 0o020600, os.makedev(1, 3))),
            "other_user": attempt(lambda: os.setuid(1)),
        }
    )
)
