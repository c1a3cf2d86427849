"""The clocks that jetson_clocks locks, stores and restores, and where each board keeps them.

Locking raises the minimum of a clock to its maximum: of every core, of every GPU in devfreq, and of the memory
through debugfs (a board whose tree has no debugfs keeps its memory clock). It also keeps the GPU's rail on and forbids
idle states. What `store` notes is what locking changes, one `path:value` a line, in the order of the real script.

Sources: public captures and the BSD-licensed script of R32 and R35, of which nothing is copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeagent.simulate.tools.machine import Machine

CPUS = "/sys/devices/system/cpu"
DEVFREQ = "/sys/class/devfreq"
_GPU = re.compile(r"(gpu-\w+-\d+)|[0-9a-f]+\.(gpu|ga10b|gv11b|gp10b)")
_CAPS = ("/sys/kernel/nvpmodel_clk_cap/emc", "/sys/kernel/nvpmodel_emc_cap/emc_iso_cap")


@dataclass(frozen=True)
class EmcFiles:
    """Board paths of the memory clock in debugfs; `target` takes the wish, `lock` says that it counts."""

    low: str
    high: str
    rate: str
    target: str
    lock: str


_BPMP = "/sys/kernel/debug/bpmp/debug/clk/emc"
_EMC = EmcFiles(*(f"{_BPMP}/{name}" for name in ("min_rate", "max_rate", "rate", "rate", "mrq_rate_locked")))
_OVERRIDE = "/sys/kernel/debug/clk/override.emc"
_EMC_T210 = EmcFiles(
    "/sys/kernel/debug/tegra_bwmgr/emc_min_rate",
    "/sys/kernel/debug/tegra_bwmgr/emc_max_rate",
    f"{_OVERRIDE}/clk_rate",
    f"{_OVERRIDE}/clk_update_rate",
    f"{_OVERRIDE}/clk_state",
)


def cores(machine: Machine) -> list[str]:
    """Names of the cores there are, on- or offline, in their order."""
    names = [path.name for path in machine.path(CPUS).glob("cpu[0-9]*")]
    return sorted(names, key=lambda name: int(name[3:]))


def is_online(machine: Machine, core: str) -> bool:
    """A core without an `online` file cannot be taken offline."""
    return machine.number(f"{CPUS}/{core}/online", otherwise=1) == 1


def gpus(machine: Machine) -> list[str]:
    """Board paths of the GPU's devfreq directories: one, or on Thor one for each of its clocks."""
    directory = machine.path(DEVFREQ)
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    return [f"{DEVFREQ}/{name}" for name in names if _GPU.fullmatch(name)]


def emc(machine: Machine) -> EmcFiles | None:
    """The memory clock's files, or None where the tree has no debugfs."""
    files = _EMC_T210 if machine.soc == "tegra210" else _EMC
    return files if machine.exists(files.lock) and machine.exists(files.high) else None


def emc_top(machine: Machine, files: EmcFiles) -> int:
    """The highest rate in Hz that the power mode's cap leaves; a cap of 0 is none."""
    high = machine.number(files.high)
    cap = emc_cap(machine)
    return cap if 0 < cap < high else high


def emc_cap(machine: Machine) -> int:
    return next((machine.number(path) for path in _CAPS if machine.exists(path)), 0)


def lock(machine: Machine, *, cpu_only: bool = False) -> list[str]:
    """Lock every clock at its maximum; returns the complaints that the real script makes on the way."""
    _lock_cpus(machine)
    if cpu_only:
        return []
    for gpu in gpus(machine):
        _set(machine, f"{gpu}/device/railgate_enable", 0)
        _raise_minimum(machine, f"{gpu}/min_freq", f"{gpu}/max_freq", f"{gpu}/cur_freq")
    if files := emc(machine):
        machine.write(files.lock, 1)
        _set(machine, files.target, emc_top(machine, files))
        _set(machine, files.rate, emc_top(machine, files))
    return [] if gpus(machine) else ["Error! GPU frequency scaling not supported!"]


def _lock_cpus(machine: Machine) -> None:
    for core in cores(machine):
        freq = f"{CPUS}/{core}/cpufreq"
        _raise_minimum(machine, f"{freq}/scaling_min_freq", f"{freq}/scaling_max_freq", f"{freq}/scaling_cur_freq")
        for state in _idle_states(machine, core):
            _set(machine, f"{state}/disable", 1)


def _raise_minimum(machine: Machine, low: str, high: str, current: str) -> None:
    """The clock follows at once, as hardware does; a running plant keeps it there."""
    if machine.exists(low) and (top := machine.number(high)):
        machine.write(low, top)
        _set(machine, current, top)


def _set(machine: Machine, board_path: str, value: int) -> None:
    if machine.exists(board_path):
        machine.write(board_path, value)


def _idle_states(machine: Machine, core: str) -> Iterator[str]:
    for state in sorted(machine.path(f"{CPUS}/{core}/cpuidle").glob("state[0-9]*")):
        yield f"{CPUS}/{core}/cpuidle/{state.name}"


def idle_states(machine: Machine, core: str) -> dict[str, bool]:
    """Which idle states a core may enter, by name; empty where the tree has none."""
    return {
        machine.read(f"{state}/name"): not machine.number(f"{state}/disable")
        for state in _idle_states(machine, core)
        if machine.exists(f"{state}/name")
    }


def stored(machine: Machine) -> list[str]:
    """The lines of a store file, without the fan's."""
    paths = [f"{CPUS}/{core}/online" for core in cores(machine)]
    paths += [f"{CPUS}/{core}/cpufreq/scaling_min_freq" for core in cores(machine)]
    paths += [f"{state}/disable" for core in cores(machine) for state in _idle_states(machine, core)]
    for gpu in gpus(machine):
        paths += [f"{gpu}/min_freq", f"{gpu}/device/railgate_enable"]
    if files := emc(machine):
        paths.append(files.lock)
    return [f"{path}:{machine.read(path)}" for path in paths if machine.exists(path)]


def restore(machine: Machine, store: Path) -> Iterator[str]:
    """Write back what a store file says; yields the paths that could not be restored."""
    for line in store.read_text(errors="replace").splitlines():
        path, _, value = line.partition(":")
        try:
            machine.write_limit(path, _bounded(machine, path, value))
        except OSError:
            yield path


def _bounded(machine: Machine, path: str, value: str) -> str:
    """The kernel takes no minimum above the maximum."""
    top = machine.number(path.replace("min_freq", "max_freq")) if path.endswith("min_freq") else 0
    return str(min(int(value), top)) if top and value.isdigit() else value
