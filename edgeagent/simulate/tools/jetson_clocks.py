"""Stand-in for jetson_clocks: locks the clocks of a virtual board, stores and restores them, shows them.

`jetson_clocks.py ROOT [--show] [--fan] [--store [FILE]] [--restore [FILE]]`. Without options it locks every clock at
what the power mode allows. Like the real script it wants root for everything but `--help`, prints the headline of
`--show` before it finds out who runs it, prints its usage for an unknown option and calls that a success, asks before
it overwrites a store, and complains about what it cannot write without failing: in a container, where sysfs is
read-only, it changes nothing and exits with status 0. FILE is a path of the caller's machine; the default lies in the
board's /root. What it prints where: `clock_report`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run as a program with -I, where nothing leads to the package that this file lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edgeagent.simulate.tools import clock_report, clocks, fans, misbehaviour
from edgeagent.simulate.tools.machine import Machine, complain, machine_at, say

_STORE = "/root/.jetsonclocks_conf.txt"
_FAN_STATUS = "/root/.jetsonclocks_fan.txt"
_PROGRAM = "/usr/bin/jetson_clocks"
_NOT_ROOT = f"Error: Run this script({_PROGRAM}) as a root user"
_USAGE = "usage: jetson_clocks [--help] [--show] [--fan] [--store [file]] [--restore [file]]"


@dataclass
class _Request:
    """What the arguments ask for; `file` is None for the default store."""

    action: str = "lock"
    fan: bool = False
    file: Path | None = None
    unknown: str = ""


def _parse(arguments: list[str]) -> _Request:
    """An argument after --store or --restore is its file, whatever it looks like."""
    request = _Request()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("--store", "--restore"):
            request.action = word[2:]
            request.file = Path(rest.pop(0)) if rest else None
        elif word == "--show":
            request.action = "show"
        elif word == "--fan":
            request.fan = True
        else:
            request.unknown = word
            break
    return request


def _usage(word: str) -> int:
    if word not in ("-h", "--help"):
        say(f"Unknown option: {word}")
    complain(_USAGE)
    return 0


def _store(machine: Machine, file: Path, name: str, *, ask: bool) -> int:
    if file.exists() or ask:
        say(f"File {name} already exists. Can I overwrite it? Y/N:")
        if sys.stdin.readline().strip() not in ("y", "Y"):
            say(f"Error: file {name} already exists!")
            return 1
    lines = clocks.stored(machine) + fans.stored(machine)
    if machine.release_at_least(35):
        say(f"Storing system configuration in {name}")
        state = "active" if fans.service_runs(machine) else "inactive"
        machine.save(_FAN_STATUS, f"{state}\n")
        lines.append(f"{_FAN_STATUS}:{state}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))
    return 0


def _restore(machine: Machine, file: Path, name: str) -> int:
    if not file.exists():
        say(f"Error: {name} file not found !")
        return 1
    if machine.release_at_least(35):
        say(f"Restoring system configuration from {name}")
    for path in clocks.restore(machine, file):
        say(f"Error: Failed to restore {path}")
    _restore_fan(machine)
    return 0


def _restore_fan(machine: Machine) -> None:
    """The service goes back to what it was when the clocks were stored."""
    if not machine.exists(_FAN_STATUS):
        return
    if machine.read(_FAN_STATUS) == "active":
        fans.start_service(machine)
    elif machine.exists(fans.CONF):
        fans.stop_service(machine)


def _lock(machine: Machine, request: _Request, words: frozenset[str]) -> int:
    if machine.kind == "container":
        return _read_only(machine)
    errors = clocks.lock(machine, cpu_only="half" in words)
    for error in errors:
        say(error)
    if errors:
        return 1
    if request.fan:
        fans.full_speed(machine)
    if machine.soc == "tegra264":
        say("Enabled Legacy persistence mode for GPU 00000000:01:00.0.\nAll done.")
    return 0


def _read_only(machine: Machine) -> int:
    for gpu in clocks.gpus(machine):
        complain(f"{_PROGRAM}: {gpu}/min_freq: Read-only file system")
        say("Error: Failed to max GPU frequency!")
    return 0


def _show(machine: Machine) -> int:
    for line in clock_report.show(machine):
        say(line)
    return 0


def main(arguments: list[str]) -> int:
    root, request = Path(arguments[0]), _parse(arguments[1:])
    words, over = misbehaviour.begin("jetson_clocks", root)
    if over is not None:
        return over
    if request.unknown:
        return _usage(request.unknown)
    machine = machine_at(root)
    if request.action == "show":
        say(clock_report.headline(machine))
    if not machine.caller_is_root():
        say(_NOT_ROOT)
        return 1
    return _run(machine, request, words)


def _run(machine: Machine, request: _Request, words: frozenset[str]) -> int:
    if request.action == "show":
        return _show(machine)
    if "lie" in words:
        return 0
    if request.action == "lock":
        return _lock(machine, request, words)
    file = request.file or machine.path(_STORE)
    name = str(request.file or _STORE)
    if request.action == "store":
        return _store(machine, file, name, ask="prompt" in words)
    return _restore(machine, file, name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
