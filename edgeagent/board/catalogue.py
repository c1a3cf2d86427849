"""What is known of each Jetson module before any file is read: a table, and the L4T to JetPack table.

Pure: no files, no clock. The numbers are declared ones. Whatever the running board reports wins, and a disagreement
is a contradiction that `identity` names. `dla_cores` counts cores on the module; how many TensorRT can use is
`num_DLA_cores` of its builder, and nothing else.

Sources: NVIDIA's module data sheets for cores and memory; the device trees and `/etc/nv_boot_control.conf` of public
captures for the ids; NVIDIA's jetson-gpio for the ids of older kits; the kernel's include/soc/tegra/fuse.h for chip
ids; for the L4T table at the end the release pages of JetPack and the tables of several public tools where they agree
(R32 and R35; 36.4.2 is left out, because they do not). Rows that rest on documents alone, with no capture behind them:
p3448-0003 (Nano 2 GB), p3701-0008 and p3834-0000. Modules that only one public table names (TX2 4GB as p3489-0888,
AGX Xavier 8GB as p2888-0006) are left out: they stay unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

COMPUTE_CAPABILITY = {"t210": "5.3", "t186": "6.2", "t194": "7.2", "t234": "8.7", "t264": "11.0"}
CHIP_IDS = {0x21: "t210", 0x18: "t186", 0x19: "t194", 0x23: "t234", 0x26: "t264"}
"""SoC by the chip id that the boot loader and /sys/devices/soc0/soc_id give."""


class L4t(NamedTuple):
    """A release of Jetson Linux: R36.4.7 is `L4t(36, 4, 7)`."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class Module:
    """One system on module.

    `ids` are part numbers of the module itself (`p3767-0005`). `kits` are ids of carriers or kits that stand in the
    device tree in the module's place on older releases. `boards` are the names a board is flashed under where the name
    alone tells the module. `family` is the word NVIDIA's model text uses for it. `memory_gb` lists the sizes sold
    under these ids.
    """

    name: str
    ids: tuple[str, ...]
    family: str
    soc: str
    dla_cores: int
    cpus: int
    memory_gb: tuple[int, ...]
    l4t_majors: tuple[int, ...]
    kits: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()

    @property
    def compute_capability(self) -> str:
        return COMPUTE_CAPABILITY[self.soc]


MODULES: tuple[Module, ...] = (
    Module(
        name="Jetson Nano",
        ids=("p3448-0000", "p3448-0002", "p3448-0003"),
        kits=("p3450-0000", "p3450-0002", "p3541-0000", "jetson-nano"),
        family="Nano",
        soc="t210",
        dla_cores=0,
        cpus=4,
        memory_gb=(2, 4),
        l4t_majors=(32,),
    ),
    Module(
        name="Jetson TX2",
        ids=("p3310-1000",),
        kits=("p2771-0000", "p2771-0888", "quill", "storm", "lightning"),
        family="TX2",
        soc="t186",
        dla_cores=0,
        cpus=6,
        memory_gb=(4, 8),
        l4t_majors=(28, 32),
    ),
    Module("Jetson TX2i", ("p3489-0000",), "TX2", "t186", 0, 6, (8,), (28, 32)),
    Module("Jetson TX2 NX", ("p3636-0001",), "TX2 NX", "t186", 0, 6, (4,), (32,)),
    Module(
        name="Jetson Xavier NX",
        ids=("p3668-0000", "p3668-0001", "p3668-0003"),
        family="Xavier NX",
        soc="t194",
        dla_cores=2,
        cpus=6,
        memory_gb=(8, 16),
        l4t_majors=(32, 34, 35),
    ),
    Module(
        name="Jetson AGX Xavier",
        ids=("p2888-0001", "p2888-0004", "p2888-0005"),
        kits=("p2972-0000", "p2972-0006", "jetson-xavier"),
        family="AGX Xavier",
        soc="t194",
        dla_cores=2,
        cpus=8,
        memory_gb=(16, 32, 64),
        l4t_majors=(31, 32, 34, 35),
    ),
    Module(
        name="Jetson AGX Xavier Industrial",
        ids=("p2888-0008",),
        kits=("jetson-xavier-industrial", "galen-industrial"),
        family="AGX Xavier",
        soc="t194",
        dla_cores=2,
        cpus=8,
        memory_gb=(32,),
        l4t_majors=(32, 34, 35),
    ),
    Module("Jetson Orin Nano 4GB", ("p3767-0004",), "Orin Nano", "t234", 0, 6, (4,), (35, 36, 39)),
    Module("Jetson Orin Nano 8GB", ("p3767-0003", "p3767-0005"), "Orin Nano", "t234", 0, 6, (8,), (35, 36, 39)),
    Module("Jetson Orin NX 8GB", ("p3767-0001",), "Orin NX", "t234", 1, 6, (8,), (35, 36, 39)),
    Module("Jetson Orin NX 16GB", ("p3767-0000",), "Orin NX", "t234", 2, 8, (16,), (35, 36, 39)),
    Module("Jetson AGX Orin 32GB", ("p3701-0004",), "AGX Orin", "t234", 2, 8, (32,), (34, 35, 36, 39)),
    Module(
        name="Jetson AGX Orin 64GB",
        ids=("p3701-0005", "p3701-0000"),  # -0000 is the kit's module, sold with 32 and later with 64 GB
        family="AGX Orin",
        soc="t234",
        dla_cores=2,
        cpus=12,
        memory_gb=(32, 64),
        l4t_majors=(34, 35, 36, 39),
    ),
    Module("Jetson AGX Orin Industrial", ("p3701-0008",), "AGX Orin", "t234", 2, 12, (64,), (35, 36, 39)),
    Module(
        name="Jetson AGX Thor T5000",
        ids=("p3834-0008",),
        boards=("jetson-agx-thor-devkit",),
        family="Thor",
        soc="t264",
        dla_cores=0,
        cpus=14,
        memory_gb=(128,),
        l4t_majors=(38, 39),
    ),
    Module(
        name="Jetson AGX Thor T4000",
        ids=("p3834-0000",),
        boards=("jetson-agx-thor-t4000",),
        family="Thor",
        soc="t264",
        dla_cores=0,
        cpus=12,
        memory_gb=(64,),
        l4t_majors=(38, 39),
    ),
)

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(module.family for module in MODULES))

