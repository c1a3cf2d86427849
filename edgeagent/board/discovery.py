"""Finding a board's sensors by type and name, and keeping their files open.

Numbers in sysfs (hwmon3, thermal_zone7, cooling_device10) change between boots and releases, so nothing is looked up
by one. What does not change while a driver is bound (names, trip points, bindings, labels) is read here once; what
does change becomes a `Probe`.

Formats: the kernel's Documentation/driver-api/thermal/sysfs-api.rst and Documentation/hwmon/sysfs-interface.rst;
`rpm` of pwm_tach and `ocN_event_cnt` of soctherm_oc are NVIDIA's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from edgeagent.board.files import Probe, list_names, read_bytes
from edgeagent.board.parse import parse_cpu_list, parse_int, parse_strings, parse_text
from edgeagent.board.reading import THROTTLE_ALERT

CLASS_DIRECTORIES = ("sys/class/thermal", "sys/class/hwmon", "sys/class/devfreq")
_IGNORED_ZONES = ("PMIC-Die",)  # a constant 100 C on every module that has it
_SLOWS_DOWN = ("cpufreq-", "devfreq-", "thermal-cpufreq-", "thermal-devfreq-")
_GPU_NODES = {"gpu", "ga10b", "gv11b", "gp10b", "gm20b"}
_GPU_LOADS = ("sys/devices/platform/gpu.0/load", "sys/devices/gpu.0/load")
_EMC_RATES = ("sys/kernel/debug/bpmp/debug/clk/emc/rate",)
_EMC_CAPS = ("sys/kernel/nvpmodel_clk_cap/emc", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap")
_PLATFORM = ("sys/devices/platform", "sys/devices/platform/bus@0")


@dataclass(frozen=True)
class ZoneProbe:
    name: str
    temperature: Probe
    throttle_c: float | None
    critical_c: float | None


@dataclass(frozen=True)
class CoolingProbe:
    name: str
    state: Probe
    max_state: int | None


@dataclass(frozen=True)
class RailProbe:
    name: str
    millivolts: Probe
    milliamps: Probe


@dataclass(frozen=True)
class PolicyProbe:
    """One clock domain of the CPU and its cores."""

    cores: tuple[int, ...]
    freq_khz: Probe


@dataclass
class Layout:
    """Every file worth reading on this board, open. `close` it before the next one is made."""

    zones: list[ZoneProbe] = field(default_factory=list)
    cooling: list[CoolingProbe] = field(default_factory=list)
    rails: list[RailProbe] = field(default_factory=list)
    over_current: list[tuple[str, Probe]] = field(default_factory=list)
    policies: list[PolicyProbe] = field(default_factory=list)
    dla: list[tuple[str, Probe]] = field(default_factory=list)
    single: dict[str, Probe] = field(default_factory=dict)
    probes: list[Probe] = field(default_factory=list)

    def close(self) -> None:
        for probe in self.probes:
            probe.close()
        self.probes.clear()

    def open(self, path: str) -> Probe:
        """A probe that this layout owns."""
        probe = Probe(path)
        self.probes.append(probe)
        return probe


def discover(root: str) -> Layout:
    """Everything readable under `root`, a path that ends without a slash ("" for the machine itself)."""
    layout = Layout()
    for find in (_find_zones, _find_cooling, _find_hwmon, _find_policies, _find_gpu, _find_emc, _find_dla):
        find(layout, root)
    for name in ("stat", "meminfo", "uptime"):
        layout.single[name] = layout.open(f"{root}/proc/{name}")
    return layout


def class_names(root: str) -> tuple[tuple[str, ...], ...]:
    """What the kernel's class directories list now: a change means that a driver came or went."""
    return tuple(list_names(f"{root}/{directory}") for directory in CLASS_DIRECTORIES)


def _find_zones(layout: Layout, root: str) -> None:
    seen: Counter[str] = Counter()
    for directory in _numbered(f"{root}/sys/class/thermal", "thermal_zone"):
        kind = _text(f"{directory}/type")
        if not kind or kind in _IGNORED_ZONES:
            continue
        throttle_c, critical_c = _trip_temperatures(directory)
        name = _unique(kind, seen)
        layout.zones.append(ZoneProbe(name, layout.open(f"{directory}/temp"), throttle_c, critical_c))


def _trip_temperatures(zone: str) -> tuple[float | None, float | None]:
    """The lowest passive trip that is bound to something that slows down, and the lowest critical trip, in C."""
    bound = _bound_trips(zone)
    throttle: list[float] = []
    critical: list[float] = []
    for index, kind, celsius in _trips(zone):
        if kind == "critical":
            critical.append(celsius)
        elif kind == "passive" and any(map(slows_down, bound.get(index, ()))):
            throttle.append(celsius)
    return min(throttle, default=None), min(critical, default=None)


def slows_down(cooling_type: str) -> bool:
    """Whether a cooling device costs performance. hot-surface-alert and fans do not."""
    return cooling_type.startswith(_SLOWS_DOWN) or cooling_type.endswith(THROTTLE_ALERT)


def _trips(zone: str) -> Iterator[tuple[int, str, float]]:
    for name in list_names(zone):
        if found := re.fullmatch(r"trip_point_([0-9]{1,3})_type", name):
            millidegrees = parse_int(read_bytes(f"{zone}/trip_point_{found.group(1)}_temp", 64))
            if millidegrees is not None:
                yield int(found.group(1)), _text(f"{zone}/{name}"), millidegrees / 1000


