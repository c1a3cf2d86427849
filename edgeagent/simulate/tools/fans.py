"""The fan's side of a board: nvfancontrol.conf, the profile in force, whether the service runs, the fan's own files.

R35 and later have the service nvfancontrol. It keeps the profile in force in /var/lib/nvfancontrol/status and starts
with that one again: a new FAN_DEFAULT_PROFILE counts only once that file is gone. A stopped service is the file
ROOT/run/nvfancontrol.stopped, which a reboot takes away. On R32 the fan is /sys/devices/pwm-fan, without a service.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeagent.simulate.tools.machine import Machine

CONF = "/etc/nvfancontrol.conf"
STATUS = "/var/lib/nvfancontrol/status"
STOPPED = "/run/nvfancontrol.stopped"
FULL_PWM = 255
_R32 = "/sys/devices/pwm-fan"
_DEFAULTS = {"PROFILE": "FAN_PROFILE", "GOVERNOR": "FAN_GOVERNOR", "CONTROL": "FAN_CONTROL"}


class FanConfError(Exception):
    """The conf cannot be read, or its default is none of its profiles."""


def conf_status(machine: Machine) -> str:
    """What the service notes when it starts afresh: for each fan its default profile, governor and control."""
    lines: list[str] = []
    for number, block in _fan_blocks(machine):
        for default, kind in _DEFAULTS.items():
            names = re.findall(rf"^\s*{kind}\s+(\S+)\s*\{{", block, re.MULTILINE)
            found = re.search(rf"^\s*FAN_DEFAULT_{default}\s+(\S+)", block, re.MULTILINE)
            if not found or found.group(1) not in names:
                raise FanConfError(f"FAN {number}: the default of {kind} is not declared")
            lines.append(f"FAN{number}:{kind}:{found.group(1)}")
    if not lines:
        raise FanConfError(f"{CONF} describes no fan")
    return "".join(f"{line}\n" for line in lines)


def _fan_blocks(machine: Machine) -> list[tuple[str, str]]:
    try:
        text = machine.read(CONF)
    except OSError as error:
        raise FanConfError(f"{CONF} cannot be read: {error.errno}") from error
    text = re.sub(r"#.*", "", text)
    pieces = re.split(r"<\s*FAN\s+(\d+)\s*>", text)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


def start_service(machine: Machine) -> None:
    """Start or restart nvfancontrol. Raises FanConfError where it would not come up."""
    fresh = conf_status(machine)
    if not _saved_status(machine):
        machine.save(STATUS, fresh)
    machine.path(STOPPED).unlink(missing_ok=True)


def stop_service(machine: Machine) -> None:
    machine.save(STOPPED, "")


def service_runs(machine: Machine) -> bool:
    return machine.exists(CONF) and not machine.exists(STOPPED)


def status(machine: Machine) -> str:
    """What `nvfancontrol -q` prints. Raises FanConfError."""
    return _saved_status(machine) or conf_status(machine)


def _saved_status(machine: Machine) -> str:
    try:
        text = machine.read(STATUS)
    except OSError:
        return ""
    return f"{text}\n" if text.startswith("FAN") else ""


def pwm_files(machine: Machine) -> list[str]:
    """Board paths that take the fan's PWM, 0 to 255."""
    if machine.exists(f"{_R32}/target_pwm"):
        return [f"{_R32}/target_pwm"]
    hwmons = sorted(machine.path("/sys/class/hwmon").glob("hwmon*"))
    return [f"/sys/class/hwmon/{path.name}/pwm1" for path in hwmons if _is_fan(path)]


def _is_fan(hwmon: Path) -> bool:
    return (hwmon / "pwm1").exists() and (hwmon / "name").read_text().strip() == "pwmfan"


def stored(machine: Machine) -> list[str]:
    """Lines of a jetson_clocks store: on R32 the fan's files, later only the state of the service."""
    paths = [f"{_R32}/target_pwm", f"{_R32}/temp_control"]
    return [f"{path}:{machine.read(path)}" for path in paths if machine.exists(path)]


def full_speed(machine: Machine) -> None:
    """`jetson_clocks --fan`: nobody controls the fan any more and it runs flat out."""
    if machine.exists(CONF):
        stop_service(machine)
    if machine.exists(f"{_R32}/temp_control"):
        machine.write(f"{_R32}/temp_control", 0)
    for path in pwm_files(machine):
        machine.write(path, FULL_PWM)
