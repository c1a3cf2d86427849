"""Values and keys as TOML text: for templates, listings and mistakes. Pure.

Only what settings are made of is written: text, numbers, booleans, lists and inline tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
NOT_SET = "(not set)"


def toml_value(value: object) -> str:
    """`value` as it would stand behind the = of a TOML line. None, which TOML lacks, becomes NOT_SET."""
    if value is None:
        return NOT_SET
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return _inline_table(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return str(value)


def _inline_table(table: Mapping[object, object]) -> str:
    pairs = ", ".join(f"{key_text(str(key))} = {toml_value(item)}" for key, item in table.items() if item is not None)
    return f"{{ {pairs} }}" if pairs else "{}"


def quoted(text: str) -> str:
    """`text` as a TOML basic string, on one line and printable on any UTF-8 terminal."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    return f"\\u{ord(character):04X}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08X}"


def key_text(key: str) -> str:
    """A key as TOML wants it: bare where it can be, quoted where it must."""
    return key if _BARE.fullmatch(key) else quoted(key)


def dotted(path: Sequence[object]) -> str:
    """A path as a dotted TOML key: ("cameras", "belt") -> cameras.belt."""
    return ".".join(key_text(str(part)) for part in path)
