"""The files of a virtual board, part by part, in the formats of the real ones.

Each `_write_` function makes one part of the tree from a `VirtualSpec`; `Tree` knows how a file, a link, a FIFO and a
hwmon directory are made and notes where the plant finds what it keeps changing.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgeagent.simulate.board_spec import Trip, VirtualSpec

_TOOLS = Path(__file__).parent / "tools"
_THERMAL = "sys/devices/virtual/thermal"
_I2C = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040"
_GPU = "sys/devices/platform/bus@0/17000000.gpu"
_DEVICE_TREE = "sys/firmware/devicetree/base"


class Tree:
    """Writes files under a root and notes where each role went."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.rng = rng
        self.files: dict[str, str] = {}
        self.fifos: list[str] = []
        self._hwmon_numbers = iter(rng.sample(range(8), 8))

    def data(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def text(self, path: str, content: str) -> None:
        self.data(path, content.encode())

    def lines(self, directory: str, **values: str | int) -> None:
        """Attributes of one directory, each ending in a newline as sysfs writes them."""
        for name, value in values.items():
            self.text(f"{directory}/{name}", f"{value}\n")

    def role(self, role: str, path: str) -> None:
        """A file that the plant keeps changing."""
        self.files[role] = path
        self.text(path, "0\n")

    def link(self, path: str, target: str) -> None:
        """A relative link at `path` to `target`, both relative to the root."""
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(self.root / target, link.parent))

    def fifo(self, path: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(target)
        self.fifos.append(path)

    def hwmon(self, device: str, name: str) -> str:
        """A hwmon directory with a random number under `device`; returns its path."""
        number = next(self._hwmon_numbers)
        directory = f"{device}/hwmon/hwmon{number}"
        self.lines(directory, name=name)
        self.link(f"{directory}/device", device)
        self.link(f"sys/class/hwmon/hwmon{number}", directory)
        return directory


def write_tree(tree: Tree, spec: VirtualSpec) -> None:
    """All of the board's files, the changing ones still without their values."""
    _write_device_tree(tree, spec)
    _write_etc(tree, spec)
    _write_packages(tree, spec)
    numbers = _write_cooling(tree, spec)
    _write_zones(tree, spec, numbers)
    _write_rails(tree, spec)
    _write_over_current(tree)
    _write_fan(tree)
    _write_gpu(tree, spec)
    _write_cpu(tree, spec)
    tree.text("sys/kernel/nvpmodel_clk_cap/emc", f"{spec.emc_hz}\n")
    for name in ("meminfo", "stat", "uptime"):
        tree.role(name, f"proc/{name}")
    _write_tools(tree)


def _write_device_tree(tree: Tree, spec: VirtualSpec) -> None:
    """Properties end in NUL, not in a newline."""
    tree.data(f"{_DEVICE_TREE}/model", spec.model.encode() + b"\0")
    tree.data(f"{_DEVICE_TREE}/compatible", b"".join(entry.encode() + b"\0" for entry in spec.compatible))
    tree.data(f"{_DEVICE_TREE}/serial-number", spec.serial.encode() + b"\0")
    tree.data(f"{_DEVICE_TREE}/bus@0/gpu@17000000/name", b"gpu\0")
    tree.link("proc/device-tree", _DEVICE_TREE)


def _write_etc(tree: Tree, spec: VirtualSpec) -> None:
    tree.text("etc/nv_tegra_release", spec.tegra_release)
    tree.text("etc/nv_boot_control.conf", spec.boot_control)
    tree.text("etc/hostname", f"{spec.hostname}\n")
    tree.text("etc/nvpmodel.conf", (_TOOLS / spec.power_modes).read_text())
    tree.text("var/lib/nvpmodel/status", f"pmode:{spec.default_mode:04d}")
    tree.text("run/.keep", "")


def _write_packages(tree: Tree, spec: VirtualSpec) -> None:
    paragraphs = [
        f"Package: {name}\nStatus: install ok installed\nPriority: standard\nArchitecture: arm64\nVersion: {version}\n"
        for name, version in spec.packages
    ]
    tree.text("var/lib/dpkg/status", "\n".join(paragraphs))
    toolkit = f"usr/local/cuda-{'.'.join(spec.cuda.split('.')[:2])}"
    version = {"cuda": {"name": "CUDA SDK", "version": spec.cuda}}
    tree.text(f"{toolkit}/version.json", json.dumps(version, indent=3))
    tree.link("usr/local/cuda", toolkit)


def _write_cooling(tree: Tree, spec: VirtualSpec) -> dict[str, int]:
    """The number that each cooling device got, by type."""
    numbers = dict(zip((name for name, _ in spec.cooling), _shuffled(tree, len(spec.cooling)), strict=True))
    for name, max_state in spec.cooling:
        directory = f"{_THERMAL}/cooling_device{numbers[name]}"
        tree.lines(directory, type=name, max_state=max_state)
        tree.role(f"cooling:{name}", f"{directory}/cur_state")
        tree.link(f"sys/class/thermal/cooling_device{numbers[name]}", directory)
    return numbers


def _write_zones(tree: Tree, spec: VirtualSpec, cooling_numbers: Mapping[str, int]) -> None:
    for (name, trips), number in zip(spec.zones, _shuffled(tree, len(spec.zones)), strict=True):
        directory = f"{_THERMAL}/thermal_zone{number}"
        tree.lines(directory, type=name, mode="enabled", policy="step_wise")
        if name in spec.dark_zones:
            tree.fifo(f"{directory}/temp")
        else:
            tree.role(f"zone:{name}", f"{directory}/temp")
        _write_trips(tree, directory, trips)
        _write_bindings(tree, directory, trips, cooling_numbers)
        tree.link(f"sys/class/thermal/thermal_zone{number}", directory)


def _write_trips(tree: Tree, directory: str, trips: tuple[Trip, ...]) -> None:
    for index, trip in enumerate(trips):
        prefix = f"trip_point_{index}"
        tree.lines(directory, **{f"{prefix}_type": trip.kind})
        tree.lines(directory, **{f"{prefix}_temp": trip.temperature, f"{prefix}_hyst": trip.hysteresis})


def _write_bindings(tree: Tree, directory: str, trips: tuple[Trip, ...], numbers: Mapping[str, int]) -> None:
    for index, (trip, name) in enumerate(_bindings(trips)):
        tree.link(f"{directory}/cdev{index}", f"{_THERMAL}/cooling_device{numbers[name]}")
        tree.lines(directory, **{f"cdev{index}_trip_point": trip, f"cdev{index}_weight": 0})


def _bindings(trips: tuple[Trip, ...]) -> Iterator[tuple[int, str]]:
    for index, trip in enumerate(trips):
        for name in trip.bound:
            yield index, name


def _write_rails(tree: Tree, spec: VirtualSpec) -> None:
    """An INA3221: three labelled channels, three shunt voltages without a label, and their sum."""
    directory = tree.hwmon(_I2C, "ina3221")
    for channel, (label, _) in enumerate(spec.rails, start=1):
        tree.lines(directory, **{f"in{channel}_label": label})
        tree.role(f"rail:{label}:mv", f"{directory}/in{channel}_input")
        tree.role(f"rail:{label}:ma", f"{directory}/curr{channel}_input")
        limits = {"max": spec.over_current_limit_ma, "crit": spec.over_current_limit_ma}
        alarms = {"max_alarm": 0, "crit_alarm": 0}
        tree.lines(directory, **{f"curr{channel}_{key}": value for key, value in (limits | alarms).items()})
        tree.lines(directory, **{f"in{channel + 3}_input": 4 * channel})
    tree.lines(directory, in7_label="sum of shunt voltages", in7_input=24, curr4_crit_alarm=0)
    tree.link("sys/bus/i2c/devices/1-0040", _I2C)


def _write_over_current(tree: Tree) -> None:
    directory = tree.hwmon("sys/devices/platform/soctherm-oc-event", "soctherm_oc")
    for channel in (1, 2, 3):
        tree.lines(directory, **{f"oc{channel}_event_cnt": 0, f"oc{channel}_throt_en": 1})
    tree.role("oc3", f"{directory}/oc3_event_cnt")


def _write_fan(tree: Tree) -> None:
    fan = tree.hwmon("sys/devices/platform/pwm-fan", "pwmfan")
    tree.lines(fan, pwm1_enable=1)
    tree.role("pwm", f"{fan}/pwm1")
    tach = tree.hwmon("sys/devices/platform/bus@0/39c0000.tachometer", "pwm_tach")
    tree.role("rpm", f"{tach}/rpm")


def _write_gpu(tree: Tree, spec: VirtualSpec) -> None:
    devfreq = f"{_GPU}/devfreq/17000000.gpu"
    table = spec.gpu_frequencies_hz
    tree.role("gpu_load", f"{_GPU}/load")
    tree.role("gpu_freq", f"{devfreq}/cur_freq")
    tree.lines(devfreq, min_freq=table[0], max_freq=table[-1], governor="nvhost_podgov")
    tree.lines(devfreq, available_frequencies=" ".join(map(str, table)))
    tree.lines(devfreq, available_governors="performance userspace nvhost_podgov")
    tree.lines(_GPU, railgate_enable=1, tpc_pg_mask=240)
    tree.link(f"{_GPU}/of_node", f"{_DEVICE_TREE}/bus@0/gpu@17000000")
    tree.link(f"{_GPU}/devfreq_dev", devfreq)
    tree.link(f"{devfreq}/device", _GPU)
    tree.link("sys/class/devfreq/17000000.gpu", devfreq)
    for alias in ("17000000.gpu", "gpu.0"):
        tree.link(f"sys/devices/platform/{alias}", _GPU)


def _write_cpu(tree: Tree, spec: VirtualSpec) -> None:
    cpu = "sys/devices/system/cpu"
    every = f"0-{spec.cpus - 1}"
    tree.lines(cpu, present=every, possible=every, online=every, offline="")
    for cores in spec.policies:
        policy = f"{cpu}/cpufreq/policy{cores[0]}"
        tree.role(f"cpu_freq:{cores[0]}", f"{policy}/scaling_cur_freq")
        tree.lines(policy, **_policy(spec, cores))
        for core in cores:
            tree.lines(f"{cpu}/cpu{core}", online=1)
            tree.link(f"{cpu}/cpu{core}/cpufreq", policy)


def _policy(spec: VirtualSpec, cores: tuple[int, ...]) -> dict[str, str | int]:
    table = spec.cpu_frequencies_khz
    members = " ".join(map(str, cores))
    return {
        "affected_cpus": members,
        "related_cpus": members,
        "cpuinfo_min_freq": table[0],
        "cpuinfo_max_freq": table[-1],
        "scaling_available_frequencies": " ".join(map(str, table)),
        "scaling_governor": "schedutil",
        "scaling_min_freq": spec.cpu_idle_khz,
        "scaling_max_freq": table[-1],
    }


def _write_tools(tree: Tree) -> None:
    """What the release installs: nothing on a PC, nvfancontrol only where it has a conf (R35 and later)."""
    tools = ["nvpmodel", "jetson_clocks", "tegrastats", "systemctl"] * (tree.root / "etc/nvpmodel.conf").exists()
    tools += ["nvfancontrol"] * (tree.root / "etc/nvfancontrol.conf").exists()
    for tool in tools:
        command = shlex.join([sys.executable, "-I", str(_TOOLS / f"{tool}.py"), str(tree.root)])
        tree.text(f"bin/{tool}", f'#!/bin/sh\nexec {command} "$@"\n')
        (tree.root / "bin" / tool).chmod(0o755)


def _shuffled(tree: Tree, count: int) -> list[int]:
    return tree.rng.sample(range(count), count)
