"""Layers of settings: merged in order, with a record of which layer each value came from. Pure.

A layer is a name and a nested dict. A later layer wins. Tables merge key by key; scalars and lists replace as a
whole; None deletes, as in a JSON merge patch (RFC 7396), so that the default shows again. One case goes beyond RFC
7396: a table whose `type` differs from the one below replaces it, because the other type's keys would mean nothing.

Invariant: after a merge every leaf of the effective dict has exactly one layer in the provenance, and no other path
is in it. A leaf is whatever is not a table, and a table that is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeagent.config.toml_text import dotted
from edgeagent.errors import ConfigError

ORDER = ("default", "host name", "profile", "file", "command line", "desired")

MAX_DEPTH = 32

Path = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """Settings of one origin; `name` is one of ORDER, else ValueError."""

    name: str
    data: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        if self.name not in ORDER:
            raise ValueError(f"no layer is called {self.name!r}")


@dataclass(frozen=True)
class Merged:
    """The effective settings, and for each leaf's dotted path the name of its layer."""

    data: dict[str, Any] = field(repr=False)
    provenance: dict[str, str]


def merge_layers(layers: Sequence[Layer]) -> Merged:
    """All layers in the order of ORDER, whatever the order they are given in.

    Raises ConfigError for a layer that nests too deep.
    """
    data: dict[str, Any] = {}
    origin: dict[Path, str] = {}
    for layer in sorted(layers, key=lambda one: ORDER.index(one.name)):
        if too_deep(layer.data):
            raise ConfigError(f"the settings from the {layer.name} nest too deep", mend="no setting needs that")
        data = merge(data, layer.data)
        origin = _origins(data, layer, origin)
    return Merged(data, {dotted(path): name for path, name in origin.items()})


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`; neither is changed. The result holds no None that `above` wrote."""
    result = dict(below)
    for key, value in above.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merge(_base_for(result.get(key), value), value)
        else:
            result[key] = value
    return result


def leaves(data: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf with its path, in the order of the tables."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def too_deep(data: object) -> bool:
    """Whether tables and lists nest deeper than any setting does: such a document is refused before it is walked."""
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def _origins(data: Mapping[str, Any], layer: Layer, below: Mapping[Path, str]) -> dict[Path, str]:
    """The layer of each leaf of `data`, which `layer` was just laid onto.

    A leaf that is not new and that `layer` does not write keeps its layer. One that is new though `layer` does not
    write it is a table that `layer` has emptied.
    """
    written = {path for path, _ in leaves(layer.data)}
    return {path: layer.name if path in written else below.get(path, layer.name) for path, _ in leaves(data)}


def _base_for(below: object, above: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(below, Mapping):
        return {}
    other_type = "type" in above and "type" in below and above["type"] != below["type"]
    return {} if other_type else below
