"""Stand-in for tegrastats: `tegrastats.py ROOT [--interval MS]` prints one line of readings a second until it is ended.

The lines grew with the releases: R32 has no date, upper-case zones and rails without a unit; R35 a date and "mW"; R36
the names of its zones; R38 and later also maxima of zones and rails, and Thor its GPU's clocks without a load. A zone
that does not answer is left out, one that says -256 C is shown. Average and maximum are those since the start.
What this tree cannot know (the largest free block, engine clocks) is left out or stands still. Source: public captures.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

if not __package__:  # run as a program with -I, where nothing leads to the package that this file lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edgeagent.simulate.tools import clocks, misbehaviour
from edgeagent.simulate.tools.machine import Machine, machine_at, say

_GPU_LOADS = ("/sys/devices/platform/gpu.0/load", "/sys/devices/gpu.0/load")


@dataclass
class Past:
    """One reading over time."""

    count: int = 0
    total: float = 0.0
    top: float = 0.0


@dataclass
class History:
    """What a line needs to know of the lines before it."""

    ticks: dict[str, tuple[int, int]] = field(default_factory=dict)
    readings: dict[str, Past] = field(default_factory=dict)

    def load_percent(self, core: str, busy: int, idle: int) -> int:
        """Since the line before; since the start of the board for the first."""
        busy_before, idle_before = self.ticks.get(core, (0, 0))
        self.ticks[core] = (busy, idle)
        passed = busy - busy_before + idle - idle_before
        return round(100 * (busy - busy_before) / passed) if passed > 0 else 0

    def add(self, name: str, value: float) -> Past:
        before = self.readings.get(name, Past(top=value))
        self.readings[name] = Past(before.count + 1, before.total + value, max(before.top, value))
        return self.readings[name]


def line(machine: Machine, history: History, now: time.struct_time) -> str:
    parts = [time.strftime("%m-%d-%Y %H:%M:%S", now)] if machine.release_at_least(35) else []
    parts += [_memory(machine), _cpus(machine, history), *_engines(machine)]
    parts += [_temperature(machine, history, *zone) for zone in _zones(machine)]
    parts += [_power(machine, history, *rail) for rail in _rails(machine)]
    return " ".join(parts)


def _memory(machine: Machine) -> str:
    values = {words[0]: int(words[1]) // 1024 for words in _rows(machine, "/proc/meminfo")}
    used, total = values["MemTotal:"] - values["MemAvailable:"], values["MemTotal:"]
    swap = values.get("SwapTotal:", 0)
    text = f"RAM {used}/{total}MB (lfb 4x4MB)"
    return f"{text} SWAP {swap - values.get('SwapFree:', 0)}/{swap}MB (cached 0MB)" if swap else text


def _cpus(machine: Machine, history: History) -> str:
    loads: dict[str, int] = {}
    for name, *columns in _rows(machine, "/proc/stat"):
        if name.startswith("cpu") and name != "cpu":
            ticks = [int(column) for column in columns[:8]]
            loads[name] = history.load_percent(name, sum(ticks) - ticks[3] - ticks[4], ticks[3] + ticks[4])
    shared = machine.soc == "tegra264"
    texts, clock = [], 0
    for core in clocks.cores(machine):
        clock = machine.number(f"{clocks.CPUS}/{core}/cpufreq/scaling_cur_freq") // 1000
        text = f"{loads.get(core, 0)}%" + ("" if shared else f"@{clock}")
        texts.append(text if clocks.is_online(machine, core) else "off")
    return f"CPU [{','.join(texts)}]" + (f"@{clock}" if shared else "")


def _engines(machine: Machine) -> Iterator[str]:
    """The memory's clock and load need root's debugfs on most releases."""
    emc = clocks.emc(machine)
    rate = machine.number(emc.rate) if emc else clocks.emc_cap(machine)
    megahertz = [machine.number(f"{gpu}/cur_freq") // 1_000_000 for gpu in clocks.gpus(machine)]
    load = f"{max(machine.number(path) for path in _GPU_LOADS) // 10}%"
    if machine.soc == "tegra264":
        yield f"EMC_FREQ @{rate // 1_000_000}"
        yield f"GR3D_FREQ @[{','.join(map(str, [*megahertz[:1]] * 3))}]"
        return
    yield f"EMC_FREQ 0%@{rate // 1_000_000}" if machine.caller_is_root() else "EMC_FREQ 0%"
    clock = f"[{megahertz[0]}]" if machine.release_at_least(36) else str(megahertz[0])
    yield f"GR3D_FREQ {load}@{clock}" if machine.caller_is_root() else f"GR3D_FREQ {load}"


def _zones(machine: Machine) -> Iterator[tuple[str, float]]:
    """Names up to their first dash, as tegrastats has them, and degrees Celsius, of the zones that answer."""
    zones = sorted(machine.path("/sys/class/thermal").glob("thermal_zone*"), key=lambda path: int(path.name[12:]))
    for zone in zones:
        name = (zone / "type").read_text().strip().partition("-")[0]
        millidegrees = _read_now(zone / "temp")
        if millidegrees is not None:
            yield name, millidegrees / 1000


def _read_now(path: Path) -> int | None:
    """A zone without power gives EAGAIN, which a virtual board shows as a FIFO."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return int(os.read(handle, 64))
    except (OSError, ValueError):
        return None
    finally:
        os.close(handle)


