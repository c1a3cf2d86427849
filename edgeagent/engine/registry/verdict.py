"""Whether what a registry gave may be used: bytes in, an approval or an error out. Pure, and the whole of the trust.

The order is the protection: size, signature over the exact bytes, and only then is the manifest parsed; then whether it
is the one asked for, whether it is still valid, and how large its files may be. The files themselves are judged by size
and SHA-256 before anything opens them (download.py).

The clock. A device without a battery boots in 1970. Such a clock cannot tell whether an entry has expired; refusing all
would leave the device without engines exactly when it has no network time, so the entry is taken with a note. The
same goes for a clock that is behind the moment at which the entry was issued: it is wrong, whatever it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from edgeagent.engine.key import key_of_facts
from edgeagent.engine.manifest import FileRecord, Manifest, Published
from edgeagent.engine.registry.errors import RegistryDataError
from edgeagent.engine.registry.layout import MANIFEST, SIGNATURE
from edgeagent.engine.registry.model_manifest import MODEL_TOML, ModelManifest
from edgeagent.engine.registry.signing import verify_signature
from edgeagent.engine.subject import subject_of_facts

MAX_MANIFEST_BYTES = 1_000_000
CLOCK_IS_SET_FROM_MS = 1_704_067_200_000  # 2024-01-01: no device of ours was made before
MB = 1_000_000
PLAN = "plan"
OURS = frozenset({PLAN, MANIFEST, SIGNATURE})  # names that no further file may have
Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class Offer:
    """What a registry gave for one entry. `signature` None: there is none."""

    manifest: bytes
    signature: bytes | None


@dataclass(frozen=True)
class Part:
    """A file of an entry. `name`: what it is called in the store."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Approved:
    """An entry whose manifest may be believed; its parts are still to be fetched and compared.

    `notes`: what could not be told, for a person.
    """

    offer: Offer
    key_id: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


@dataclass(frozen=True)
class ApprovedEngine(Approved):
    manifest: Manifest


@dataclass(frozen=True)
class ApprovedModel(Approved):
    manifest: ModelManifest


def judge_engine(offer: Offer, key: str, trusted: Sequence[str], max_mb: int, now_ms: int) -> ApprovedEngine:
    """Whether an entry may be the engine `key`. `max_mb`: its files in all; `now_ms`: since 1970.

    Raises RegistryDataError, and RegistrySetupError where no keys are trusted.
    """
    key_id = _judge_signature(offer, trusted)
    manifest = _parsed(Manifest, offer.manifest)
    if manifest.key != key or _key_of(manifest.facts) != key:
        raise RegistryDataError("registry_wrong_key", f"it is the engine {manifest.key}, not {key}")
    if manifest.published is None:
        raise RegistryDataError("registry_not_manifest", "its manifest does not say when it was published")
    notes = _judge_dates(manifest.published, now_ms)
    if OURS & manifest.files.keys():
        raise RegistryDataError("registry_not_manifest", "its manifest gives a file a name that is not free")
    parts = (Part(PLAN, manifest.plan_sha256, manifest.plan_bytes), *_parts(manifest.files))
    _judge_sizes(parts, max_mb)
    return ApprovedEngine(offer, key_id, parts, notes, manifest)


def judge_subject(approved: ApprovedEngine, subject: str) -> None:
    """Whether an engine found by its subject is of that subject."""
    if subject_of_facts(approved.manifest.facts) != subject:
        raise RegistryDataError("registry_wrong_key", f"the engine {approved.manifest.key} is of another subject")


def judge_model(offer: Offer, digest: str, trusted: Sequence[str], max_mb: int, now_ms: int) -> ApprovedModel:
    """Whether an entry may be the model `digest`. The digest itself is compared when the files are there."""
    key_id = _judge_signature(offer, trusted)
    manifest = _parsed(ModelManifest, offer.manifest)
    if manifest.digest != digest:
        raise RegistryDataError("registry_wrong_key", f"it is the model {manifest.digest}, not {digest}")
    notes = _judge_dates(manifest.published, now_ms)
    if MODEL_TOML not in manifest.files or {MANIFEST, SIGNATURE} & manifest.files.keys():
        raise RegistryDataError("registry_not_manifest", "its manifest does not name the files of a model bundle")
    parts = _parts(manifest.files)
    _judge_sizes(parts, max_mb)
    return ApprovedModel(offer, key_id, parts, notes, manifest)


