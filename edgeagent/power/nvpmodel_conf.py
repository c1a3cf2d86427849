"""The text of an nvpmodel.conf -> PowerConf. Pure: text in, a conf with warnings or an error with every mistake out.

Whatever nvpmodel itself would skip is left out with a warning, so that files of future releases work. A mistake is
what would make us guess at a mode, a number or a path. The grammar is told in docs/power.md.

Source of the format: the description of the file in NVIDIA's public device skills (Apache-2.0) and public captures;
real files have `<PARAM` without a blank, doubled and trailing blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from edgeagent.power.mistake import shown
from edgeagent.power.modes import (
    NEXT_KERNEL,
    UNLIMITED,
    Parameter,
    PowerConf,
    PowerMode,
    Setting,
    TextSetting,
    is_clock_limit,
    is_core_switch,
    is_power_gating,
    watts_of,
)
from edgeagent.power.nvpmodel_lines import ConfMistakesError, Notes, Section, read_sections

__all__ = [
    "NEXT_KERNEL",
    "UNLIMITED",
    "ConfMistakesError",
    "Parameter",
    "PowerConf",
    "PowerMode",
    "Setting",
    "TextSetting",
    "is_clock_limit",
    "is_core_switch",
    "is_power_gating",
    "parse_nvpmodel_conf",
    "watts_of",
]

_MAX_ID = 2**31 - 1
_CLOCK_ARGUMENTS = frozenset(
    name + ending for name in ("FREQ_TABLE", "MAX_FREQ", "MIN_FREQ") for ending in ("", NEXT_KERNEL)
)
_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)


def parse_nvpmodel_conf(text: str) -> PowerConf:
    """The power modes that `text` declares. Raises ConfMistakesError, and nothing else, whatever the text is.

    Of a PARAM, an argument of it, a PM_CONFIG or a FAN_CONFIG that is given twice the first counts; of a mode's
    setting the last, because nvpmodel writes them one after another. Both are warned about.
    """
    notes = Notes()
    sections = read_sections(text, notes)
    parameters = _parameters(sections, notes)
    modes = tuple(_modes(sections, parameters, notes))
    default_id, fan_default = _default_id(sections, modes, notes), _fan_default(sections, notes)
    if notes.mistakes:
        raise ConfMistakesError([mistake for _, mistake in sorted(notes.mistakes, key=_line)])
    warnings = tuple(warning for _, warning in sorted(notes.warnings, key=_line))
    return PowerConf(tuple(parameters.values()), modes, default_id, fan_default, warnings)


def _line(note: tuple[int, object]) -> int:
    return note[0]


def _of_kind(sections: Sequence[Section], keyword: str) -> Iterator[tuple[Section, Mapping[str, str]]]:
    for section in sections:
        if section.keyword == keyword and section.attributes is not None:
            yield section, section.attributes


def _parameters(sections: Sequence[Section], notes: Notes) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for section, attributes in _of_kind(sections, "PARAM"):
        kind, name = attributes["TYPE"], attributes["NAME"]
        if kind not in ("FILE", "CLOCK"):
            notes.warn(section.line, f"the parameter {shown(name)} has the unknown type {shown(kind)} and is left out")
        elif name in parameters:
            notes.warn(section.line, f"the parameter {shown(name)} was declared before: this one is left out")
        else:
            parameters[name] = Parameter(kind, name, _paths(section, kind, notes))
    return parameters


def _paths(section: Section, kind: str, notes: Notes) -> dict[str, str]:
    paths: dict[str, str] = {}
    for number, words in section.rows:
        if len(words) == 1:
            notes.wrong(number, f"{shown(words[0])} has no path", "write ARGUMENT /PATH")
        elif fault := _path_fault(words[1]):
            notes.wrong(number, f"the path {shown(words[1])} {fault}", "give the whole path of a sysfs file")
        elif words[0] in paths:
            notes.warn(number, f"the argument {shown(words[0])} was given before: this one is left out")
        else:
            paths[words[0]] = words[1]
            _warn_of_path_line(number, words, kind, notes)
    return paths


def _path_fault(path: str) -> str:
    if not path.startswith("/"):
        return "is not absolute"
    return "climbs with .." if ".." in path.split("/") else ""


def _warn_of_path_line(number: int, words: Sequence[str], kind: str, notes: Notes) -> None:
    if kind == "CLOCK" and words[0] not in _CLOCK_ARGUMENTS:
        notes.warn(number, f"the argument {shown(words[0])} is not known for a clock")
    if len(words) > 2:
        notes.warn(number, f"{shown(' '.join(words[2:]))} behind the path is left out")


def _modes(sections: Sequence[Section], parameters: Mapping[str, Parameter], notes: Notes) -> Iterator[PowerMode]:
    owners: dict[str, int] = {}
    for section, attributes in _of_kind(sections, "POWER_MODEL"):
        number, name = _integer(attributes["ID"]), attributes["NAME"]
        settings, texts = _settings(section, parameters, notes)
        if number is None or not 0 <= number <= _MAX_ID:
            notes.wrong(section.line, f"the ID {shown(attributes['ID'])} is no whole number from 0", "number the mode")
            continue
        for what in (f"the ID {number}", f"the name {shown(name)}"):
            if (owner := owners.setdefault(what, section.line)) != section.line:
                notes.wrong(section.line, f"{what} belongs to the mode in line {owner}", "give each mode its own")
        yield PowerMode(number, name, settings, texts)


def _settings(
    section: Section, parameters: Mapping[str, Parameter], notes: Notes
) -> tuple[tuple[Setting, ...], tuple[TextSetting, ...]]:
    """A mode's numbers and its words; a later line for the same argument takes an earlier one's place."""
    found: dict[tuple[str, str], Setting | TextSetting] = {}
    for number, words in section.rows:
        if len(words) < 3:
            notes.wrong(number, f"{shown(' '.join(words))} has no value", "write PARAMETER ARGUMENT VALUE")
        elif setting := _setting(number, words, parameters, notes):
            key = setting.parameter, setting.argument
            if found.pop(key, None):
                notes.warn(number, f"{shown(' '.join(key))} was set before in this mode: this line counts")
            found[key] = setting
    settings = tuple(one for one in found.values() if isinstance(one, Setting))
    return settings, tuple(one for one in found.values() if isinstance(one, TextSetting))


def _setting(
    number: int, words: Sequence[str], parameters: Mapping[str, Parameter], notes: Notes
) -> Setting | TextSetting | None:
    """One line of a mode. None for one that is left out or wrong."""
    name, argument, text = words[:3]
    parameter = parameters.get(name)
    if parameter is None or not {argument, argument + NEXT_KERNEL} & parameter.paths.keys():
        what = f"the argument {shown(argument)} of {shown(name)}" if parameter else f"the parameter {shown(name)}"
        notes.warn_once(number, f"{what} is not declared: what modes set there is left out")
        return None
    if len(words) > 3:
        notes.warn(number, f"{shown(' '.join(words[3:]))} behind the value is left out")
    if (value := _integer(text)) is not None:
        return Setting(name, argument, value)
    if parameter.kind == "FILE":
        return TextSetting(name, argument, text)
    notes.wrong(
        number, f"the clock {shown(name)} wants a whole number, got {shown(text)}", "write it in the file's unit"
    )
    return None


def _integer(text: str) -> int | None:
    """A whole number that fits 64 bits, signed or not; None for any other text."""
    value = int(text) if _INTEGER.fullmatch(text) else None
    return value if value is not None and -(2**63) <= value < 2**64 else None


def _default_id(sections: Sequence[Section], modes: Sequence[PowerMode], notes: Notes) -> int:
    """The mode of the first boot. A mistake and -1 where the file does not name one that it has."""
    section, text = _first(sections, "PM_CONFIG", notes)
    default = _integer(text)
    if default is not None and default in {mode.id for mode in modes}:
        return default
    known = ", ".join(f"{mode.id} ({mode.name})" for mode in modes[:20]) or "none"
    if section:
        notes.wrong(section, f"the default mode {shown(text)} is not in the file", f"modes here: {known}")
    elif not modes:
        notes.wrong(0, "has no power mode", "put the release's own file back: the package nvidia-l4t-nvpmodel has it")
    elif not any(one.keyword == "PM_CONFIG" for one in sections):
        notes.wrong(0, "has no PM_CONFIG", f"add < PM_CONFIG DEFAULT=ID > with one of the modes {known}")
    return -1


def _fan_default(sections: Sequence[Section], notes: Notes) -> str:
    return _first(sections, "FAN_CONFIG", notes)[1]


def _first(sections: Sequence[Section], keyword: str, notes: Notes) -> tuple[int, str]:
    """Line and DEFAULT of the first section of this kind; (0, "") without one."""
    found = [(section.line, attributes["DEFAULT"]) for section, attributes in _of_kind(sections, keyword)]
    for line, _ in found[1:]:
        notes.warn(line, f"{keyword} was given in line {found[0][0]}: this one is left out")
    for section, _ in _of_kind(sections, keyword):
        for line, words in section.rows:
            notes.warn(line, f"{shown(' '.join(words))} does not belong below {keyword} and is left out")
    return found[0] if found else (0, "")
