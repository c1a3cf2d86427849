"""All of a board's files worth reading, found by name and type and kept open.

Numbers in sysfs (hwmon3, thermal_zone7, cooling_device10) change between boots and releases, so nothing is looked up
by one. What does not change while a driver is bound (names, trip points, bindings, labels) is read here once; what
does change becomes a `Probe`. The modules of the parts (`zones`, `rails`, `clocks`, ...) know where each one lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeagent.board.clocks import (
    CPUFREQ,
    DEVFREQ,
    ClockProbe,
    GpuProbe,
    find_cpu_clocks,
    find_dla,
    find_emc_cap,
    find_emc_rate,
    find_gpu,
)
from edgeagent.board.fans import FanProbe, find_fans
from edgeagent.board.files import OpenFiles, Probe, list_names
from edgeagent.board.over_current import OverCurrentProbe, find_over_current
from edgeagent.board.rails import HWMON, Chip, find_chips
from edgeagent.board.zones import THERMAL, CoolingProbe, ZoneProbe, find_cooling, find_zones

CLASS_DIRECTORIES = (THERMAL, HWMON, DEVFREQ, CPUFREQ)
PROC_FILES = ("stat", "meminfo", "uptime", "vmstat", "pressure/memory")


@dataclass(frozen=True)
class Layout:
    """What this board has. `close` it before the next one is made."""

    files: OpenFiles
    zones: tuple[ZoneProbe, ...]
    cooling: tuple[CoolingProbe, ...]
    chips: tuple[Chip, ...]
    over_current: tuple[OverCurrentProbe, ...]
    cpu_clocks: tuple[ClockProbe, ...]
    gpu: GpuProbe | None
    emc: Probe | None
    emc_cap: Probe | None
    dla: Mapping[str, Probe]
    fans: tuple[FanProbe, ...]
    proc: Mapping[str, Probe]

    def close(self) -> None:
        self.files.close()


def discover(root: str, soc: str = "") -> Layout:
    """Everything readable under `root`, a path that ends without a slash ("" for the machine itself)."""
    files = OpenFiles()
    return Layout(
        files=files,
        zones=tuple(find_zones(root, files, soc)),
        cooling=tuple(find_cooling(root, files)),
        chips=tuple(find_chips(root, files)),
        over_current=tuple(find_over_current(root, files)),
        cpu_clocks=tuple(find_cpu_clocks(root, files)),
        gpu=find_gpu(root, files),
        emc=find_emc_rate(root, files),
        emc_cap=find_emc_cap(root, files),
        dla=find_dla(root, files),
        fans=tuple(find_fans(root, files)),
        proc={name: files.open(f"{root}/proc/{name}") for name in PROC_FILES},
    )


def class_names(root: str) -> tuple[tuple[str, ...], ...]:
    """What the kernel's class directories list now: a change means that a driver came or went."""
    return tuple(list_names(f"{root}/{directory}") for directory in CLASS_DIRECTORIES)