def _temperature(machine: Machine, history: History, name: str, celsius: float) -> str:
    past = history.add(f"zone {name}", celsius)
    return f"{name}@{celsius:g}C" + (f"/{past.top:g}C" if machine.release_at_least(38) else "")


def _rails(machine: Machine) -> Iterator[tuple[str, int]]:
    """Labels and milliwatts: the iio form of R32, the hwmon form of the INA3221, the INA238 in microwatt."""
    for label in sorted(machine.path("/sys/bus/i2c/drivers/ina3221x").glob("*/iio:device*/rail_name_*")):
        power = label.parent / f"in_power{label.name.rpartition('_')[2]}_input"
        yield label.read_text().strip(), int(power.read_text().split()[0])
    for hwmon in sorted(machine.path("/sys/class/hwmon").glob("hwmon*")):
        chip = (hwmon / "name").read_text().strip()
        if chip == "ina3221":
            yield from _channels(hwmon)
        elif chip == "ina238":
            yield "VIN", int((hwmon / "power1_input").read_text()) // 1000


def _channels(hwmon: Path) -> Iterator[tuple[str, int]]:
    for channel in (1, 2, 3):
        label, current = hwmon / f"in{channel}_label", hwmon / f"curr{channel}_input"
        if label.exists() and current.exists() and label.read_text().strip() != "NC":
            millivolts = int((hwmon / f"in{channel}_input").read_text())
            yield label.read_text().strip(), millivolts * int(current.read_text()) // 1000


def _power(machine: Machine, history: History, name: str, milliwatts: int) -> str:
    past = history.add(f"rail {name}", milliwatts)
    unit = "" if machine.release == "R32" else "mW"
    numbers = [milliwatts, past.total / past.count, *([past.top] if machine.release_at_least(38) else [])]
    return f"{name} " + "/".join(f"{number:.0f}{unit}" for number in numbers)


def _rows(machine: Machine, board_path: str) -> list[list[str]]:
    return [row.split() for row in machine.read(board_path).splitlines()]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("tegrastats", allow_abbrev=False)
    parser.add_argument("root", type=Path)
    parser.add_argument("--interval", type=int, default=1000, metavar="MS")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    _, over = misbehaviour.begin("tegrastats", options.root)
    if over is not None:
        return over
    machine, history = machine_at(options.root), History()
    while True:
        with contextlib.suppress(OSError, LookupError, ValueError):  # a file caught while it changes costs one line
            say(line(machine, history, time.localtime()))
        time.sleep(options.interval / 1000)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
