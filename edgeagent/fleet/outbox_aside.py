"""Setting a damaged file aside, so that a person can look at it and the agent goes on with a new one.

The file goes first and its log second. Cut off between the two, a log without a file is left: it is set aside by the
next start, before SQLite could take it for its own. Cut off before the first, the next start finds the damage again.
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


def left_alone(path: Path) -> bool:
    """Whether there is a log without its file: a setting aside, or a removal by hand, that was cut off."""
    return not path.exists() and any(path.with_name(path.name + suffix).exists() for suffix in SUFFIXES[1:])


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
