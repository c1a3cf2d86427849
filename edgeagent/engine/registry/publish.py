"""Putting an engine or a model bundle into a registry: signed here, files first, the manifest last.

An entry that is there already:
- signed by our own key: replaced, which also renews how long it is valid;
- signed by another key that is trusted, and still valid: left, for a device that wants it will take it;
- anything else that answers there, unsigned or signed by a stranger: refused with registry_conflict, for it may be
  somebody's whom we do not know, and a person has to look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from edgeagent.engine.bundle import data_files, load_bundle
from edgeagent.engine.manifest import FileRecord, Published
from edgeagent.engine.registry.errors import RegistryDataError, RegistrySetupError, RegistryTransportError
from edgeagent.engine.registry.layout import (
    engine_folder,
    file_path,
    manifest_path,
    model_folder,
    signature_path,
    subject_line,
    subject_path,
)
from edgeagent.engine.registry.mirrors import Progress, Teller, offer_at
from edgeagent.engine.registry.model_manifest import MODEL_TOML, ModelManifest
from edgeagent.engine.registry.signing import SigningKey, sign, verify_signature
from edgeagent.engine.registry.transport import Transport, open_registry
from edgeagent.engine.registry.verdict import (
    CLOCK_IS_SET_FROM_MS,
    MB,
    PLAN,
    Approved,
    Offer,
    judge_content,
    judge_engine,
    judge_model,
)
from edgeagent.engine.registry.watch import Limits, Watch
from edgeagent.engine.store import EngineStore, sha256_of
from edgeagent.engine.store_files import translated as told
from edgeagent.engine.subject import subject_of_facts
from edgeagent.errors import ModelError, OperatorError

DAY_MS = 86_400_000
Outcome = Literal["put", "replaced", "there"]
Judge = Callable[[Offer, Sequence[str]], Approved]


@dataclass(frozen=True)
class Given:
    """What came of it. `outcome` there: an entry that is as good is in the registry already. `bytes`: of its files."""

    key: str
    registry: str
    outcome: Outcome
    key_id: str
    bytes: int


@dataclass(frozen=True)
class _Entry:
    """What is to be put: the folder, the signed manifest, each file by the name that the manifest gives it."""

    key: str
    folder: str
    approved: Approved
    files: dict[str, Path]
    pointer: tuple[str, bytes] | None


def publish_engine(
    key: str,
    registry: str,
    signing_key: SigningKey,
    store: EngineStore,
    valid_days: int | None,
    now_ms: int,
    *,
    trusted: Sequence[str] = (),
    limits: Limits | None = None,
    progress: Progress = lambda percent, text: None,
) -> Given:
    """Sign the engine `key` of the store and put it into the registry at the URL `registry`.

    `valid_days` None: without end; `now_ms`: since 1970; `trusted`: other keys whose valid entry is left as it is.
    Raises OperatorError (no_engine), RegistrySetupError (registry_conflict, registry_clock, ...),
    RegistryTransportError, StoreError.
    """
    limits = limits or Limits()
    entry = store.find(key)
    if entry is None:
        raise OperatorError(
            f"there is no engine {key} in the store", mend="see `edgeagent engine list`", code="no_engine"
        )
    manifest = entry.manifest.model_copy(update={"published": _published(valid_days, now_ms)})
    data = (manifest.model_dump_json(by_alias=True, indent=1) + "\n").encode()

    def judge(offer: Offer, keys: Sequence[str]) -> Approved:
        return judge_engine(offer, key, keys, limits.max_download_mb, now_ms)

    beside = entry.plan_path.parent
    subject = subject_of_facts(manifest.facts)
    whole = _Entry(
        key=key,
        folder=engine_folder(key),
        approved=judge(Offer(data, sign(data, signing_key)), [signing_key.public_text]),
        files={PLAN: entry.plan_path, **{name: beside / name for name in manifest.files}},
        pointer=(subject_path(subject), subject_line(key)) if subject != key else None,
    )
    return _put(whole, registry, signing_key, [*trusted], judge, limits, progress)


def publish_model(
    where: str,
    registry: str,
    signing_key: SigningKey,
    valid_days: int | None,
    now_ms: int,
    *,
    trusted: Sequence[str] = (),
    limits: Limits | None = None,
    progress: Progress = lambda percent, text: None,
) -> Given:
    """Sign the model bundle at `where` (as `load_bundle` takes it) and put it into the registry under its digest.

    As `publish_engine`; raises ModelError for what is no bundle.
    """
    limits = limits or Limits()
    bundle = load_bundle(where)
    files = _bundle_files(bundle.onnx_path)
    try:
        manifest = ModelManifest(
            digest=bundle.digest,
            name=bundle.spec.name,
            version=bundle.spec.version,
            files={name: FileRecord(bytes=file.stat().st_size, sha256=sha256_of(file)) for name, file in files.items()},
            published=_published(valid_days, now_ms),
        )
    except ValidationError as error:
        raise ModelError(
            f"{where}: {bundle.onnx_path.name!r} cannot be a file's name in a registry",
            mend="use letters, digits and . _ - in file names",
        ) from error
    data = (manifest.model_dump_json(by_alias=True, indent=1) + "\n").encode()

    def judge(offer: Offer, keys: Sequence[str]) -> Approved:
        return judge_model(offer, bundle.digest, keys, limits.max_download_mb, now_ms)

    approved = judge(Offer(data, sign(data, signing_key)), [signing_key.public_text])
    whole = _Entry(bundle.digest, model_folder(bundle.digest), approved, files, None)
    return _put(whole, registry, signing_key, [*trusted], judge, limits, progress)


def _published(valid_days: int | None, now_ms: int) -> Published:
    if now_ms < CLOCK_IS_SET_FROM_MS:
        raise RegistrySetupError("registry_clock", "this machine's clock is not set, and what is signed needs a date")
    return Published(issued_ms=now_ms, expires_ms=now_ms + valid_days * DAY_MS if valid_days else None)


def _bundle_files(onnx: Path) -> dict[str, Path]:
    toml = onnx.with_name(MODEL_TOML)
    if not toml.is_file():
        raise ModelError(f"{onnx.parent} has no {MODEL_TOML}", mend=f"call the model's description {MODEL_TOML}")
    return {file.name: file for file in (toml, onnx, *data_files(onnx))}


def _put(
    entry: _Entry,
    registry: str,
    key: SigningKey,
    trusted: Sequence[str],
    judge: Judge,
    limits: Limits,
    progress: Progress,
) -> Given:
    teller = Teller(progress)
    transport = open_registry(registry, Watch(limits, teller.again))
    outcome = _outcome(offer_at(transport, entry.folder), key, trusted, judge)
    if outcome != "there":
        _upload(transport, entry, teller)
    return Given(entry.key, transport.url, outcome, key.key_id, entry.approved.bytes)


def _outcome(there: Offer | None, key: SigningKey, trusted: Sequence[str], judge: Judge) -> Outcome:
    """What to do about the entry that is there. Raises RegistrySetupError (registry_conflict)."""
    if there is None:
        return "put"
    try:
        verify_signature(there.manifest, there.signature, [key.public_text])
    except RegistryDataError as error:
        if _is_theirs_and_valid(there, trusted, judge):
            return "there"
        raise RegistrySetupError(
            "registry_conflict", f"something else is in the registry under this key: {error.message}"
        ) from error
    return "replaced"


def _is_theirs_and_valid(there: Offer, trusted: Sequence[str], judge: Judge) -> bool:
    if not trusted:
        return False
    try:
        judge(there, trusted)
    except RegistryDataError:
        return False
    return True


def _upload(transport: Transport, entry: _Entry, teller: Teller) -> None:
    """Files, signature, manifest, subject: in this order, so that whoever reads meanwhile finds it whole or not."""
    offer, done = entry.approved.offer, 0
    for part in entry.approved.parts:
        file = entry.files[part.name]
        with told("read", file):
            judge_content(part, file.stat().st_size, sha256_of(file))
        teller.tell(99 * done / max(1, entry.approved.bytes), f"putting {part.name} ({part.bytes / MB:.1f} MB)")
        transport.put(file_path(entry.folder, part.sha256), file)
        done += part.bytes
    teller.tell(99, "putting the manifest")
    transport.put(signature_path(entry.folder, offer.manifest), offer.signature or b"")
    transport.put(manifest_path(entry.folder), offer.manifest)
    if entry.pointer is not None:
        transport.put(*entry.pointer)
    if offer_at(transport, entry.folder) != offer:
        raise RegistryTransportError("registry_status", "the server took the files and does not give them back")
    teller.tell(100, "it is in the registry")
