"""What the tests of the virtual boards' files share: every board once, and how to look things up on it."""

from __future__ import annotations

from pathlib import Path

from edgeagent.simulate.board import VirtualBoard, make_board
from edgeagent.simulate.board_list import SPECS

ALL = tuple(SPECS)
ORIN_R36 = ("orin-nano-r36", "orin-nx16-r36", "agx-orin-r36", "unknown-carrier")
ORIN_R39 = ("orin-nano-r39", "agx-orin-r39")
JETSONS = tuple(name for name in ALL if name != "pc")
HOSTS = tuple(name for name in JETSONS if name != "container")
DEVICE_TREE = "sys/firmware/devicetree/base"
OLDER_HOST1X = "sys/devices/platform/13e40000.host1x"
HOST1X = "sys/devices/platform/bus@0/13e00000.host1x"


def every_board(folder: Path) -> dict[str, VirtualBoard]:
    return {name: make_board(name, folder / name, seed=31) for name in ALL}


def raw(boards: dict[str, VirtualBoard], name: str, path: str) -> bytes:
    return (boards[name].root / path).read_bytes()


def by_type(board: VirtualBoard, prefix: str, file: str) -> dict[str, Path]:
    """Class entries by what their `file` says, in the order of their numbers."""
    kind = "hwmon" if prefix == "hwmon" else "thermal"
    paths = sorted((board.root / "sys/class" / kind).glob(f"{prefix}[0-9]*"), key=lambda path: path.name)
    return {(path / file).read_text().strip(): path for path in paths}


def zone_names(board: VirtualBoard) -> set[str]:
    return set(by_type(board, "thermal_zone", "type"))
