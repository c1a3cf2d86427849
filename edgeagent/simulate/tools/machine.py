"""The virtual board as its own tools see it: absolute paths of the board, its release, and who is root.

The tools speak of board paths ("/sys/devices/...") and never of the directory that holds them; `Machine.path` turns
one into the other and lets no ".." out. Writing does to a file what writing does to sysfs: it must exist already,
and a reader that has it open sees the old or the new value, never an empty file.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import re
import sys
from dataclasses import dataclass
from pathlib import Path

_MARKER = ".virtual-board.json"
_REBOOT = "/run/virtual-reboot"
_LIMITS = ("scaling_min_freq", "scaling_max_freq", "min_freq", "max_freq")


@dataclass(frozen=True)
class Machine:
    """`release` is "R32" ... "R39" or "", `kind` is "jetson", "container" or "pc", `soc` is like "tegra234"."""

    root: Path
    release: str
    kind: str
    soc: str

    def path(self, board_path: str) -> Path:
        return self.root / posixpath.normpath("/" + board_path).lstrip("/")

    def board_path(self, path: Path) -> str:
        """What the board calls a file that lies below its root."""
        return "/" + path.relative_to(self.root).as_posix()

    def exists(self, board_path: str) -> bool:
        return self.path(board_path).exists()

    def read(self, board_path: str) -> str:
        """The content without blanks around it. Raises OSError."""
        return self.path(board_path).read_text(errors="replace").strip("\0 \t\n")

    def number(self, board_path: str, otherwise: int = 0) -> int:
        """A file's number, or `otherwise` where there is no such file or no number in it."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.read(board_path))
        return otherwise

    def write(self, board_path: str, value: str | int) -> None:
        """Replace what an existing file says. Raises OSError, as sysfs does, where there is none."""
        data = f"{value}\n".encode()
        handle = os.open(self.path(board_path), os.O_WRONLY)
        try:
            os.pwrite(handle, data, 0)
            os.ftruncate(handle, len(data))
        finally:
            os.close(handle)

    def write_limit(self, board_path: str, value: str | int) -> None:
        """Like `write`; after a clock's limit the kernel brings its speed of the moment between the limits."""
        self.write(board_path, value)
        directory, _, name = board_path.rpartition("/")
        if name in _LIMITS:
            low, high, current = (f"{directory}/{name[:-8]}{kind}_freq" for kind in ("min", "max", "cur"))
            now = self.number(current)
            bounded = min(max(now, self.number(low)), self.number(high, now))
            if now and bounded != now:
                self.write(current, bounded)

    def save(self, board_path: str, text: str) -> None:
        """A plain file: made where it is missing, directories too."""
        target = self.path(board_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def caller_is_root(self) -> bool:
        return self.root.stat().st_uid == os.geteuid()

    def release_at_least(self, number: int) -> bool:
        return self.release[1:].isdigit() and int(self.release[1:]) >= number

    def ask_for_reboot(self) -> None:
        """A virtual board does not reboot on its own: `reboot_board` does it when it finds this file."""
        self.save(_REBOOT, "")


def machine_at(root: Path) -> Machine:
    """The board in `root`. What its marker does not say is taken from the files a device has."""
    try:
        made = json.loads((root / _MARKER).read_text())
    except (OSError, ValueError):
        made = {}
    release = made.get("release")
    return Machine(root, _release(root) if release is None else release, made.get("kind", "jetson"), _soc(root))


def say(line: str) -> None:
    """One line on stdout, at once: whoever reads along must see a question before its answer is awaited."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """One line on stderr, after all that was said before."""
    sys.stdout.flush()
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _release(root: Path) -> str:
    try:
        found = re.match(r"# (R\d+) ", (root / "etc/nv_tegra_release").read_text())
    except OSError:
        return ""
    return found.group(1) if found else ""


def device_tree(root: Path, name: str) -> list[str]:
    """A property's strings, from whichever of the two names a container runtime has left in place."""
    for directory in ("sys/firmware/devicetree/base", "proc/device-tree"):
        with contextlib.suppress(OSError):
            return (root / directory / name).read_text(errors="replace").rstrip("\0").split("\0")
    return [""]


def _soc(root: Path) -> str:
    entries = device_tree(root, "compatible")
    return next((entry[len("nvidia,") :] for entry in entries if entry.startswith("nvidia,tegra")), "")
