"""What a command gave, for a person: indented lines in place of JSON. Pure.

Text stays as it is, line by line; a list of objects becomes a line each; `ts` and `*_ts` become times of day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

DEPTH: Final = 4
LINES: Final = 2000
_INDENT: Final = "  "


def result_lines(result: Mapping[str, Any] | None) -> list[str]:
    """At most LINES lines that any terminal can show."""
    lines = [_printable(line) for line, _ in zip(_of_object(result or {}, DEPTH), range(LINES + 1), strict=False)]
    return lines if len(lines) <= LINES else [*lines[:LINES], "... (--json has all of it)"]


def _of_object(values: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, str) and "\n" in value:
            yield f"{key}:"
            yield from (_INDENT + line for line in value.splitlines())
        elif isinstance(value, dict) and value and depth:
            yield from _of_table(key, value, depth)
        elif isinstance(value, list) and value and depth:
            yield f"{key}:"
            yield from (_INDENT + _flat(each) for each in value)
        else:
            yield f"{key}: {_scalar(key, value)}"


def _of_table(key: str, value: Mapping[str, Any], depth: int) -> Iterator[str]:
    """One line for an object of simple values within another; several for a larger one."""
    if depth < DEPTH and _is_flat(value):
        yield f"{key}: {_pairs(value)}"
        return
    yield f"{key}:"
    yield from (_INDENT + line for line in _of_object(value, depth - 1))


def _is_flat(value: Mapping[str, Any]) -> bool:
    return len(value) <= 3 and not any(isinstance(each, (dict, list)) and each for each in value.values())


def _pairs(value: Mapping[str, Any]) -> str:
    """`camera=yard, model=yolo11n`; a value with what is said about it: `0.4  (desired)`."""
    about = {key: each for key, each in value.items() if key != "value"}
    if "value" in value and about:
        return f"{_scalar('', value['value'])}  ({_flat(about)})"
    return ", ".join(f"{key}={_scalar(key, each)}" for key, each in value.items())


def _flat(value: object) -> str:
    """An object's values in one line, the empty ones left out."""
    if isinstance(value, dict):
        return _INDENT.join(_scalar(key, each) for key, each in value.items() if each not in ("", None, {}, []))
    return _scalar("", value)


def _scalar(key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and (key == "ts" or key.endswith("_ts")) and 0 < value < 1e14:
        return datetime.fromtimestamp(value / 1000).astimezone().isoformat(" ", "milliseconds")
    return json.dumps(value, ensure_ascii=False)


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line)
