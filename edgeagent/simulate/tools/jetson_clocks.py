"""Stand-in for jetson_clocks: `jetson_clocks.py ROOT --show`, for the owner of the virtual board only.

Lines as on an Orin with R36. Every other option is refused with status 1: this stand-in locks no clocks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_GPU = "sys/devices/platform/17000000.gpu"
_NOT_ROOT = "Error: Run this script(/usr/bin/jetson_clocks) as a root user"


def show(root: Path) -> Iterator[str]:
    device_tree = root / "sys/firmware/devicetree/base"
    compatible = (device_tree / "compatible").read_text().split("\0")
    family = next(entry for entry in compatible if entry.startswith("nvidia,tegra")).removeprefix("nvidia,")
    yield f"SOC family:{family}  Machine:" + (device_tree / "model").read_text().rstrip("\0")
    yield f"Online CPUs: {_text(root / 'sys/devices/system/cpu/online')}"
    yield from _cpus(root)
    gpu = root / _GPU / "devfreq_dev"
    yield "GPU " + _span(gpu / "min_freq", gpu / "max_freq", gpu / "cur_freq")
    yield f"Active GPU TPCs: {8 - int(_text(root / _GPU / 'tpc_pg_mask')).bit_count()}"
    yield _emc(int(_text(root / "sys/kernel/nvpmodel_clk_cap/emc")))
    yield from _fans(root)
    yield f"NV Power Mode: {_mode_name(root)}"


def _cpus(root: Path) -> Iterator[str]:
    for cpu in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*")):
        freq = cpu / "cpufreq"
        span = _span(freq / "scaling_min_freq", freq / "scaling_max_freq", freq / "scaling_cur_freq")
        governor = _text(freq / "scaling_governor")
        yield f"{cpu.name}:  Online={_text(cpu / 'online')} Governor={governor} {span} IdleStates: WFI=1 c7=1"


def _emc(cap_hz: int) -> str:
    """The real tool reads debugfs, which this tree has not: the cap stands for the current clock."""
    top = cap_hz or 3_199_000_000
    return f"EMC MinFreq=204000000 MaxFreq={top} CurrentFreq={top} FreqOverride=0"


def _fans(root: Path) -> Iterator[str]:
    for hwmon in sorted((root / "sys/class/hwmon").iterdir()):
        if _text(hwmon / "name") == "pwmfan":
            yield f"FAN Dynamic Speed Control=nvfancontrol {hwmon.name}_pwm1={_text(hwmon / 'pwm1')}"


def _mode_name(root: Path) -> str:
    number = int((root / "var/lib/nvpmodel/status").read_text().split()[0].removeprefix("pmode:"))
    heading = f"< POWER_MODEL ID={number} NAME="
    lines = (root / "etc/nvpmodel.conf").read_text().splitlines()
    return next(line.removeprefix(heading).split()[0] for line in lines if line.startswith(heading))


def _span(low: Path, high: Path, current: Path) -> str:
    return f"MinFreq={_text(low)} MaxFreq={_text(high)} CurrentFreq={_text(current)}"


def _text(path: Path) -> str:
    return path.read_text().strip()


def main(arguments: list[str]) -> int:
    root = Path(arguments[0])
    if root.stat().st_uid != os.geteuid():
        sys.stdout.write(f"{_NOT_ROOT}\n")
        return 1
    if arguments[1:] != ["--show"]:
        sys.stderr.write("Error: this stand-in of jetson_clocks knows --show only\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in show(root)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