_BY_ID: dict[str, Module] = {known: module for module in MODULES for known in (*module.ids, *module.kits)}
_KITS = frozenset(kit for module in MODULES for kit in module.kits)
_BY_BOARD: dict[str, Module] = {board: module for module in MODULES for board in module.boards}

USABLE_SHARE = 0.8
"""The kernel keeps a part of the memory for itself and for the firmware: MemTotal is 80 to 100 percent of the size."""

_JETPACK: dict[L4t, str] = {
    L4t(32, 4, 3): "4.4",
    L4t(32, 4, 4): "4.4.1",
    L4t(32, 5, 0): "4.5",
    L4t(32, 5, 1): "4.5.1",
    L4t(32, 6, 1): "4.6",
    L4t(32, 7, 1): "4.6.1",
    L4t(32, 7, 2): "4.6.2",
    L4t(32, 7, 3): "4.6.3",
    L4t(32, 7, 4): "4.6.4",
    L4t(32, 7, 5): "4.6.5",
    L4t(32, 7, 6): "4.6.6",
    L4t(35, 1, 0): "5.0.2",
    L4t(35, 2, 1): "5.1",
    L4t(35, 3, 1): "5.1.1",
    L4t(35, 4, 1): "5.1.2",
    L4t(35, 5, 0): "5.1.3",
    L4t(35, 6, 0): "5.1.4",
    L4t(35, 6, 1): "5.1.5",
    L4t(35, 6, 4): "5.1.6",
    L4t(36, 3, 0): "6.0",
    L4t(36, 4, 0): "6.1",
    L4t(36, 4, 3): "6.2",
    L4t(36, 4, 4): "6.2.1",
    L4t(36, 4, 7): "6.2.1",
    L4t(36, 5, 0): "6.2.2",
    L4t(36, 5, 2): "6.2.3",
    L4t(38, 4, 0): "7.1",
    L4t(39, 2, 0): "7.2",
    L4t(39, 2, 1): "7.2.1",
    L4t(39, 2, 2): "7.2.2",
}
_JETPACK_OF_MINOR = {(38, 2): "7.0"}
"""Lines whose every patch is of one JetPack."""
_JETPACK_LINE = {32: "4.x", 34: "5.x", 35: "5.x", 36: "6.x", 38: "7.x", 39: "7.x"}


def find_module(module_id: str) -> Module | None:
    """The module with this part number (`p3767-0005`) or this kit's id; None when it is in no record."""
    return _BY_ID.get(module_id)


def is_kit(part: str) -> bool:
    """Whether this is the id of a kit, which says which module but is not the module's own number."""
    return part in _KITS


def module_of_board(board: str) -> Module | None:
    """The module that boards flashed under this name carry, where the name alone tells it."""
    return _BY_BOARD.get(board)


def fits_memory(module: Module, total_kb: int) -> bool:
    """Whether a kernel on this module may report that MemTotal."""
    total_gb = total_kb / 1024**2
    return any(USABLE_SHARE * size <= total_gb <= size for size in module.memory_gb)


def modules_like(soc: str, total_kb: int, cpus: int | None) -> tuple[Module, ...]:
    """The modules with this SoC, memory and number of cores (None: any)."""
    return tuple(
        module
        for module in MODULES
        if module.soc == soc and fits_memory(module, total_kb) and cpus in (None, module.cpus)
    )


def exact_jetpack_of(l4t: L4t) -> str:
    """The JetPack that ships this L4T: `6.2.1`; "" for a release that the table lacks."""
    return _JETPACK.get(l4t) or _JETPACK_OF_MINOR.get((l4t.major, l4t.minor), "")


def jetpack_of(l4t: L4t) -> str:
    """The JetPack that ships this L4T: `6.2.1`; `6.x` for a release newer than this table; "" for an unknown line."""
    return exact_jetpack_of(l4t) or _JETPACK_LINE.get(l4t.major, "")
