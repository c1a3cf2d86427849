"""A Debian root for the container tests: made once with debootstrap, kept, and copied for every machine.

It is kept in the directory that EDGEAGENT_CONTAINER_ROOT names, else below XDG_CACHE_HOME. What the test needs that is
not to be had here is an UnavailableError with the exact reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITE = "bookworm"
PACKAGES = (
    *("dbus", "mosquitto", "mosquitto-clients", "python3", "python3-systemd", "python3-venv"),
    *("systemd", "systemd-sysv", "udev"),
)
NOT_NEEDED = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")
DEBOOTSTRAP_S = 400
_RECIPE = hashlib.sha256(" ".join((SUITE, *PACKAGES, *NOT_NEEDED)).encode()).hexdigest()[:8]


class UnavailableError(Exception):
    """Why no machine can be had here, in one line."""


def find_tools(*names: str) -> None:
    """Raises UnavailableError unless this is root and all programs are there."""
    if os.geteuid() != 0:
        raise UnavailableError("needs root, for a container with a systemd of its own")
    if missing := [name for name in names if shutil.which(name) is None]:
        raise UnavailableError(f"needs {', '.join(missing)}")


def kept_root() -> Path:
    """The root that all machines are copies of; made now where there is none yet. Raises UnavailableError."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = os.environ.get("EDGEAGENT_CONTAINER_ROOT")
    place = Path(named).absolute() if named else home / "edgeagent"
    kept = place / f"{SUITE}-{_RECIPE}"
    place.mkdir(parents=True, exist_ok=True)
    with _alone(place / f"{kept.name}.lock"):
        if not kept.is_dir():
            unfinished = place / f"{kept.name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            _debootstrap(unfinished)
            for part in NOT_NEEDED:  # half of it all, and each machine gets a copy
                shutil.rmtree(unfinished / part)
            unfinished.rename(kept)
    return kept


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two runs of the tests on one machine make the root once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _debootstrap(target: Path) -> None:
    """In namespaces of its own: what it mounts and starts is gone when it ends, however it ends."""
    find_tools("debootstrap")
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*own, "debootstrap", "--variant=minbase", "--force-check-gpg", f"--include={','.join(PACKAGES)}"]
    try:
        subprocess.run(
            [*command, SUITE, str(target)],
            check=True,
            timeout=DEBOOTSTRAP_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"debootstrap was not done within {DEBOOTSTRAP_S} s") from None
    except subprocess.CalledProcessError as error:
        last = "; ".join(error.stdout.splitlines()[-3:])
        raise UnavailableError(f"debootstrap cannot make a Debian root: {last}") from None


def copy_tree(source: Path, target: Path) -> None:
    """With owners, modes, links and FIFOs as they are."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
