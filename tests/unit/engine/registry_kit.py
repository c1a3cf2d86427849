"""What the registry's tests share: key pairs, an engine in a store, a signed entry, a registry. No tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from engine_kit import manifest_for

from edgeagent.engine.key import key_of_facts
from edgeagent.engine.manifest import FileRecord, Manifest, Published
from edgeagent.engine.registry.fetch import Fetched, fetch_engine
from edgeagent.engine.registry.publish import publish_engine
from edgeagent.engine.registry.signing import SigningKey, sign
from edgeagent.engine.registry.verdict import Offer
from edgeagent.engine.registry.watch import Limits
from edgeagent.engine.store import PLAN, EngineStore

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
FACTS = {"key_schema": 2, "calibration_digest": "c" * 64, "precision": "int8"}
KEY = key_of_facts(FACTS)
PLAN_BYTES = bytes(range(256)) * 4000  # about 1 MB
CACHE = b"TRT-100300-EntropyCalibration2\nframes: 3c008889\n"
LIMITS = Limits(stall_s=0.4, timeout_s=20.0, max_download_mb=8)


def signing_key(number: int = 1) -> SigningKey:
    """Always the same key for a number."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return SigningKey(private, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


OURS, OTHERS, STRANGERS = signing_key(1), signing_key(2), signing_key(3)
TRUSTED = [OURS.public_text, OTHERS.public_text]


def quiet(percent: float, text: str) -> None:
    assert 0 <= percent <= 100 and text


def manifest(
    plan: bytes = PLAN_BYTES,
    facts: dict[str, object] | None = None,
    files: dict[str, bytes] | None = None,
    published: Published | None = None,
) -> Manifest:
    facts = facts or FACTS
    beside = {"calibration.cache": CACHE} if files is None else files
    update = {
        "facts": facts,
        "published": published or Published(issued_ms=NOW_MS - DAY_MS, expires_ms=NOW_MS + DAY_MS),
        "files": {
            name: FileRecord(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in beside.items()
        },
    }
    return manifest_for(key_of_facts(facts), plan, hashlib.sha256(plan).hexdigest()).model_copy(update=update)


def spelled(record: Manifest) -> bytes:
    return (record.model_dump_json(by_alias=True, indent=1) + "\n").encode()


def offered(record: Manifest | None = None, key: SigningKey = OURS) -> Offer:
    data = spelled(record or manifest())
    return Offer(data, sign(data, key))


def put_engine(
    store: EngineStore,
    plan: bytes = PLAN_BYTES,
    facts: dict[str, object] | None = None,
    files: dict[str, bytes] | None = None,
) -> str:
    """An engine in a store as a build leaves it there; its key."""
    beside = {"calibration.cache": CACHE} if files is None else files
    record = manifest(plan, facts, beside).model_copy(update={"published": None})
    with store.staging(record.key) as staging:
        store.write(staging, PLAN, plan)
        for name, data in beside.items():
            store.write(staging, name, data)
        store.commit(staging, record)
    return record.key


@dataclass
class Ground:
    """A registry in a directory, a store that pushes into it and one that fetches."""

    registry: Path
    source: EngineStore
    store: EngineStore
    store_root: Path

    @property
    def url(self) -> str:
        return f"file://{self.registry}"

    def push(self, key: str = KEY, by: SigningKey = OURS, days: int | None = 30, url: str | None = None) -> str:
        given = publish_engine(key, url or self.url, by, self.source, days, NOW_MS, limits=LIMITS, progress=quiet)
        return given.outcome

    def fetch(
        self,
        *urls: str,
        key: str = KEY,
        trusted: list[str] | None = None,
        limits: Limits = LIMITS,
        subject: str | None = None,
        progress: Callable[[float, str], None] = quiet,
        now_ms: int = NOW_MS,
    ) -> Fetched | None:
        with self.store.build_lock(key) as free:
            assert free
            return fetch_engine(
                key,
                urls or (self.url,),
                TRUSTED if trusted is None else trusted,
                self.store,
                limits,
                progress,
                subject=subject,
                now_ms=now_ms,
            )

    def folder(self, key: str = KEY) -> Path:
        return self.registry / "engines" / key

    def plan_file(self, plan: bytes = PLAN_BYTES, key: str = KEY) -> Path:
        return self.folder(key) / hashlib.sha256(plan).hexdigest()

    def assert_nothing_stored(self, key: str = KEY) -> None:
        """After a refusal the store has no entry and nothing half; part files may be there."""
        assert self.store.find(key) is None
        left = {path.name for path in self.store_root.iterdir()}
        assert left <= {".locks", ".parts"}, left


def ground(folder: Path, *, pushed: bool = True) -> Ground:
    (folder / "registry").mkdir()
    made = Ground(
        folder / "registry", EngineStore(folder / "source"), EngineStore(folder / "engines"), folder / "engines"
    )
    put_engine(made.source)
    if pushed:
        made.push()
    return made
