"""Stand-in for systemctl: the three things that a board's tools and the power helper ask of it.

`systemctl.py ROOT is-active UNIT`, `restart UNIT`, `reboot`, for the units nvfancontrol, nvpmodel and nvargus-daemon,
of which a restart is noted in the board's run directory and nothing else. The service nvpmodel is a oneshot that does
not stay: it is inactive once it has run, and restarting it sets the saved mode again, which undoes clock locks.
Everything else fails with the words of systemd 249. In a container there is no systemd.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # run as a program with -I, where nothing leads to the package that this file lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edgeagent.simulate.tools import fans, misbehaviour, power_modes
from edgeagent.simulate.tools.machine import Machine, complain, machine_at, say

_INACTIVE = 3
_NOT_FOUND = 5
_NO_SYSTEMD = (
    "System has not been booted with systemd as init system (PID 1). Can't operate.",
    "Failed to connect to bus: Host is down",
)


class _UnitFailedError(Exception):
    """The unit's program ended with an error."""


def is_active(machine: Machine, unit: str) -> int:
    active = unit == "nvfancontrol" and fans.service_runs(machine)
    say("active" if active else "inactive")
    return 0 if active else _INACTIVE


def restart(machine: Machine, unit: str) -> int:
    if not machine.caller_is_root():
        complain(f"Failed to restart {unit}.service: Interactive authentication required.")
        complain(f"See system logs and 'systemctl status {unit}.service' for details.")
        return 1
    if unit not in _units(machine):
        complain(f"Failed to restart {unit}.service: Unit {unit}.service not found.")
        return _NOT_FOUND
    try:
        _START[unit](machine)
    except (fans.FanConfError, power_modes.ConfError, _UnitFailedError):
        complain(f"Job for {unit}.service failed because the control process exited with error code.")
        complain(f'See "systemctl status {unit}.service" and "journalctl -xeu {unit}.service" for details.')
        return 1
    return 0


def _units(machine: Machine) -> list[str]:
    confs = {"nvfancontrol": fans.CONF, "nvpmodel": power_modes.CONF, "nvargus-daemon": power_modes.CONF}
    return [unit for unit, conf in confs.items() if machine.exists(conf)]


def _set_mode_again(machine: Machine) -> None:
    """The service has nobody to answer a question: a mode that wants a reboot is a failure."""
    conf = power_modes.load_conf(machine.root)
    model = conf.models.get(power_modes.current_mode(machine.root, conf))
    if model is None or power_modes.needs_reboot(machine, conf, model):
        raise _UnitFailedError
    power_modes.apply_mode(machine.root, conf, model.number)


def _note_argus(machine: Machine) -> None:
    with (machine.root / "run" / "virtual-argus").open("a") as file:
        file.write("restarted\n")


_START = {"nvfancontrol": fans.start_service, "nvpmodel": _set_mode_again, "nvargus-daemon": _note_argus}


def reboot(machine: Machine) -> int:
    if not machine.caller_is_root():
        complain("Failed to set wall message, ignoring: Interactive authentication required.")
        complain("Failed to reboot system via logind: Interactive authentication required.")
        return 1
    machine.ask_for_reboot()
    return 0


def main(arguments: list[str]) -> int:
    root, words = Path(arguments[0]), arguments[1:]
    misbehaves, over = misbehaviour.begin("systemctl", root)
    if over is not None:
        return over
    if "lie" in misbehaves:
        return 0
    return _run(machine_at(root), words)


def _run(machine: Machine, words: list[str]) -> int:
    if machine.kind == "container":
        for line in _NO_SYSTEMD:
            complain(line)
        return 1
    unit = words[1].removesuffix(".service") if len(words) == 2 else ""
    if words[:1] == ["is-active"] and unit:
        return is_active(machine, unit)
    if words[:1] == ["restart"] and unit:
        return restart(machine, unit)
    if words == ["reboot"]:
        return reboot(machine)
    complain(f"Unknown command verb {words[0]}." if words else "Too few arguments.")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
