"""nvpmodel.conf and what a mode does to the board: the stand-in's own reader, independent of the product's parser.

Grammar: `#` comments, `< PARAM TYPE=FILE|CLOCK NAME=X >` with lines `ARGUMENT PATH`, `< POWER_MODEL ID=n NAME=s >`
with lines `PARAM ARGUMENT VALUE`, `< PM_CONFIG DEFAULT=n >`, on R32 also `< FAN_CONFIG DEFAULT=name >`. Real files are
loose with blanks, so is this reader; an argument `X_KNEXT` is the path of `X` on newer kernels.

Values of clocks: -1 and the largest 32- and 64-bit numbers mean the top of the clock's table, an EMC value of 0 means
no cap, numbers beyond the table's ends become its ends, and a cap between two steps becomes the upper of the two (seen
on R32: 2000000 in the file, 2035200 in sysfs). Files are written in the order of the conf; the first that cannot be
written ends a change of mode with status 255 (public logs of R35 and R36), at boot the rest is written all the same.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.simulate.tools.machine import Machine, machine_at

CONF = "/etc/nvpmodel.conf"
STATUS = "/var/lib/nvpmodel/status"
UNLIMITED = (-1, 2**31 - 1, 2**63 - 1)
_LIVE_HOTPLUG = ("tegra210", "tegra186", "tegra194")
"""SoCs that take cores offline without a reboot."""
_CPUS = "/sys/devices/system/cpu"
_HEADING = re.compile(r"<\s*(\w+)\s+(.*?)\s*>")


class ConfError(Exception):
    """nvpmodel.conf cannot be read."""


@dataclass
class PowerModel:
    """One mode: its values by (parameter, argument), in the order of the file."""

    number: int
    name: str
    values: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class Conf:
    """nvpmodel.conf: paths by (parameter, argument), which parameters are clocks, the modes, the default's number."""

    paths: dict[tuple[str, str], str] = field(default_factory=dict)
    clocks: set[str] = field(default_factory=set)
    models: dict[int, PowerModel] = field(default_factory=dict)
    default: int = 0
    fan_default: str = ""


@dataclass(frozen=True)
class Failure:
    """A value that could not be written; `error` is the errno."""

    parameter: str
    argument: str
    path: str
    value: str
    error: int


def load_conf(root: Path, path: str = CONF) -> Conf:
    """Read the conf that the board calls `path`. Raises ConfError."""
    try:
        lines = machine_at(root).path(path).read_text().splitlines()
    except OSError as error:
        raise ConfError(f"Error opening {path}: {error.errno}") from error
    conf = Conf()
    section, attributes = "", dict[str, str]()
    for number, raw in enumerate(lines, start=1):
        line = raw.partition("#")[0].strip()
        try:
            if heading := _HEADING.fullmatch(line):
                section = heading.group(1)
                attributes = dict(word.split("=", 1) for word in heading.group(2).split())
                _open_section(conf, section, attributes)
            elif line:
                _add_line(conf, section, attributes, line.split())
        except (KeyError, ValueError, IndexError) as error:
            raise ConfError(f"{path}: line {number} is not understood: {raw.strip()}") from error
    return conf


def _open_section(conf: Conf, section: str, attributes: dict[str, str]) -> None:
    if section == "POWER_MODEL":
        number = int(attributes["ID"])
        conf.models[number] = PowerModel(number, attributes["NAME"])
    elif section == "PARAM" and attributes["TYPE"] == "CLOCK":
        conf.clocks.add(attributes["NAME"])
    elif section == "PM_CONFIG":
        conf.default = int(attributes["DEFAULT"])
    elif section == "FAN_CONFIG":
        conf.fan_default = attributes["DEFAULT"]


def _add_line(conf: Conf, section: str, attributes: dict[str, str], words: list[str]) -> None:
    if section == "PARAM":
        conf.paths[attributes["NAME"], words[0]] = words[1]
    elif section == "POWER_MODEL":
        value = str(int(words[2])) if words[0] in conf.clocks else words[2]
        conf.models[int(attributes["ID"])].values[words[0], words[1]] = value


def current_mode(root: Path, conf: Conf) -> int:
    """The number in `pmode:0001`; the default before anything was set."""
    found = re.match(r"pmode:(\d+)", _status(machine_at(root)))
    return int(found.group(1)) if found else conf.default


def fan_mode(root: Path) -> str:
    """`quiet` of `pmode:0002 fmode:fan_mode_quiet`; "" where none was set."""
    found = re.search(r"fmode:fan_mode_(\w+)", _status(machine_at(root)))
    return found.group(1) if found else ""


def save_status(root: Path, number: int, fan: str) -> None:
    """The status file ends without a newline."""
    machine_at(root).save(STATUS, f"pmode:{number:04d}" + (f" fmode:fan_mode_{fan}" if fan else ""))


def _status(machine: Machine) -> str:
    try:
        return machine.read(STATUS)
    except OSError:
        return ""


def apply_mode(root: Path, conf: Conf, number: int) -> list[Failure]:
    """What happens at boot: the mode's values go to sysfs and its number to the status file.

    Files that are missing are passed over and returned. Raises KeyError for a mode that the conf has not.
    """
    failures = list(write_values(machine_at(root), conf, conf.models[number]))
    save_status(root, number, fan_mode(root))
    return failures


