"""What the device and its operator's console have in common about a desired layer. Pure, standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MOST_VERSION: Final = 2**53 - 1  # every reader of JSON keeps it whole
_HIDDEN: Final = re.compile(r"://\*\*\*@|=\s*\*\*\*")


def highest_after(version: int) -> int:
    """The highest version that the wish after this one may have: half of those that are left may be skipped, so no
    single wish uses them up."""
    return version + (MOST_VERSION - version + 1) // 2


def merge_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396: null takes a key away, tables are patched key by key, everything else takes its place. Neither is
    changed."""
    result = dict(target)
    for key, value in patch.items():
        below = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merge_patch(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def has_hidden(value: object) -> bool:
    """Whether a secret in it was hidden by whoever told it."""
    if isinstance(value, Mapping):
        return any(has_hidden(inner) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return any(has_hidden(inner) for inner in value)
    return isinstance(value, str) and _HIDDEN.search(value) is not None
