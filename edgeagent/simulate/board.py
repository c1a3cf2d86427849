"""A virtual Jetson: a directory that holds the files of a real one in their real formats, and stand-in tools.

Pass the directory as the root of every path that edgeagent reads and put its `bin/` first in PATH; nothing else has
to know. Numbers of hwmon, thermal zones and cooling devices are shuffled by the seed, as a kernel shuffles them from
boot to boot. Symbolic links are relative where the real ones are absolute, so that they stay inside the directory.
Zones that are powered down are FIFOs: with `plant_child` holding their other end, reading one gives EAGAIN as on a
device. `plant_child` also keeps the changing files changing; without it they stand still.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import OperatorError
from edgeagent.simulate.board_spec import SPECS, VirtualSpec
from edgeagent.simulate.board_tree import Tree, write_tree
from edgeagent.simulate.plant import Load, PlantState, settle
from edgeagent.simulate.plant_files import plant_files
from edgeagent.simulate.tools import nvpmodel

MARKER = ".virtual-board.json"
_REMADE = ("sys", "proc", "bin")
_AMBIENT_C = 25.0


@dataclass(frozen=True)
class VirtualBoard:
    """A virtual board on disk. `files` says where each role of `plant_files` lies, relative to `root`."""

    root: Path
    name: str
    seed: int
    files: Mapping[str, str]
    fifos: tuple[str, ...]

    @property
    def bin_dir(self) -> Path:
        """Stand-in tools, for the front of PATH."""
        return self.root / "bin"

    @property
    def spec(self) -> VirtualSpec:
        return SPECS[self.name]

    def path(self, role: str) -> Path:
        """Where the file with this role lies, e.g. `zone:cpu-thermal`."""
        return self.root / self.files[role]


def make_board(name: str, root: Path, *, seed: int) -> VirtualBoard:
    """Write the virtual board `name` into `root`: a new or empty directory, or an earlier virtual board.

    Remaking keeps what is not the board's own, such as /var/lib/edgeagent. Raises OperatorError for a name that does
    not exist and for a directory with anything else in it.
    """
    if name not in SPECS:
        raise OperatorError(
            f"there is no virtual board called {name!r}",
            mend=f"names: {', '.join(sorted(SPECS))}",
            code="virtual-board-name",
            facts={"name": name},
        )
    root = root.absolute()
    _clear(root)
    tree = Tree(root, random.Random(seed))  # noqa: S311 - numbers of devices, no secrets
    write_tree(tree, SPECS[name])
    board = VirtualBoard(root, name, seed, tree.files, tuple(tree.fifos))
    write_content(board, plant_files(board.spec, first_state()))
    tree.text(MARKER, json.dumps({"name": name, "seed": seed, "files": tree.files, "fifos": tree.fifos}))
    nvpmodel.apply_mode(root, nvpmodel.load_conf(root), board.spec.default_mode)
    return board


def load_board(root: Path) -> VirtualBoard:
    """The virtual board that `make_board` wrote into `root`. Raises OperatorError where there is none."""
    try:
        made = json.loads((root / MARKER).read_text())
    except (OSError, ValueError) as error:
        raise OperatorError(f"{root} is no virtual board", mend="make one first", code="virtual-board") from error
    return VirtualBoard(root.absolute(), made["name"], made["seed"], made["files"], tuple(made["fifos"]))


def first_state(ambient_c: float = _AMBIENT_C) -> PlantState:
    """A board that has been idling for half an hour."""
    return settle(Load(cpu=0.03), ambient_c)


def write_content(board: VirtualBoard, content: Mapping[str, bytes]) -> None:
    """Replace the content of files by role, in place: readers keep these files open."""
    for role, data in content.items():
        board.path(role).write_bytes(data)


def _clear(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if (root / MARKER).exists():
        for name in _REMADE:
            shutil.rmtree(root / name, ignore_errors=True)
    elif any(root.iterdir()):
        raise OperatorError(
            f"{root} is not empty and is no virtual board",
            mend="name a directory that does not exist yet",
            code="virtual-board-directory",
        )
