"""The engine key: one digest over everything that makes two engines differ, and nothing else. Pure.

Two devices with the same key may share an engine; a device whose key changed must not load the old one. Nothing
volatile goes in: no free memory, no time, no host name, no path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

KEY_SCHEMA = 1
KEY_LENGTH = 32  # hex digits, 128 bits


@dataclass(frozen=True)
class EngineWish:
    """What an engine is made from and for.

    `model_digest` covers the ONNX with external data; `options` are the model's settings that change the graph
    (family, classes, input); `calibration_digest` is empty where nothing is calibrated; `fingerprint` is the
    board's and the backend's: module, SoC, L4T, library versions.
    """

    model_digest: str
    graft_version: int
    options: Mapping[str, object]
    precision: str
    calibration_digest: str
    placement: str
    batch: int
    backend: str
    fingerprint: Mapping[str, str]


def canonical_json(value: object) -> bytes:
    """One spelling for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def engine_facts(wish: EngineWish) -> dict[str, object]:
    """The facts that the key digests, as they stand in the manifest."""
    facts = {field.name: getattr(wish, field.name) for field in fields(wish)}
    return {"key_schema": KEY_SCHEMA, **facts, "options": dict(wish.options), "fingerprint": dict(wish.fingerprint)}


def engine_key(wish: EngineWish) -> str:
    """The key: hex digits of SHA-256 over the canonical JSON of the facts."""
    return hashlib.sha256(canonical_json(engine_facts(wish))).hexdigest()[:KEY_LENGTH]
