"""A machine with a systemd of its own: systemd-nspawn boots a copy of a Debian root, and nothing of it stays behind.

Only /sys, the cgroups and the kernel are shared with the host. The machine has no network.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from container_cgroups import own_cgroups
from container_root import UnavailableError

BOOT_S = 60.0
END_S = 30.0
RUN_S = 60.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
REBOOTED = 133
"""How systemd-nspawn --keep-unit ends when its machine wants to be booted again."""
_numbers = itertools.count(1)


class Machine:
    """A booted machine. Paths are the machine's own absolute paths."""

    def __init__(self, name: str, root: Path, process: subprocess.Popen[bytes], leader: int) -> None:
        self.name = name
        self.root = root
        self.leader = leader
        self._process = process

    def path(self, inside: str) -> Path:
        """A file on the machine's disk, as the host sees it."""
        return self.root / inside.lstrip("/")

    def command(self, *words: str, user: str = "") -> list[str]:
        """A command line that runs in the machine, without the limits of a unit; as root, or as `user`."""
        enter = ["nsenter", f"--target={self.leader}", "--all", "--root", "--wd", "--"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return [*enter, *become, *words]

    def run(self, *words: str, user: str = "", text: str | None = None, check: bool = True) -> str:
        """What a program in the machine prints, without blanks around it; it must succeed where `check` is true."""
        ended = subprocess.run(
            self.command(*words, user=user),
            input=text or "",
            capture_output=True,
            text=True,
            timeout=RUN_S,
            env=ENVIRONMENT,
            check=False,
        )
        assert ended.returncode == 0 or not check, f"{words}: status {ended.returncode}: {ended.stdout}{ended.stderr}"
        return ended.stdout.strip()

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """What systemd says of a unit."""
        said = self.run("systemctl", "show", "--property", ",".join(properties), unit)
        return dict(line.split("=", 1) for line in said.splitlines())

    def cut_power(self) -> None:
        """Every process of the machine ends at once, as in a power cut; what was written stays. Not more is simulated:
        the kernel is the host's, and loses nothing that it has not brought to the disk yet."""
        os.kill(self.leader, signal.SIGKILL)
        self._process.wait(END_S)

    def end_of(self) -> int:
        """The exit status of systemd-nspawn, once the machine has ended by itself."""
        return self._process.wait(END_S)


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boot the system in `root` until its systemd says that it is up. Raises UnavailableError where that fails."""
    name = f"edgeagent-{os.getpid()}-{next(_numbers)}"
    console = root.with_name(f"{root.name}.console")
    with own_cgroups(name) as cgroups, _notices(name) as notices, console.open("wb") as output:
        process = subprocess.Popen(
            _command(name, root, cgroups),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NOTIFY_SOCKET": f"@{name}"},
        )
        try:
            leader = _wait_until_up(process, notices)
            notices.close()  # left unread, they would hold up the machine's systemd, which waits to be heard
            if leader is None:
                last = "; ".join(console.read_text(errors="replace").split("\n")[-4:])
                raise UnavailableError(f"systemd-nspawn boots no machine here: {last.strip()}")
            yield Machine(name, root, process, leader)
        finally:
            _end(process)
            _tidy(name)


def _command(name: str, root: Path, cgroups: list[Path]) -> list[str]:
    """A shell moves itself into the cgroups and becomes systemd-nspawn."""
    enter = 'for group; do [ "$group" = -- ] && break; shift; echo $$ > "$group/cgroup.procs"; done; shift; exec "$@"'
    options = ("boot", "keep-unit", "private-network", "quiet", "register=no", "link-journal=no", "notify-ready=yes")
    more = ("console=pipe", "settings=no", "resolv-conf=off", "timezone=off", f"machine={name}", f"directory={root}")
    nspawn = ["systemd-nspawn", *(f"--{option}" for option in (*options, *more))]
    return ["/bin/sh", "-c", enter, "sh", *map(str, cgroups), "--", *nspawn]


@contextmanager
def _notices(name: str) -> Iterator[socket.socket]:
    """The socket on which systemd-nspawn says how far the boot is, sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(f"\0{name}")
        yield notices


def _wait_until_up(process: subprocess.Popen[bytes], notices: socket.socket) -> int | None:
    """The host's pid of the machine's first process; None where it ends or is not up in time."""
    leader, deadline = None, time.monotonic() + BOOT_S
    ended = os.pidfd_open(process.pid)
    try:
        while (left_s := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([notices.fileno(), ended], [], [], left_s)
            if notices.fileno() not in ready:
                return None
            said = notices.recv(4096).decode()
            if found := re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", said, re.MULTILINE):
                leader = int(found.group(1))
            if re.search("^READY=1$", said, re.MULTILINE):
                return leader
        return None
    finally:
        os.close(ended)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The first SIGTERM asks the machine to shut down, a second one ends it; the kernel has the last word."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)


def _tidy(name: str) -> None:
    """What systemd-nspawn leaves in /run, as a mount in some releases."""
    for place in Path("/run/systemd/nspawn").glob(f"*/{name}"):
        if place.is_mount():
            subprocess.run(["umount", "--lazy", str(place)], check=True)
        shutil.rmtree(place, ignore_errors=True)


def mounts_below(place: Path) -> list[str]:
    """Mount points of this process that lie in `place`."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(place)]
