"""The text of an nvpmodel.conf, cut into sections. Pure: it looks at the shape; `nvpmodel_conf` at the meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from edgeagent.power.mistake import Mistake, MistakesError, shown

MAX_SIZE = 1024 * 1024
MAX_LINES = 20_000
MAX_LINE_LENGTH = 4096
_REINSTALL = "put back the file that the Jetson Linux release installed"
_WANTED: Mapping[str, tuple[str, ...]] = {
    "PARAM": ("TYPE", "NAME"),
    "POWER_MODEL": ("ID", "NAME"),
    "PM_CONFIG": ("DEFAULT",),
    "FAN_CONFIG": ("DEFAULT",),
}
_UNDECODED = "\ufffd"  # what a decoder leaves in the place of bytes that are no UTF-8
_HEADING = re.compile(r"< ?([^<>= ]+)( [^<>]*)?>(.*)")


class ConfMistakesError(MistakesError):
    """An nvpmodel.conf that cannot be trusted: every mistake with its line."""

    code: ClassVar[str] = "power-conf"

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("nvpmodel.conf", mistakes)


@dataclass
class Section:
    """A heading and the lines below it, each as its words. `attributes` is None for a heading that is wrong."""

    line: int
    keyword: str
    attributes: Mapping[str, str] | None
    rows: list[tuple[int, list[str]]] = field(default_factory=list)


@dataclass
class Notes:
    """What was found on the way, by line; line 0 is the file as a whole."""

    mistakes: list[tuple[int, Mistake]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def wrong(self, line: int, message: str, mend: str) -> None:
        self.mistakes.append((line, Mistake(f"line {line}" if line else "", message, mend)))

    def warn(self, line: int, message: str) -> None:
        self.warnings.append((line, f"line {line}: {message}"))

    def warn_once(self, line: int, message: str) -> None:
        """Warn at the first line only of what many lines have in common."""
        if message not in self._told:
            self._told.add(message)
            self.warn(line, message)


def _contents(text: str, notes: Notes) -> Iterator[tuple[int, str]]:
    """Each line that says something, with its number, without its comment, blanks made single."""
    lines = text.removeprefix("\ufeff").split("\n")
    if fault := _no_text_file(text, lines):
        raise ConfMistakesError([fault])
    for number, raw in enumerate(lines, start=1):
        content = raw.rstrip("\r").partition("#")[0].replace("\t", " ")
        if len(raw) > MAX_LINE_LENGTH:
            notes.wrong(number, f"is longer than {MAX_LINE_LENGTH} characters", "no line of this format needs that")
        elif not content.isprintable() or _UNDECODED in content:
            notes.wrong(number, f"holds characters that are no text: {shown(content)}", _REINSTALL)
        elif words := content.split():
            yield number, " ".join(words)


def _no_text_file(text: str, lines: Sequence[str]) -> Mistake | None:
    if len(text) > MAX_SIZE:
        return Mistake("", f"is larger than {MAX_SIZE} characters", "a real one has some tens of thousands")
    if "\0" in text:
        return Mistake(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}", "holds a NUL byte", _REINSTALL)
    if len(lines) > MAX_LINES:
        return Mistake(f"line {MAX_LINES + 1}", f"is more than {MAX_LINES} lines", "a real one has some hundreds")
    return None


def read_sections(text: str, notes: Notes) -> list[Section]:
    """All sections in order. Raises ConfMistakesError at once for what is no text file of a sane size."""
    sections: list[Section] = []
    for number, content in _contents(text, notes):
        if content.startswith("<"):
            sections.append(_heading(number, content, notes))
        elif sections:
            sections[-1].rows.append((number, content.split()))
        else:
            notes.warn(number, f"{shown(content)} stands outside any section")
    return sections


def _heading(number: int, content: str, notes: Notes) -> Section:
    found = _HEADING.fullmatch(content)
    if not found:
        notes.wrong(number, f"{shown(content)} is no heading", "write < KEYWORD NAME=VALUE ... >")
        return Section(number, "", None)
    keyword, rest, behind = found.group(1), found.group(2) or "", found.group(3).strip()
    if behind:
        notes.warn(number, f"{shown(behind)} behind the heading is left out")
    if keyword not in _WANTED:
        notes.warn(number, f"the section {shown(keyword)} is not known and is left out")
        return Section(number, keyword, None)
    return Section(number, keyword, _attributes(number, keyword, rest, notes))


def _attributes(number: int, keyword: str, text: str, notes: Notes) -> dict[str, str] | None:
    """What a heading says. None when it does not say enough, or says it twice."""
    pairs = [word.partition("=")[::2] for word in text.replace(" =", "=").replace("= ", "=").split()]
    attributes = dict(pairs)
    form = f"write < {keyword} {' '.join(f'{name}=...' for name in _WANTED[keyword])} >"
    missing = [name for name in _WANTED[keyword] if not attributes.get(name)]
    twice = [name for name in _WANTED[keyword] if sum(name == key for key, _ in pairs) > 1]
    for name in missing:
        notes.wrong(number, f"{keyword} has no {name}", form)
    for name in twice:
        notes.wrong(number, f"{keyword} has more than one {name}", form)
    for name in sorted(attributes.keys() - _WANTED[keyword]):
        notes.warn(number, f"{shown(name)} of {keyword} is not known and is left out")
    return None if missing or twice else attributes
