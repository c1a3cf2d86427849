"""Stand-in for nvpmodel: shows and sets the power mode of a virtual board, and refuses what the real one refuses.

`nvpmodel.py ROOT -q | -p | -m ID | -f FILE | -d FAN`, each with `--verbose`; `-m` also with `--force`. As on a device:

* setting the mode that is set does nothing; any other writes what the conf lists, which undoes clock locks;
* a mode with another power gating mask, or (Orin and Thor) with fewer cores, wants a reboot and asks on stdin, where
  end of file is a refusal with status 234. After a "yes", and with `--force`, the status file is written and the
  reboot begins: sysfs stays as it is until `reboot_board` has run;
* in a container it says so, writes the status file, touches no sysfs and calls that a success;
* `-q` and `-p` need no root, but a cap that only root may read costs two lines on stderr (R32, R35);
* on R32 a line about the fan comes before the answer of `-q`, and `-d` sets the fan's mode.

Sources: public captures of R32 to R39. Guesses: the text about an unknown mode, the stream of each line, and that
`-f FILE` alone sets the saved mode again (what the boot service calls).
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Iterable
from pathlib import Path

if not __package__:  # run as a program with -I, where nothing leads to the package that this file lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edgeagent.simulate.tools import misbehaviour, power_modes
from edgeagent.simulate.tools.machine import Machine, complain, machine_at, say
from edgeagent.simulate.tools.power_modes import (
    Conf,
    ConfError,
    Failure,
    PowerModel,
    apply_mode,
    current_mode,
    load_conf,
)

__all__ = ["apply_mode", "current_mode", "load_conf", "main"]

_BAD = 255
_REFUSED = 234
_ASK = "DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
_FAN_MODES = ("quiet", "cool")
_ROOT_ONLY = "/sys/kernel/nvpmodel_emc_cap/"


def set_mode(machine: Machine, conf: Conf, options: argparse.Namespace, words: frozenset[str]) -> int:
    """Carry out `-m`. Misbehaviour first, then the refusals in the order of the real tool."""
    if "lie" in words:
        return 0
    number = int(options.m)
    if number not in conf.models:
        return _unknown(number, options)
    model = conf.models[number]
    if not machine.caller_is_root():
        return _report(_denied(machine, conf, model), options)
    if machine.kind == "container" or "chroot" in words:
        return _ignore_request(machine, number)
    same = number == current_mode(machine.root, conf)
    if words & {"prompt", "wait-stdin"} or (not same and power_modes.needs_reboot(machine, conf, model)):
        return _reboot_into(machine, number, options, deaf="wait-stdin" in words)
    return 0 if same else _write(machine, conf, model, options, only="CPU" if "half" in words else "")


def set_again(machine: Machine, conf: Conf, options: argparse.Namespace) -> int:
    """`-f FILE` without a mode, as the service at boot: the saved mode, or the conf's default, is written again."""
    number = current_mode(machine.root, conf)
    if number not in conf.models:
        return _unknown(number, options)
    model = conf.models[number]
    if not machine.caller_is_root():
        return _report(_denied(machine, conf, model), options)
    if power_modes.needs_reboot(machine, conf, model):
        return _reboot_into(machine, number, options, deaf=False)
    return _write(machine, conf, model, options)


def _write(machine: Machine, conf: Conf, model: PowerModel, options: argparse.Namespace, *, only: str = "") -> int:
    failures = power_modes.write_values(machine, conf, model, only=only)
    if failed := next(failures, None):
        failures.close()
        return _report([failed], options)
    power_modes.save_status(machine.root, model.number, power_modes.fan_mode(machine.root))
    return 0


def _denied(machine: Machine, conf: Conf, model: PowerModel) -> list[Failure]:
    """What an ordinary user runs into: the first file of the mode cannot be opened for writing."""
    for (parameter, argument), value in model.values.items():
        path = power_modes.find_path(machine, conf, parameter, argument)
        return [Failure(parameter, argument, path, value, errno.EACCES)]
    return []


def _report(failures: Iterable[Failure], options: argparse.Namespace) -> int:
    for failed in failures:
        complain(f"NVPM ERROR: Error opening {failed.path}: {failed.error}")
        where = f"PARAM {failed.parameter}: ARG {failed.argument}: PATH: {failed.path}"
        complain(f"NVPM ERROR: failed to write {where} VAL: {failed.value}")
    return _give_up(options)


def _unknown(number: int, options: argparse.Namespace) -> int:
    complain(f"NVPM ERROR: power mode {number} is not in the configuration file")
    return _give_up(options)


def _give_up(options: argparse.Namespace) -> int:
    """The mask counts what was asked for: 1 for -m, 2 for -f."""
    mask = (options.m is not None) + 2 * (options.f is not None)
    complain("NVPM ERROR: failed to set power mode!")
    complain(f"NVPM ERROR: optMask is {mask}, no request for power mode")
    return _BAD


def _ignore_request(machine: Machine, number: int) -> int:
    say("Running in chroot, ignoring request.")
    power_modes.save_status(machine.root, number, power_modes.fan_mode(machine.root))
    return 0