def _bound_trips(zone: str) -> dict[int, list[str]]:
    """Types of the cooling devices bound to each trip: `cdevN` is the device, `cdevN_trip_point` the trip's index."""
    bound: dict[int, list[str]] = {}
    for name in list_names(zone):
        if re.fullmatch(r"cdev[0-9]{1,3}", name):
            trip = parse_int(read_bytes(f"{zone}/{name}_trip_point", 64))
            if trip is not None:
                bound.setdefault(trip, []).append(_text(f"{zone}/{name}/type"))
    return bound


def _find_cooling(layout: Layout, root: str) -> None:
    seen: Counter[str] = Counter()
    for directory in _numbered(f"{root}/sys/class/thermal", "cooling_device"):
        if kind := _text(f"{directory}/type"):
            max_state = parse_int(read_bytes(f"{directory}/max_state", 64))
            layout.cooling.append(
                CoolingProbe(_unique(kind, seen), layout.open(f"{directory}/cur_state"), max_state),
            )


def _find_hwmon(layout: Layout, root: str) -> None:
    finders: dict[str, Callable[[Layout, str], None]] = {
        "ina3221": _find_rails,
        "soctherm_oc": _find_over_current,
        "pwmfan": _find_fan,
        "pwm_tach": _find_tach,
    }
    for directory in _numbered(f"{root}/sys/class/hwmon", "hwmon"):
        if find := finders.get(_text(f"{directory}/name")):
            find(layout, directory)


def _find_rails(layout: Layout, directory: str) -> None:
    """Channels 1 to 3 are rails unless unlabelled or labelled NC; 4 to 7 are shunt voltages and their sum."""
    names = list_names(directory)
    for channel in (1, 2, 3):
        label = _text(f"{directory}/in{channel}_label")
        if label and label != "NC" and f"curr{channel}_input" in names:
            millivolts = layout.open(f"{directory}/in{channel}_input")
            layout.rails.append(RailProbe(label, millivolts, layout.open(f"{directory}/curr{channel}_input")))


def _find_over_current(layout: Layout, directory: str) -> None:
    for name in list_names(directory):
        if found := re.fullmatch(r"(oc[0-9])_event_cnt", name):
            layout.over_current.append((found.group(1), layout.open(f"{directory}/{name}")))


def _find_fan(layout: Layout, directory: str) -> None:
    layout.single.setdefault("pwm", layout.open(f"{directory}/pwm1"))


def _find_tach(layout: Layout, directory: str) -> None:
    name = "rpm" if "rpm" in list_names(directory) else "fan1_input"
    layout.single.setdefault("rpm", layout.open(f"{directory}/{name}"))


def _find_policies(layout: Layout, root: str) -> None:
    for directory in _numbered(f"{root}/sys/devices/system/cpu/cpufreq", "policy"):
        cores = parse_cpu_list(read_bytes(f"{directory}/related_cpus", 4096))
        layout.policies.append(PolicyProbe(cores, layout.open(f"{directory}/scaling_cur_freq")))


def _find_gpu(layout: Layout, root: str) -> None:
    for name in list_names(f"{root}/sys/class/devfreq"):
        directory = f"{root}/sys/class/devfreq/{name}"
        if _is_gpu(directory, name):
            layout.single["gpu_freq"] = layout.open(f"{directory}/cur_freq")
            _open_first(layout, "gpu_load", [f"{directory}/device/load", *(f"{root}/{path}" for path in _GPU_LOADS)])
            return


def _is_gpu(directory: str, name: str) -> bool:
    """R36 calls the node gpu, R35 after the chip; Thor has no node but a devfreq device gpu-gpc-0."""
    node = parse_strings(read_bytes(f"{directory}/device/of_node/name", 64))
    return name == "gpu-gpc-0" or bool(node and node[0] in _GPU_NODES)


def _find_emc(layout: Layout, root: str) -> None:
    _open_first(layout, "emc", [f"{root}/{path}" for path in _EMC_RATES])
    _open_first(layout, "emc_cap", [f"{root}/{path}" for path in _EMC_CAPS])


def _find_dla(layout: Layout, root: str) -> None:
    """`<bus>/<address>.host1x/<address>.nvdla<n>`; the addresses and the bus differ between releases."""
    for platform in _PLATFORM:
        for host in (name for name in list_names(f"{root}/{platform}") if name.endswith("host1x")):
            for name in list_names(f"{root}/{platform}/{host}"):
                if found := re.fullmatch(r"[0-9a-f]+\.nvdla([0-9])", name):
                    status = layout.open(f"{root}/{platform}/{host}/{name}/power/runtime_status")
                    layout.dla.append((f"dla{found.group(1)}", status))


def _open_first(layout: Layout, name: str, paths: Iterable[str]) -> None:
    """Keeps the first of `paths` that opens."""
    for path in paths:
        probe = Probe(path)
        if probe.is_open:
            layout.single[name] = probe
            layout.probes.append(probe)
            return


def _numbered(directory: str, prefix: str) -> list[str]:
    """Paths of `<prefix><number>` entries in the order of their numbers: cooling_device2 before cooling_device10."""
    found = ((name.removeprefix(prefix), name) for name in list_names(directory) if name.startswith(prefix))
    numbered = sorted((int(number), name) for number, name in found if number.isdecimal() and len(number) < 10)
    return [f"{directory}/{name}" for _, name in numbered]


def _unique(name: str, seen: Counter[str]) -> str:
    """PCs have several zones of one type: the second becomes `acpitz_2`."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}_{seen[name]}"


def _text(path: str) -> str:
    return parse_text(read_bytes(path, 256))