def judge_said_size(part: Part, said: int | None) -> None:
    """Whether the size that a server gives for a file is the one in the manifest; None: it gives none."""
    if said is not None and said > part.bytes:
        raise RegistryDataError(
            "registry_oversized", f"its {part.name} has {said} bytes, and its manifest says {part.bytes}", mend=""
        )
    if said is not None and said < part.bytes:
        raise _truncated(part, said)


def judge_content(part: Part, count: int, sha256: str) -> None:
    """Whether the bytes that came are the ones in the manifest."""
    judge_said_size(part, count)
    if sha256 != part.sha256:
        raise RegistryDataError("registry_digest", f"its {part.name} is not the one that was signed")


def judge_bytes(part: Part, content: bytes) -> None:
    """`judge_content` for a file in memory."""
    judge_content(part, len(content), hashlib.sha256(content).hexdigest())


def _judge_signature(offer: Offer, trusted: Sequence[str]) -> str:
    if len(offer.manifest) > MAX_MANIFEST_BYTES:
        raise RegistryDataError(
            "registry_oversized", f"its manifest is larger than {MAX_MANIFEST_BYTES} bytes", mend=""
        )
    if not offer.manifest.startswith(b"{"):
        what = "is a web page" if offer.manifest.lstrip()[:1] == b"<" else "is no manifest"
        raise RegistryDataError("registry_not_manifest", f"what lies in its manifest's place {what}")
    return verify_signature(offer.manifest, offer.signature, trusted)


def _parsed(kind: type[Record], manifest: bytes) -> Record:
    """The manifest, whose signature has been checked."""
    try:
        return kind.model_validate_json(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise RegistryDataError(
            "registry_not_manifest",
            f"it is signed, but its manifest is none that this release reads: {where}: {first['msg']}"[:300],
            mend="update edgeagent on the older side, then push it again",
        ) from error


def _key_of(facts: Mapping[str, object]) -> str | None:
    try:
        return key_of_facts(facts)
    except (ValueError, RecursionError):  # not-a-number, endless digits: nothing that we write
        return None


def _judge_dates(published: Published, now_ms: int) -> tuple[str, ...]:
    issued, expires = published.issued_ms, published.expires_ms
    if expires is not None and expires <= issued:
        raise RegistryDataError("registry_expired", "it was never valid: it expires before it was issued")
    if now_ms < CLOCK_IS_SET_FROM_MS or now_ms < issued:
        return ("this device's clock is not set, so nobody can tell whether it has expired",) if expires else ()
    if expires is not None and now_ms >= expires:
        days = (now_ms - expires) // 86_400_000
        raise RegistryDataError("registry_expired", f"it expired {days} days ago" if days else "it has expired")
    return ()


def _parts(files: Mapping[str, FileRecord]) -> tuple[Part, ...]:
    return tuple(Part(name, record.sha256, record.bytes) for name, record in sorted(files.items()))


def _judge_sizes(parts: Sequence[Part], max_mb: int) -> None:
    whole = sum(part.bytes for part in parts)
    if whole > max_mb * MB:
        raise RegistryDataError(
            "registry_oversized", f"it has {whole / MB:.0f} MB, and registry.max_download_mb is {max_mb}", bytes=whole
        )
    for part in parts:
        if part.name == PLAN and part.bytes == 0:
            raise _truncated(part, 0)


def _truncated(part: Part, count: int) -> RegistryDataError:
    message = f"its {part.name} ends after {count} bytes, and its manifest says {part.bytes}"
    return RegistryDataError("registry_truncated", message)