def _reboot_into(machine: Machine, number: int, options: argparse.Namespace, *, deaf: bool) -> int:
    if machine.soc != "tegra264":
        say("NVPM WARN: Golden image context is already created")
    if options.force:
        say("Automatically rebooting to reflect the mode change")
    elif refused := _ask(number, deaf=deaf):
        return refused
    power_modes.save_status(machine.root, number, power_modes.fan_mode(machine.root))
    say("NVPM WARN: rebooting" + (".." if options.force else ""))
    machine.ask_for_reboot()
    return 0


def _ask(number: int, *, deaf: bool) -> int:
    """0 for a yes. Whoever is `deaf` reads on until the end of stdin, whatever is answered."""
    say(f"NVPM WARN: Reboot required for changing to this power mode: {number}")
    say(f"NVPM WARN: {_ASK}")
    answer = sys.stdin.readline()
    while deaf and answer:
        answer = sys.stdin.readline()
    if answer.strip() in ("YES", "yes"):
        return 0
    if not answer:
        say("NVPM ERROR: bad input!")
    say("NVPM ERROR: optMask is 1, no request for power mode")
    return _REFUSED


def set_fan_mode(machine: Machine, conf: Conf, fan: str) -> int:
    """`-d`, R32 only: the mode is noted in the status file. Nothing here turns the fan."""
    if machine.release != "R32" or fan not in _FAN_MODES or not machine.caller_is_root():
        complain(f"NVPM ERROR: failed to set fan mode {fan}")
        return _BAD
    power_modes.save_status(machine.root, current_mode(machine.root, conf), fan)
    return 0


def show(machine: Machine, conf: Conf, *, verbose: bool) -> int:
    """Two lines, name then number, on R32 after one about the fan; with `verbose` every value of the mode."""
    number = current_mode(machine.root, conf)
    if number not in conf.models:
        complain(f"NVPM ERROR: power mode {number} is not in the configuration file")
        return _BAD
    if machine.release == "R32":
        say(_fan_line(machine, conf))
    say(f"{'NVPM VERB: Current mode: ' if verbose else ''}NV Power Mode: {conf.models[number].name}\n{number}")
    for key, value in conf.models[number].values.items():
        _show_value(machine, conf, key, value, verbose=verbose)
    return 0


def _fan_line(machine: Machine, conf: Conf) -> str:
    if fan := power_modes.fan_mode(machine.root):
        return f"NV Fan Mode:{fan}"
    return f"NVPM WARN: fan mode is not set{f' to {conf.fan_default}' if conf.fan_default else '!'}"


def _show_value(machine: Machine, conf: Conf, key: tuple[str, str], value: str, *, verbose: bool) -> None:
    """What cannot be read is reported, asked for or not."""
    path = power_modes.find_path(machine, conf, *key)
    where = f"PARAM {key[0]}: ARG {key[1]}: PATH {path}"
    try:
        if path.startswith(_ROOT_ONLY) and not machine.caller_is_root():
            raise PermissionError(errno.EACCES, "closed to this user")
        real = machine.read(path)
    except OSError as error:
        complain(f"NVPM ERROR: Error opening {path}: {error.errno}")
        complain(f"NVPM ERROR: failed to read {where}")
        return
    if verbose:
        top = power_modes.UNLIMITED[2 if machine.release_at_least(36) else 1]
        clock = key[0] in conf.clocks
        say(f"NVPM VERB: {where}: REAL_VAL: {real} CONF_VAL: {top if clock and value == '-1' else value}")


def show_all(conf: Conf) -> int:
    default = conf.models[conf.default]
    say(f"NVPM VERB: PM_CONFIG: DEFAULT={default.name}({default.number})")
    for model in conf.models.values():
        say(f"NVPM VERB: POWER_MODEL: ID={model.number} NAME={model.name}")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("nvpmodel", allow_abbrev=False)
    parser.add_argument("root", type=Path)
    parser.add_argument("-q", action="store_true", help="show the current mode")
    parser.add_argument("-p", action="store_true", help="show all modes")
    parser.add_argument("-m", type=int, metavar="ID", help="set a mode")
    parser.add_argument("-f", metavar="FILE", help="use this configuration file")
    parser.add_argument("-d", metavar="FAN", help="set the fan's mode (R32)")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--force", action="store_true", help="reboot without asking where a mode needs it")
    return parser.parse_args(arguments)


def _run(machine: Machine, options: argparse.Namespace, words: frozenset[str]) -> int:
    path = options.f or power_modes.CONF
    conf = load_conf(machine.root, path)
    if options.verbose:
        say(f"NVPM VERB: Config file: {path}\nNVPM VERB: parsing done for {path}")
    if options.f and machine.caller_is_root():
        machine.save("/var/lib/nvpmodel/conf_file_path", options.f)
    if options.m is not None:
        return set_mode(machine, conf, options, words)
    if options.d is not None:
        return set_fan_mode(machine, conf, options.d)
    if options.p:
        return show_all(conf)
    if options.f and not options.q:
        return set_again(machine, conf, options)
    return show(machine, conf, verbose=options.verbose)


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    words, over = misbehaviour.begin("nvpmodel", options.root)
    if over is not None:
        return over
    try:
        return _run(machine_at(options.root), options, words)
    except ConfError as error:
        complain(f"NVPM ERROR: {error}")
        return _BAD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
