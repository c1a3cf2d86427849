"""Stand-in for nvpmodel: shows and sets the power mode of a virtual board, and refuses what the real one refuses.

`nvpmodel.py ROOT -q | -p | -m ID`, each with `--verbose`; `-m` also with `--force`. It reads ROOT/etc/nvpmodel.conf,
writes the sysfs files that the file names, and keeps the mode in ROOT/var/lib/nvpmodel/status. As on a device:
setting the mode that is set does nothing; a mode with another core or TPC mask wants a reboot and asks on stdin,
where end of file is a refusal with status 234. There is no reboot here: after a "yes" the mode is in force at once
and ROOT/run/virtual-reboot exists. Texts of the refusals of an unknown mode and of an ordinary user are guesses.

Formats: public captures of nvpmodel's output on R36.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

_UNLIMITED = "-1"
_ASK = "DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
_HEADING = re.compile(r"<\s*(\w+)\s+(.*?)\s*>")


@dataclass
class PowerModel:
    """One mode: its values by (parameter, argument)."""

    number: int
    name: str
    values: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class Conf:
    """nvpmodel.conf: paths by (parameter, argument), the modes, and the number of the default one."""

    paths: dict[tuple[str, str], str] = field(default_factory=dict)
    models: dict[int, PowerModel] = field(default_factory=dict)
    default: int = 0


def load_conf(root: Path) -> Conf:
    conf = Conf()
    section, attributes = "", dict[str, str]()
    for raw in (root / "etc/nvpmodel.conf").read_text().splitlines():
        line = raw.partition("#")[0].strip()
        if heading := _HEADING.fullmatch(line):
            section = heading.group(1)
            attributes = dict(word.split("=", 1) for word in heading.group(2).split())
            _open_section(conf, section, attributes)
        elif line:
            _add_line(conf, section, attributes, line.split())
    return conf


def _open_section(conf: Conf, section: str, attributes: dict[str, str]) -> None:
    if section == "POWER_MODEL":
        number = int(attributes["ID"])
        conf.models[number] = PowerModel(number, attributes["NAME"])
    elif section == "PM_CONFIG":
        conf.default = int(attributes["DEFAULT"])


def _add_line(conf: Conf, section: str, attributes: dict[str, str], words: list[str]) -> None:
    if section == "PARAM":
        conf.paths[attributes["NAME"], words[0]] = words[1]
    elif section == "POWER_MODEL":
        conf.models[int(attributes["ID"])].values[words[0], words[1]] = words[2]


def current_mode(root: Path, conf: Conf) -> int:
    """The number in `pmode:0001`; the default before anything was set."""
    try:
        found = re.match(r"pmode:(\d+)", (root / "var/lib/nvpmodel/status").read_text())
    except OSError:
        found = None
    return int(found.group(1)) if found else conf.default


def apply_mode(root: Path, conf: Conf, number: int) -> None:
    """Write the mode's values to sysfs and its number to the status file, which ends without a newline."""
    for (parameter, argument), value in conf.models[number].values.items():
        path = root / conf.paths[parameter, argument].lstrip("/")
        if argument == "MAX_FREQ" and value == _UNLIMITED:
            value = _table(root, conf, parameter)[-1]  # noqa: PLW2901 - the table's top is what -1 means
        elif argument == "MIN_FREQ" and (parameter, "FREQ_TABLE") in conf.paths:
            value = str(max(int(value), int(_table(root, conf, parameter)[0])))  # noqa: PLW2901 - no clock below it
        path.write_text(f"{value}\n")
    _write_online(root)
    (root / "var/lib/nvpmodel/status").write_text(f"pmode:{number:04d}")


def _table(root: Path, conf: Conf, parameter: str) -> list[str]:
    return (root / conf.paths[parameter, "FREQ_TABLE"].lstrip("/")).read_text().split()


def _write_online(root: Path) -> None:
    """Only whole tails of cores go offline on these boards, so the kernel's list is one range."""
    cpus = root / "sys/devices/system/cpu"
    flags = [path for path in cpus.glob("cpu[0-9]*/online") if path.read_text().strip() == "1"]
    (cpus / "online").write_text(f"0-{len(flags) - 1}\n" if len(flags) > 1 else "0\n")


def needs_reboot(root: Path, conf: Conf, number: int) -> bool:
    """Whether the mode changes the TPC mask or takes cores on- or offline."""
    values = conf.models[number].values
    masked = {key: value for key, value in values.items() if key[0] in ("TPC_POWER_GATING", "CPU_ONLINE")}
    return any((root / conf.paths[key].lstrip("/")).read_text().strip() != value for key, value in masked.items())


def set_mode(root: Path, conf: Conf, number: int, *, force: bool) -> int:
    if number not in conf.models:
        return _fail(f"power model {number} is not in the configuration file")
    if root.stat().st_uid != os.geteuid():
        return _fail("no permission: run as root (the owner of the virtual board's files)")
    if number == current_mode(root, conf):
        return 0
    if needs_reboot(root, conf, number) and (refused := _confirm_reboot(root, number, force=force)):
        return refused
    apply_mode(root, conf, number)
    return 0


def _confirm_reboot(root: Path, number: int, *, force: bool) -> int:
    """0 when the reboot is agreed to."""
    _say("NVPM WARN: Golden image context is already created")
    if force:
        _say("Automatically rebooting to reflect the mode change")
    else:
        _say(f"NVPM WARN: Reboot required for changing to this power mode: {number}")
        _say(f"NVPM WARN: {_ASK}")
        answer = sys.stdin.readline()
        if answer.strip() not in ("YES", "yes"):
            return _decline(answer)
    _say("NVPM WARN: rebooting")
    (root / "run/virtual-reboot").touch()
    return 0


def _decline(answer: str) -> int:
    if not answer:
        _say("NVPM ERROR: bad input!")
    _say("NVPM ERROR: optMask is 1, no request for power mode")
    return 234


def show(root: Path, conf: Conf, *, verbose: bool) -> int:
    """Two lines, name then number; with `verbose` the modes there are."""
    number = current_mode(root, conf)
    lead = "NVPM VERB: Current mode: " if verbose else ""
    _say(f"{lead}NV Power Mode: {conf.models[number].name}\n{number}")
    return 0


def show_all(conf: Conf) -> int:
    _say(f"NVPM VERB: PM_CONFIG: DEFAULT={conf.models[conf.default].name}({conf.default})")
    for model in conf.models.values():
        _say(f"NVPM VERB: POWER_MODEL: ID={model.number} NAME={model.name}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fail(text: str) -> int:
    sys.stderr.write(f"NVPM ERROR: {text}\n")
    return 255


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("nvpmodel", allow_abbrev=False)
    parser.add_argument("root", type=Path)
    parser.add_argument("-q", action="store_true", help="show the current mode")
    parser.add_argument("-p", action="store_true", help="show all modes")
    parser.add_argument("-m", type=int, metavar="ID", help="set a mode")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--force", action="store_true")
    options = parser.parse_args(arguments)
    conf = load_conf(options.root)
    if options.m is not None:
        return set_mode(options.root, conf, options.m, force=options.force)
    return show_all(conf) if options.p else show(options.root, conf, verbose=options.verbose)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
