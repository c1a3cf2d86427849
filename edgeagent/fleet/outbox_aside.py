"""Setting a damaged file aside, so that a person can look at it and the agent goes on with a new one.

The new one is written first, whole, under another name; then the damaged one is renamed, its log after it, and then the
new one takes its place. Cut off before the damaged file was renamed, the next start finds the damage again. Cut off
after that, it finds no file but a new one that waits, and perhaps the old one's log: it sets the log aside, before
SQLite could take it for the new file's, and lets the new one take its place (`put_in_order`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgeagent.durable import sync

KEPT: Final = 3
"""As many damaged files are kept; of more, the oldest go."""
SUFFIXES: Final = ("", "-wal", "-shm", "-journal")


def set_aside(path: Path, wall_ms: int) -> Path:
    """Renames the file and what belongs to it; returns its new name. Raises OSError."""
    target = _free_name(path, wall_ms)
    for suffix in SUFFIXES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
            sync(path.parent)
    _drop_oldest(path)
    return target


def waiting_name(path: Path) -> Path:
    """Where the new file is written."""
    return path.with_name(f"{path.name}.new")


def remove_file(path: Path) -> None:
    """The file with all that belongs to it. Raises OSError."""
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def take_place(path: Path) -> None:
    """The new file becomes the file."""
    sync(waiting_name(path))
    waiting_name(path).rename(path)
    sync(path.parent)


def put_in_order(path: Path, wall_ms: int) -> Path | None:
    """Finishes what was cut off. Returns the name of what had to be set aside: a log without its file."""
    aside = None
    _drop_oldest(path)
    if path.exists():
        remove_file(waiting_name(path))
        return None
    if any(path.with_name(path.name + suffix).exists() for suffix in SUFFIXES[1:]):
        aside = set_aside(path, wall_ms)
    if waiting_name(path).exists():
        take_place(path)
    return aside


def damaged_files(path: Path) -> list[Path]:
    """Those that were set aside, the oldest first. By their numbers, because the clock may have been wrong."""
    found = (each for each in path.parent.glob(f"{path.name}.damaged-*") if each.name.rpartition(".")[2].isdigit())
    return sorted(found, key=lambda each: int(each.name.rpartition(".")[2]))


def _names(path: Path) -> dict[int, list[Path]]:
    """Every file of every set, by the set's number."""
    sets: dict[int, list[Path]] = {}
    for each in path.parent.glob(f"{path.name}.damaged-*"):
        number = each.name.rpartition(".")[2].partition("-")[0]
        if number.isdigit():
            sets.setdefault(int(number), []).append(each)
    return sets


def _free_name(path: Path, wall_ms: int) -> Path:
    number = max(_names(path), default=0) + 1
    return path.with_name(f"{path.name}.damaged-{wall_ms // 1000}.{number}")


def _drop_oldest(path: Path) -> None:
    sets = _names(path)
    for number in sorted(sets)[:-KEPT]:
        for each in sets[number]:
            each.unlink(missing_ok=True)