def write_values(machine: Machine, conf: Conf, model: PowerModel, *, only: str = "") -> Generator[Failure, None, None]:
    """Write the mode's values one after another and yield those that cannot be written.

    Whoever stops iterating at a failure leaves the rest unwritten. `only` is the beginning of parameter names.
    """
    try:
        for (parameter, argument), value in model.values.items():
            if parameter.startswith(only):
                yield from _write_value(machine, conf, parameter, argument, value)
    finally:
        _write_online(machine)


def _write_value(machine: Machine, conf: Conf, parameter: str, argument: str, value: str) -> Iterator[Failure]:
    """Yields at most one failure."""
    path = find_path(machine, conf, parameter, argument)
    try:
        machine.write_limit(path, _effective(machine, conf, parameter, argument, value))
    except OSError as error:
        yield Failure(parameter, argument, path, value, error.errno or 0)
        return
    if argument == "MAX_FREQ":
        _pull_minimum_down(machine, conf, parameter, path)


def find_path(machine: Machine, conf: Conf, parameter: str, argument: str) -> str:
    """The path of an argument on this kernel; "" for what the conf does not declare."""
    path = conf.paths.get((parameter, argument), "")
    newer = conf.paths.get((parameter, f"{argument}_KNEXT"), "")
    return newer if newer and (not path or not machine.exists(path)) else path


def _steps(machine: Machine, conf: Conf, parameter: str) -> list[int]:
    """The clock's table, ascending; empty where it has none."""
    try:
        words = machine.read(find_path(machine, conf, parameter, "FREQ_TABLE")).split()
        return sorted(int(word) for word in words)
    except (OSError, ValueError):
        return []


def _ends(machine: Machine, path: str) -> list[int]:
    """Lowest and highest clock of a cpufreq driver that lists no table."""
    directory = path.rpartition("/")[0]
    ends = [machine.number(f"{directory}/cpuinfo_{end}_freq") for end in ("min", "max")]
    return ends if all(ends) else []


def _effective(machine: Machine, conf: Conf, parameter: str, argument: str, value: str) -> str:
    """What sysfs shows after the value was written."""
    if parameter not in conf.clocks or argument not in ("MAX_FREQ", "MIN_FREQ"):
        return value
    wanted, steps = int(value), _steps(machine, conf, parameter)
    ends = steps or _ends(machine, find_path(machine, conf, parameter, argument))
    if not ends:
        return "0" if wanted in UNLIMITED else str(wanted)
    if wanted in UNLIMITED:
        return str(ends[-1])
    wanted = min(max(wanted, ends[0]), ends[-1])
    return str(next((step for step in steps if step >= wanted), wanted) if argument == "MAX_FREQ" else wanted)


def _pull_minimum_down(machine: Machine, conf: Conf, parameter: str, max_path: str) -> None:
    """The kernel keeps no minimum above a maximum, whatever the mode says of it."""
    min_path = find_path(machine, conf, parameter, "MIN_FREQ")
    top = machine.number(max_path)
    if min_path and machine.number(min_path) > top:
        machine.write(min_path, top)


def _write_online(machine: Machine) -> None:
    """The kernel's own lists of cores follow the cores' files; a core without such a file is always online."""
    flags = {
        int(path.name[3:]): machine.number(f"{_CPUS}/{path.name}/online", otherwise=1) == 1
        for path in machine.path(_CPUS).glob("cpu[0-9]*")
    }
    online = sorted(core for core, on in flags.items() if on)
    for name, cores in (("online", online), ("offline", sorted(set(flags) - set(online)))):
        if machine.exists(f"{_CPUS}/{name}"):
            machine.write(f"{_CPUS}/{name}", ranges(cores))
    for policy in machine.path(f"{_CPUS}/cpufreq").glob("policy[0-9]*"):
        related = [int(word) for word in (policy / "related_cpus").read_text().split()]
        affected = " ".join(str(core) for core in related if flags.get(core, True))
        machine.write(machine.board_path(policy / "affected_cpus"), affected)


def ranges(cores: list[int]) -> str:
    """The kernel's notation of a list: `0-3,6`."""
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def needs_reboot(machine: Machine, conf: Conf, model: PowerModel) -> bool:
    """Whether the mode changes a power gating mask or, where that wants a reboot, takes a core offline."""
    return any(
        _changes_mask(machine, conf, key, value) or _takes_core(machine, conf, key, value)
        for key, value in model.values.items()
    )


def _changes_mask(machine: Machine, conf: Conf, key: tuple[str, str], value: str) -> bool:
    path = find_path(machine, conf, *key)
    return key[1].endswith("PG_MASK") and path != "" and machine.exists(path) and machine.read(path) != value


def _takes_core(machine: Machine, conf: Conf, key: tuple[str, str], value: str) -> bool:
    if machine.soc in _LIVE_HOTPLUG or key[0] != "CPU_ONLINE" or value != "0":
        return False
    return machine.number(find_path(machine, conf, *key)) == 1
