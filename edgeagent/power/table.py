"""A TOML table asked for its keys, one after another; what is wrong is noted, and all of it told at the end. Pure.

Each question gives a value of the wanted type, and the default for a key that is missing or wrong. So a reader of
tables has no branches for errors: it builds its value, then looks whether `mistakes` is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from edgeagent.power.mistake import Mistake, shown

MAX_TEXT = 300
MAX_LIST = 64


@dataclass
class Table:
    """`path` is the table's dotted key, "" for the document. `mistakes` is shared by all tables of one document."""

    data: Mapping[str, object]
    path: str = ""
    mistakes: list[Mistake] = field(default_factory=list)

    def wrong(self, key: str, message: str, mend: str) -> None:
        place = f"{self.path}.{key}" if self.path and key else self.path or key
        self.mistakes.append(Mistake(place, message, mend))

    def only(self, known: Sequence[str]) -> None:
        """Every key is one of `known`."""
        for key in self.data:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                mend = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
                self.wrong(_key(key), "unknown key", mend)

    def require(self, key: str, example: str) -> None:
        if key not in self.data:
            self.wrong(key, "is missing", f"add {key} = {example}")

    def text(self, key: str, example: str, pattern: str = r"[^\n]*", default: str = "") -> str:
        """One line that matches `pattern` as a whole."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, str) and _is_text(value, pattern):
            return value
        self.wrong(key, f"wants {_words(example)}, got {_kind(value)}", f'for example {key} = "{example}"')
        return default

    def texts(self, key: str, example: str, pattern: str) -> tuple[str, ...]:
        """A list of different texts, each matching `pattern`; () for a missing key."""
        value = self.data.get(key, [])
        mend = f'for example {key} = ["{example}"]'
        if not isinstance(value, list):
            self.wrong(key, f"wants a list of texts, got {_kind(value)}", mend)
            return ()
        if len(value) > MAX_LIST:
            self.wrong(key, f"has more than {MAX_LIST} entries", mend)
            return ()
        for number, item in enumerate(value, start=1):
            if not isinstance(item, str) or not _is_text(item, pattern):
                self.wrong(key, f"entry {number} wants {_words(example)}, got {_kind(item)}", mend)
            elif item in value[: number - 1]:
                self.wrong(key, f"{shown(item)} stands there twice", "name it once")
        return tuple(item for item in value if isinstance(item, str))

    def choice(self, key: str, known: Sequence[str], default: str) -> str:
        value = self.data.get(key, default)
        if isinstance(value, str) and value in known:
            return value
        self.wrong(key, f"wants one of {', '.join(known)}, got {_kind(value)}", f'for example {key} = "{known[0]}"')
        return default

    def flag(self, key: str, default: bool) -> bool:
        value = self.data.get(key, default)
        if isinstance(value, bool):
            return value
        self.wrong(key, f"wants true or false, got {_kind(value)}", f"for example {key} = {str(default).lower()}")
        return default

    def number(self, key: str, low: int, high: int) -> int | None:
        """A whole number; None for a missing key."""
        value = self.data.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
            return value
        self.wrong(
            key, f"wants a whole number, {low} to {high}, got {_kind(value)}", f"for example {key} = {high // 10}"
        )
        return None

    def tables(self, key: str, pattern: str) -> dict[str, Table]:
        """The tables below `key` by name; {} for a missing key."""
        value = self.data.get(key, {})
        if not isinstance(value, Mapping):
            self.wrong(key, f"wants tables, got {_kind(value)}", f"write [{key}.NAME]")
            return {}
        inside = Table(value, f"{self.path}.{key}" if self.path else key, self.mistakes)
        return {name: Table(one, f"{inside.path}.{name}", self.mistakes) for name, one in inside._tables(pattern)}

    def _tables(self, pattern: str) -> list[tuple[str, Mapping[str, object]]]:
        found = []
        for name, value in self.data.items():
            if not re.fullmatch(pattern, name):
                self.wrong(_key(name), "is no name", "use small letters, digits and -, a letter first")
            elif not isinstance(value, Mapping):
                self.wrong(name, f"wants a table, got {_kind(value)}", f"write [{self.path}.{name}]")
            else:
                found.append((name, value))
        return found


def _is_text(value: str, pattern: str) -> bool:
    return len(value) <= MAX_TEXT and value.isprintable() and re.fullmatch(pattern, value) is not None


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else shown(name)


def _words(example: str) -> str:
    return f'text such as "{example}"'


def _kind(value: object) -> str:
    """What a value is, in words; short ones are shown."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value).lower() if isinstance(value, bool) else shown(value)
