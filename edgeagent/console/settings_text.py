"""What an operator writes as settings: `KEY=VALUE` words and files, as one patch for the desired layer. Pure.

A key is dotted as in config.toml; a value is TOML (`0.4`, `true`, `["gate"]`, `"text"`), or text where TOML makes
nothing of it; `null` takes the key away.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

from edgeagent.errors import OperatorError

_SIMPLE: Final = (str, int, float, bool, type(None))
_DEPTH: Final = 16


def split_words(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Devices, and the words that have a `=`."""
    listed = list(words)
    return [word for word in listed if "=" not in word], [word for word in listed if "=" in word]


def patch_of(words: Iterable[str]) -> dict[str, Any]:
    """`["pipelines.people.min_score=0.4"]` as nested tables. Raises OperatorError for what is no setting."""
    patch: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        for path, value in _leaf(word, key.strip(), text.strip()):
            _put(patch, path, value, word)
    return patch


def _leaf(word: str, key: str, text: str) -> list[tuple[tuple[str, ...], Any]]:
    path = _path(word, key)
    if text in ("null", ""):
        if text == "null":
            return [(path, None)]
        raise OperatorError(
            f"{word!r} has no value", mend=f"write {key}=null to take the key away, {key}='\"\"' for no text"
        )
    return [(path, value_of(text))]


def value_of(text: str) -> Any:  # noqa: ANN401
    """A TOML value, or the text itself where it is none."""
    if "\n" in text:
        return text
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return text
    return value if _is_json(value, _DEPTH) else text


def _is_json(value: object, depth: int) -> bool:
    """TOML also knows times, which JSON does not."""
    if isinstance(value, list):
        return depth > 0 and all(_is_json(each, depth - 1) for each in value)
    if isinstance(value, dict):
        return depth > 0 and all(_is_json(each, depth - 1) for each in value.values())
    return isinstance(value, _SIMPLE)


def _path(word: str, key: str) -> tuple[str, ...]:
    try:
        table = tomllib.loads(f"{key} = 0") if "\n" not in key else {}
    except ValueError:
        table = {}
    path: list[str] = []
    node: Any = table
    while isinstance(node, dict) and len(node) == 1:
        name, node = next(iter(node.items()))
        path.append(name)
    if not path:
        raise OperatorError(
            f"{word!r} does not begin with a key", mend="write pipelines.people.min_score=0.4, for example"
        )
    return tuple(path)


def _put(patch: dict[str, Any], path: tuple[str, ...], value: object, word: str) -> None:
    node = patch
    for name in path[:-1]:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise OperatorError(f"{word!r}: {name} is set to a value and a table at once", mend="say it once")
    if path[-1] in node:
        raise OperatorError(f"{word!r}: {'.'.join(path)} is set twice", mend="say it once")
    node[path[-1]] = value


def read_settings(text: str, name: str) -> dict[str, Any]:
    """A file's settings: JSON where the name ends so, else TOML. Raises OperatorError."""
    try:
        data = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise OperatorError(
            f"{name} cannot be read: {error}", mend="TOML, or JSON where the name ends in .json"
        ) from error
    if not isinstance(data, dict) or not _is_json(data, _DEPTH):
        raise OperatorError(
            f"{name} holds more than tables, text, numbers, true, false and lists", mend="mend the file"
        )
    return data
