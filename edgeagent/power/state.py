"""What the board's power files say now: which mode is noted, which clocks and masks are in force. Thin: reads only.

`nvpmodel -q` repeats what nvpmodel once wrote to its status file, whether or not the hardware followed. So the noted
mode and the values in force are read separately, and `verify` compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.board.files import list_names, read_bytes
from edgeagent.board.parse import parse_int, parse_text
from edgeagent.power.nvpmodel_conf import PowerConf, parse_nvpmodel_conf

CONF = "/etc/nvpmodel.conf"
STATUS = "/var/lib/nvpmodel/status"
FAN_CONF = "/etc/nvfancontrol.conf"
FAN_STATUS = "/var/lib/nvfancontrol/status"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_CONF_LIMIT = 1 << 20
_TABLE_LIMIT = 8192
_SLOWS_DOWN = re.compile(r"(thermal-)?(cpufreq|devfreq)-")
_PROFILE = re.compile(rb"^\s*FAN_PROFILE\s+(\S+)\s*\{", re.MULTILINE)
_NOTED_PROFILE = re.compile(rb"FAN_PROFILE[:=\s]\s*([\w.-]+)")  # outweighs the conf's default
_DEFAULT_PROFILE = re.compile(rb"^\s*FAN_DEFAULT_PROFILE\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class PowerState:
    """One look. `mode_id` is what nvpmodel noted, None when it never did.

    `values` holds the number in every file that the board's nvpmodel.conf names, by the file's absolute path on the
    board; a file that is missing or unreadable has no entry. `tables` holds the frequency tables in the same way.
    `slowed` names the cooling devices that hold a clock down now. `fan_profiles` are those that nvfancontrol knows;
    `fan_noted`: it has noted itself which it uses, else `fan_profile` is the default of its file.
    """

    boot_id: str = ""
    mode_id: int | None = None
    values: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    slowed: tuple[str, ...] = ()
    fan_profile: str = ""
    fan_profiles: tuple[str, ...] = ()
    fan_noted: bool = True


def read_power_conf(root: Path) -> PowerConf | None:
    """The board's own table of power modes; None where it has none. Raises ConfMistakesError for a broken one."""
    raw = read_bytes(_under(root, CONF), _CONF_LIMIT + 1)
    return parse_nvpmodel_conf(raw.decode("utf-8", "replace")) if raw else None


def read_power_state(root: Path, conf: PowerConf) -> PowerState:
    """What is in force under `root`. Never raises; some dozens of small files, a few milliseconds."""
    paths = {path for parameter in conf.parameters for argument, path in parameter.paths.items() if _is_value(argument)}
    tables = {
        path for parameter in conf.parameters for argument, path in parameter.paths.items() if _is_table(argument)
    }
    fan_conf, fan_status = read_bytes(_under(root, FAN_CONF)), read_bytes(_under(root, FAN_STATUS), 4096)
    return PowerState(
        boot_id=read_boot_id(root),
        mode_id=noted_mode(root),
        values={path: value for path in sorted(paths) if (value := _number(root, path)) is not None},
        tables={path: table for path in sorted(tables) if (table := _table(root, path))},
        slowed=_slowed(root),
        fan_profile=_first_word(_NOTED_PROFILE, fan_status) or _first_word(_DEFAULT_PROFILE, fan_conf),
        fan_noted=bool(_first_word(_NOTED_PROFILE, fan_status)),
        fan_profiles=tuple(name.decode("utf-8", "replace") for name in _PROFILE.findall(fan_conf)),
    )


def read_boot_id(root: Path) -> str:
    """A text that differs from boot to boot."""
    return parse_text(read_bytes(_under(root, BOOT_ID), 64))


def noted_mode(root: Path) -> int | None:
    """The id of the mode that nvpmodel has noted; None where it never did."""
    return _noted_mode(read_bytes(_under(root, STATUS), 256))


def _under(root: Path, path: str) -> str:
    return f"{str(root).rstrip('/')}{path}"


def _is_table(argument: str) -> bool:
    return argument.startswith("FREQ_TABLE")


def _is_value(argument: str) -> bool:
    return not _is_table(argument)


def _number(root: Path, path: str) -> int | None:
    return parse_int(read_bytes(_under(root, path), 64))


def _table(root: Path, path: str) -> tuple[int, ...]:
    words = read_bytes(_under(root, path), _TABLE_LIMIT).split()
    return tuple(sorted(int(word) for word in words if word.isdigit() and len(word) < 20))


def _noted_mode(raw: bytes) -> int | None:
    """`pmode:0002`, without a newline; older releases add ` fmode:<fan mode>`."""
    found = re.match(rb"pmode:(\d{1,4})\b", raw)
    return int(found.group(1)) if found else None


def _slowed(root: Path) -> tuple[str, ...]:
    """Cooling devices that lower a clock at this moment: a cap below the mode's is then no fault."""
    thermal = _under(root, "/sys/class/thermal")
    names = []
    for device in list_names(thermal):
        if device.startswith("cooling_device"):
            kind = parse_text(read_bytes(f"{thermal}/{device}/type", 64))
            if _SLOWS_DOWN.match(kind) and parse_int(read_bytes(f"{thermal}/{device}/cur_state", 32)):
                names.append(kind)
    return tuple(sorted(names))


def _first_word(pattern: re.Pattern[bytes], raw: bytes) -> str:
    found = pattern.search(raw)
    return found.group(1).decode("utf-8", "replace") if found else ""
