"""Clocks and loads of CPU, GPU, memory and DLA: where each release keeps them, and their values now.

| what | where | unit |
|---|---|---|
| CPU | `cpufreq/policyN/scaling_{cur,min,max}_freq` | kHz |
| GPU to Orin | devfreq `<address>.{gpu,ga10b,gv11b,gp10b}`: `{cur,min,max}_freq` | Hz |
| its load | `load` of that device, or of its other name `gpu.0` | thousandths |
| GPU of Thor | devfreq `gpu-gpc-0` and `gpu-nvd-0`; no load | Hz |
| memory | rate in debugfs (root only), the power mode's cap in `/sys/kernel` | kHz to R35, Hz since R36 |
| DLA | `*.host1x/*.nvdlaN/power/runtime_status` | `active`, `suspended` |

`cpuinfo_cur_freq` is not read: it needs root, and on Orin each read makes the kernel log a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.board.files import OpenFiles, Probe, list_names, numbered, read_bytes, read_int
from edgeagent.board.parse import memory_clock_khz, parse_cpu_list, parse_strings, parse_text
from edgeagent.board.parts import Absent, ClockDomain, Dla, Gpu

CPUFREQ = "sys/devices/system/cpu/cpufreq"
DEVFREQ = "sys/class/devfreq"
_PLATFORM = ("sys/devices/platform/bus@0", "sys/devices/platform", "sys/devices")
_GPU_NODES = {"gpu", "ga10b", "gv11b", "gp10b", "gm20b"}
_GPU_DEVICE = re.compile(r"[0-9a-f]{7,8}\.(?:gpu|ga10b|gv11b|gp10b|gm20b)")
_THOR_DOMAINS = ("gpu-gpc-0", "gpu-nvd-0")
_GPU_LOADS = ("sys/devices/platform/gpu.0/load", "sys/devices/gpu.0/load")
_EMC_RATES = (
    "sys/kernel/debug/bpmp/debug/clk/emc/rate",
    "sys/kernel/debug/clk/override.emc/clk_rate",
    "sys/kernel/debug/clk/emc/clk_rate",
)
_EMC_CAPS = ("sys/kernel/nvpmodel_clk_cap/emc", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap")
_POSSIBLE_KHZ = (0, 20_000_000)
_POSSIBLE_MEMORY_CLOCK = (0, 20_000_000_000)  # Hz; kHz are less
_POSSIBLE_LOAD = (0, 1100)  # thousandths; averages overshoot a little
_RUNTIME_STATUS = ("active", "suspended", "suspending", "resuming", "error", "unsupported")
_NVDLA = re.compile(r"[0-9a-f]+\.nvdla([0-9])")


@dataclass(frozen=True)
class ClockProbe:
    """`per_khz`: how many of the files' units make a kilohertz. lowest and highest are what the chip offers."""

    name: str
    current: Probe
    minimum: Probe
    maximum: Probe
    per_khz: int
    lowest_khz: int | None
    highest_khz: int | None
    cores: tuple[int, ...] = ()


@dataclass(frozen=True)
class GpuProbe:
    """The GPU's clocks, the one of its shaders first, and its load where the kernel gives one."""

    clocks: tuple[ClockProbe, ...]
    load: Probe | None


def find_cpu_clocks(root: str, files: OpenFiles) -> Iterator[ClockProbe]:
    """One a policy, named `cpu<first core>`."""
    for directory in numbered(f"{root}/{CPUFREQ}", "policy"):
        yield ClockProbe(
            f"cpu{directory.rpartition('policy')[2]}",
            files.open(f"{directory}/scaling_cur_freq"),
            files.open(f"{directory}/scaling_min_freq"),
            files.open(f"{directory}/scaling_max_freq"),
            1,
            read_int(f"{directory}/cpuinfo_min_freq", _POSSIBLE_KHZ),
            read_int(f"{directory}/cpuinfo_max_freq", _POSSIBLE_KHZ),
            parse_cpu_list(read_bytes(f"{directory}/related_cpus", 4096)),
        )


def find_gpu(root: str, files: OpenFiles) -> GpuProbe | None:
    domains = _thor_domains(root) or _gpu_domain(root)
    if not domains:
        return None
    device = f"{next(iter(domains.values()))}/device"
    loads = [f"{root}/{path}" for path in _GPU_LOADS]
    clocks = tuple(_devfreq_clock(name, path, files) for name, path in domains.items())
    return GpuProbe(clocks, files.open_first(f"{device}/load", *loads))


