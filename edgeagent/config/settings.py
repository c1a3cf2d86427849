"""The schema as something to look things up in: where a key is, what it wants, an example of it. Pure.

It reads the JSON schema that pydantic makes of `Config`, so it needs no knowledge of its own. A node is one resolved
piece of that JSON schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edgeagent.config.kinds import ID_PATTERN
from edgeagent.config.schema import Config
from edgeagent.config.toml_text import toml_value

Node = dict[str, Any]
EACH = "EACH"
"""Stands in a path for any one of a list's tables."""

_TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "a table",
}
_LIST_WORDS = {"string": "a list of texts", "object": "a list of tables", "array": "a list of corners [x, y]"}
_PATTERN_WORDS = {
    ID_PATTERN: "an id",
    "^/": "an absolute path",
    "^/dev/": "a path under /dev",
    "^rtsps?://": "an rtsp:// or rtsps:// URL",
    "^(/|credential:)": "an absolute path or credential:NAME",
    "^(mqtts?|wss?)://": "an mqtt://, mqtts://, ws:// or wss:// URL",
}


@dataclass(frozen=True)
class Setting:
    """One key as a person meets it. `path` has "ID" where an id of the operator's choice stands."""

    path: tuple[str, ...]
    wants: str
    meaning: str
    required: bool
    default: Any
    example: Any

    @property
    def name(self) -> str:
        return self.path[-1]


@lru_cache(maxsize=1)
def root() -> Node:
    """The whole config's node."""
    return Config.model_json_schema()


def resolved(node: Node) -> Node:
    """`node` with its reference followed; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    target: Node = root()["$defs"][node["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def wanted(node: Node) -> Node:
    """The node without the "or nothing" of a key that may be left out."""
    choices = [choice for choice in node.get("anyOf", []) if choice.get("type") != "null"]
    return {**node, **resolved(choices[0])} if choices else node


def tagged(node: Node) -> dict[str, Node]:
    """The forms of a node that its `type` key tells apart, by type; empty for any other node."""
    forms = [resolved(choice) for choice in node.get("oneOf", [])] if "discriminator" in node else []
    return {form["properties"]["type"]["const"]: form for form in forms}


def child(node: Node, key: str) -> Node | None:
    """The node behind `key`, which may be a table's key, an id, a name, a type of a tagged table or a list's index."""
    if key in tagged(node):
        return tagged(node)[key]
    named = node.get("additionalProperties")
    found = node.get("properties", {}).get(key) or entry(node) or node.get("items")
    found = found or (named if isinstance(named, dict) else None)
    return wanted(resolved(found)) if found else None


def entry(node: Node) -> Node | None:
    """What each id of a table by id holds, such as one camera; None for any other node."""
    patterns = node.get("patternProperties", {})
    return resolved(next(iter(patterns.values()))) if patterns else None


def find(location: Sequence[object]) -> tuple[tuple[str, ...], Node | None]:
    """A path and a node for a place as pydantic names it (with the types of tagged tables and "[key]" in between)."""
    path: list[str] = []
    node: Node | None = root()
    for part in location:
        if part == "[key]":
            continue
        is_tag = node is not None and part in tagged(node)
        node = child(node, str(part)) if node is not None else None
        if not is_tag:
            path.append(str(part))
    return tuple(path), node


def wants(node: Node) -> str:
    """What a node wants, in words: `a whole number, 16 to 8192`."""
    if choices(node):
        return "one of " * (len(choices(node)) > 1) + ", ".join(toml_value(value) for value in choices(node))
    if node.get("pattern") in _PATTERN_WORDS:
        return _PATTERN_WORDS[node["pattern"]]
    if node.get("type") == "array":
        return _LIST_WORDS.get(resolved(node.get("items", {})).get("type", ""), "a list")
    return ", ".join(part for part in (_TYPE_WORDS.get(node.get("type", "object"), "a value"), limits(node)) if part)


def choices(node: Node) -> list[Any]:
    return list(node.get("enum", [node["const"]] if "const" in node else []))


def limits(node: Node) -> str:
    """The bounds of a number in words; empty without bounds."""
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}" if high < 1e6 else f"{low} to {high}"
    parts = [f"above {node['exclusiveMinimum']:g}"] if "exclusiveMinimum" in node else []
    return ", ".join([*parts, f"at most {high:g}"] if high is not None else parts)


def example(node: Node) -> Any:  # noqa: ANN401 - whatever the key holds
    """A value that the node takes: its example, else its default."""
    if node.get("examples"):
        return node["examples"][0]
    return node.get("default", {})


def tables() -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every table that a file may hold, in the schema's order; a tagged table comes once for each of its types."""
    yield from _tables((), root())


def _tables(path: tuple[str, ...], node: Node) -> Iterator[tuple[tuple[str, ...], Node]]:
    if node.get("properties") and path:
        yield path, node
    inner = entry(node)
    if inner:
        yield from _tables((*path, "ID"), inner)
    for form in tagged(node).values():
        yield path, form
    if item := node.get("items"):
        yield from _tables((*path, EACH), resolved(item))
    for key in node.get("properties", {}):
        yield from _tables((*path, key), child(node, key) or {})


def settings(path: tuple[str, ...], table: Node) -> list[Setting]:
    """The keys of one table that are not tables themselves, in the schema's order."""
    required = table.get("required", [])
    return [
        Setting(
            path=(*path, key),
            wants=wants(node),
            meaning=node.get("description", ""),
            required=key in required,
            default=node.get("default"),
            example=example(node),
        )
        for key in table.get("properties", {})
        if not is_table(node := child(table, key) or {})
    ]


def is_list_of_tables(node: Node) -> bool:
    return is_table(resolved(node.get("items", {})))


def is_table(node: Node) -> bool:
    return bool(node.get("properties") or entry(node))
