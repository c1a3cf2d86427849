"""Caches that make the next build shorter: kept whole with their digest, or not at all. A lost one costs only time.

    <folder>/<name>     one line of JSON (schema, SHA-256, size, use counter), then the bytes

A cache that is damaged, too large, or cannot be read or written counts as none, and nothing is raised: no build fails
because of it. The least recently saved go when there are too many; a counter tells which, not the clock.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edgeagent.durable import replace_file
from edgeagent.engine.locks import LockBusyError, hold_lock
from edgeagent.engine.store_files import make_folder, sweep_halves

MAX_BYTES = 64_000_000
KEPT = 8
LONGEST_HEADER = 512


class Header(BaseModel):
    """The first line of a cache file."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    schema_: Literal["edgeagent.cache/1"] = "edgeagent.cache/1"
    sha256: str
    bytes: int
    counter: int


class CacheShelf:
    """The caches of one kind in `folder`, at most `kept` of them."""

    def __init__(self, folder: Path, lock: Path, kept: int = KEPT) -> None:
        self._folder = folder
        self._lock = lock
        self._kept = kept

    def load(self, facts: object) -> bytes | None:
        """The bytes that were kept for these facts (anything that JSON takes), or None."""
        try:
            with self._path(facts).open("rb") as file:
                header = _header(file.readline(LONGEST_HEADER))
                data = file.read(header.bytes + 1) if header is not None and 0 <= header.bytes <= MAX_BYTES else b""
        except OSError:
            return None
        whole = header is not None and len(data) == header.bytes and _sha256(data) == header.sha256
        return data if whole else None

    def save(self, facts: object, data: bytes) -> bool:
        """Keep these bytes for these facts. False where that was not possible; the ones before then stay."""
        if not 0 < len(data) <= MAX_BYTES:
            return False
        try:
            make_folder(self._folder)
            with hold_lock(self._lock):
                counters = self._counters()
                header = Header(sha256=_sha256(data), bytes=len(data), counter=max(counters.values(), default=0) + 1)
                path = self._path(facts)
                replace_file(path, header.model_dump_json().encode() + b"\n" + data)
                self._drop_oldest({**counters, path: header.counter})
        except (OSError, LockBusyError):
            return False
        return True

    def sweep(self) -> None:
        """Remove half-written caches of writers that were killed."""
        sweep_halves(self._folder, self._lock, ".*.new")

    def _drop_oldest(self, counters: dict[Path, int]) -> None:
        oldest_first = sorted(counters, key=lambda path: (counters[path], path.name))
        for path in oldest_first[: -self._kept]:
            path.unlink(missing_ok=True)

    def _counters(self) -> dict[Path, int]:
        """Every cache's counter; 0 for what cannot be read, so that it goes first."""
        found = {}
        for path in self._folder.iterdir():
            if not path.name.startswith("."):
                with path.open("rb") as file:
                    header = _header(file.readline(LONGEST_HEADER))
                found[path] = header.counter if header is not None else 0
        return found

    def _path(self, facts: object) -> Path:
        spelled = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
        return self._folder / _sha256(spelled)[:32]


def _header(line: bytes) -> Header | None:
    try:
        return Header.model_validate_json(line)
    except ValidationError:
        return None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