def _thor_domains(root: str) -> dict[str, str]:
    """Thor's GPU is a PCI device with two clock domains: of the shaders, and of video and display."""
    names = set(list_names(f"{root}/{DEVFREQ}"))
    return {name: f"{root}/{DEVFREQ}/{name}" for name in _THOR_DOMAINS if name in names}


def _gpu_domain(root: str) -> dict[str, str]:
    """R36 calls the device tree's node gpu, R35 after the chip. R32 has the device below /sys/devices, too."""
    for name in list_names(f"{root}/{DEVFREQ}"):
        directory = f"{root}/{DEVFREQ}/{name}"
        node = parse_strings(read_bytes(f"{directory}/device/of_node/name", 64))
        if (node and node[0] in _GPU_NODES) or _GPU_DEVICE.fullmatch(name):
            return {"gpu": directory}
    for parent in _PLATFORM:
        for name in filter(_GPU_DEVICE.fullmatch, list_names(f"{root}/{parent}")):
            for inner in list_names(f"{root}/{parent}/{name}/devfreq"):
                return {"gpu": f"{root}/{parent}/{name}/devfreq/{inner}"}
    return {}


def _devfreq_clock(name: str, directory: str, files: OpenFiles) -> ClockProbe:
    table = read_bytes(f"{directory}/available_frequencies", 4096).split()
    steps = [int(step) // 1000 for step in table if step.isdigit() and len(step) <= 11]
    return ClockProbe(
        name,
        files.open(f"{directory}/cur_freq"),
        files.open(f"{directory}/min_freq"),
        files.open(f"{directory}/max_freq"),
        1000,
        min(steps, default=None),
        max(steps, default=None),
    )


def find_emc_rate(root: str, files: OpenFiles) -> Probe | None:
    return files.open_first(*(f"{root}/{path}" for path in _EMC_RATES))


def find_emc_cap(root: str, files: OpenFiles) -> Probe | None:
    return files.open_first(*(f"{root}/{path}" for path in _EMC_CAPS))


def find_dla(root: str, files: OpenFiles) -> dict[str, Probe]:
    """By name. Addresses, the bus and the spelling of host1x differ between releases."""
    found: dict[str, Probe] = {}
    for platform in _PLATFORM:
        for host in (name for name in list_names(f"{root}/{platform}") if name.endswith("host1x")):
            for name in list_names(f"{root}/{platform}/{host}"):
                unit = _NVDLA.fullmatch(name)
                if unit and f"dla{unit.group(1)}" not in found:
                    path = f"{root}/{platform}/{host}/{name}/power/runtime_status"
                    found[f"dla{unit.group(1)}"] = files.open(path)
    return dict(sorted(found.items()))


def read_clock(probe: ClockProbe) -> ClockDomain:
    freq_khz, absent = _read_khz(probe.current, probe)
    min_khz, no_min = _read_khz(probe.minimum, probe)
    max_khz, no_max = _read_khz(probe.maximum, probe)
    return ClockDomain(
        probe.name,
        freq_khz,
        min_khz,
        max_khz,
        probe.lowest_khz,
        probe.highest_khz,
        probe.cores,
        absent,
        no_min or no_max,
    )


def _read_khz(file: Probe, probe: ClockProbe) -> tuple[int | None, Absent]:
    lowest, highest = _POSSIBLE_KHZ
    value, absent = file.read_int((lowest * probe.per_khz, highest * probe.per_khz))
    return None if value is None else value // probe.per_khz, absent


def read_gpu(probe: GpuProbe | None, clocks: tuple[ClockDomain, ...]) -> Gpu:
    """The load file holds thousandths. `clocks` are those of `probe`, read already."""
    if probe is None:
        return Gpu(absent="not-given", load_absent="not-given")
    per_mille, load_absent = _read_load(probe.load)
    load_percent = None if per_mille is None else min(100.0, per_mille / 10)
    return Gpu(load_percent, clocks[0].freq_khz, clocks[0].absent, load_absent)


def _read_load(probe: Probe | None) -> tuple[int | None, Absent]:
    return probe.read_int(_POSSIBLE_LOAD) if probe else (None, "not-given")


def read_memory_clock(probe: Probe | None) -> tuple[int | None, Absent]:
    """Kilohertz."""
    if probe is None:
        return None, "not-given"
    value, absent = probe.read_int(_POSSIBLE_MEMORY_CLOCK)
    return None if value is None else memory_clock_khz(value), absent


def read_dla(name: str, probe: Probe) -> Dla:
    raw, absent = probe.read()
    state = parse_text(raw)
    if state not in _RUNTIME_STATUS:
        return Dla(name, "", absent or "unreadable")
    return Dla(name, state)
