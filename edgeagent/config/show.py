"""The effective settings for a person or a program to read, and the schema as JSON. Pure. Secrets are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeagent.camera.spec import redact_url
from edgeagent.config.effective import Loaded
from edgeagent.config.layers import leaves
from edgeagent.config.schema import Config
from edgeagent.config.toml_text import dotted, toml_value

_WIDEST = 48


@dataclass(frozen=True)
class Effective:
    """One setting as it is in force: its dotted key, its value without secrets, the layer that it came from."""

    key: str
    value: Any
    layer: str


def effective_settings(loaded: Loaded) -> list[Effective]:
    """Every setting in force, defaults included, in the schema's order."""
    found = leaves(loaded.config.model_dump(mode="json"))
    return [_effective(dotted(path), value, loaded) for path, value in found]


def effective_rows(loaded: Loaded) -> list[tuple[str, str, str]]:
    """(dotted key, value as TOML text, layer) of every setting in force; a key without a value says `(not set)`."""
    return [(one.key, toml_value(one.value), one.layer) for one in effective_settings(loaded)]


def render_rows(rows: Sequence[tuple[str, str, str]]) -> str:
    """The rows in columns; a value too wide for its column pushes only its own layer aside."""
    key_width = min(max((len(key) for key, _, _ in rows), default=0), _WIDEST)
    value_width = min(max((len(value) for _, value, _ in rows), default=0), _WIDEST)
    return "\n".join(f"{key:<{key_width}}  {value:<{value_width}}  {layer}" for key, value, layer in rows)


def json_schema() -> dict[str, Any]:
    """What a config may hold, as JSON schema draft 2020-12."""
    schema = {**Config.model_json_schema(), "title": "edgeagent config"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _effective(key: str, value: object, loaded: Loaded) -> Effective:
    return Effective(key, redact_url(value) if isinstance(value, str) else value, loaded.provenance[key])
