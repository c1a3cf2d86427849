"""The engine key: one digest over everything that makes two engines differ, and nothing else. Pure.

Two devices with the same key may share an engine; a device whose key changed must not load the old one. Nothing
volatile goes in: no free memory, no time, no host name, no path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

KEY_SCHEMA = 2
KEY_LENGTH = 32  # hex digits, 128 bits


@dataclass(frozen=True)
class EngineWish:
    """What an engine is made from and for.

    `model_digest` covers the ONNX with external data; `options` are the model's settings that change the graph
    (family, classes, input); `quantisation` and `placement` as in variant.py; `calibration_digest` is empty where
    nothing is calibrated; `shapes` has each input's shape; `builder` the settings of the builder that shape an engine
    (optimisation level, fallback budget); `fingerprint` is the board's and the backend's: module, SoC, L4T, library
    versions, which parts of the GPU the power mode leaves on; `plugins` has the digest of each plugin library by name.
    """

    model_digest: str
    graft_version: int
    options: Mapping[str, object]
    precision: str
    quantisation: str
    calibration_digest: str
    placement: str
    batch: int
    shapes: Mapping[str, tuple[int, ...]]
    backend: str
    fingerprint: Mapping[str, str]
    builder: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)


def canonical_json(value: object) -> bytes:
    """One spelling for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def engine_facts(wish: EngineWish) -> dict[str, object]:
    """The facts that the key digests, as they stand in the manifest."""
    facts = {field.name: _plain(getattr(wish, field.name)) for field in fields(wish)}
    return {"key_schema": KEY_SCHEMA, **facts}


def engine_key(wish: EngineWish) -> str:
    """The key: hex digits of SHA-256 over the canonical JSON of the facts."""
    return key_of_facts(engine_facts(wish))


def key_of_facts(facts: Mapping[str, object]) -> str:
    """The key that these facts give, those of a manifest among them."""
    return hashlib.sha256(canonical_json(dict(facts))).hexdigest()[:KEY_LENGTH]


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value
