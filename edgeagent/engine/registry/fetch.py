"""An engine from a registry into the store, byte for byte as it was signed: the thin shell around verdict.py."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.engine.registry.download import sweep_parts
from edgeagent.engine.registry.layout import engine_folder, key_in, subject_path
from edgeagent.engine.registry.mirrors import Mirrors, Progress, bring_parts, offer_at, place
from edgeagent.engine.registry.signing import trusted_keys
from edgeagent.engine.registry.transport import Transport, read_small
from edgeagent.engine.registry.verdict import ApprovedEngine, judge_engine, judge_subject
from edgeagent.engine.registry.watch import Limits
from edgeagent.engine.store import EngineStore, Entry

PARTS = ".parts"
MAX_SUBJECT_BYTES = 256


@dataclass(frozen=True)
class Fetched:
    """An engine that is now in the store. `notes`: what a person should know, mirrors that failed among it.

    `bytes`: its files in all. `key` is another than the one asked for where it was found by its subject.
    """

    key: str
    entry: Entry
    registry: str
    key_id: str
    bytes: int
    notes: tuple[str, ...]


def limits_of(stall_s: float, timeout_s: float, max_download_mb: int) -> Limits:
    """The limits as [registry] in the config has them."""
    return Limits(stall_s, timeout_s, max_download_mb)


def fetch_engine(
    key: str,
    registries: Sequence[str],
    trusted: Sequence[str],
    store: EngineStore,
    limits: Limits,
    progress: Progress,
    *,
    subject: str | None = None,
    now_ms: int | None = None,
) -> Fetched | None:
    """Put the engine `key` into the store from the first registry that has it; None when none has it.

    With a `subject` (engine/subject.py), an engine that differs only in its calibration data is taken where none of the
    registries has the very one. The caller holds `store.build_lock(key)`. `progress` gets 0..100 and a line; it is
    called several times a second, also while nothing comes, and may raise to end it. `now_ms`: since 1970.

    Raises RegistryDataError when what a registry gave must not be used, RegistryTransportError when it could not be
    had, RegistrySetupError when keys or URLs are wrong (errors.py; `reasons` has each mirror's), StoreError (disk_full)
    when it cannot be kept. After all of them the store is as it was.
    """
    if not registries:
        return None
    trusted_keys(trusted)
    run = _Run(trusted, store, Mirrors(registries, limits, progress), limits, now_ms)
    found = run.by_key(key)
    if found is None and subject is not None and subject != key:
        found = run.by_subject(subject)
    if found is None:
        run.mirrors.raise_if_failed(f"the engine {key}")
    return found


class _Run:
    """One fetching: what every step of it needs."""

    def __init__(
        self, trusted: Sequence[str], store: EngineStore, mirrors: Mirrors, limits: Limits, now_ms: int | None
    ) -> None:
        self._trusted = trusted
        self._store = store
        self.mirrors = mirrors
        self._limits = limits
        self._now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms

    def by_key(self, key: str) -> Fetched | None:
        return self.mirrors.first(lambda transport: self._fetched(transport, key, None))

    def by_subject(self, subject: str) -> Fetched | None:
        return self.mirrors.first(lambda transport: self._followed(transport, subject))

    def _followed(self, transport: Transport, subject: str) -> Fetched | None:
        """The engine that a registry names for a subject, unless this device has it already."""
        line = read_small(transport, subject_path(subject), MAX_SUBJECT_BYTES)
        key = key_in(line) if line is not None else None
        if key is None or self._store.status(key) != "absent":  # it is here, and was not good enough for the caller
            return None
        with self._store.build_lock(key) as free:
            return self._fetched(transport, key, subject) if free else None

    def _fetched(self, transport: Transport, key: str, subject: str | None) -> Fetched | None:
        folder = engine_folder(key)
        offer = offer_at(transport, folder)
        if offer is None:
            return None
        approved = judge_engine(offer, key, self._trusted, self._limits.max_download_mb, self._now_ms)
        if subject is not None:
            judge_subject(approved, subject)
        entry = self._kept(transport, folder, approved)
        notes = (*approved.notes, *self.mirrors.refused)
        return Fetched(key, entry, transport.url, approved.key_id, approved.bytes, notes)

    def _kept(self, transport: Transport, folder: str, approved: ApprovedEngine) -> Entry:
        """Download, compare, commit. What a failure leaves behind is part files for the next time."""
        key = approved.manifest.key
        with self._store.staging(key) as staging:
            parts = staging.parent / PARTS / key
            files = bring_parts(transport, folder, approved, parts, self.mirrors)
            self.mirrors.teller.tell(99.9, "writing the engine to the store")
            place(approved, files, staging)
            entry = self._store.commit_signed(
                staging,
                approved.offer.manifest,
                approved.offer.signature or b"",
                url=transport.url,
                signer=approved.key_id,
            )
            shutil.rmtree(parts, ignore_errors=True)
            sweep_parts(parts.parent, self._is_idle)
        return entry

    def _is_idle(self, key: str) -> bool:
        with self._store.build_lock(key) as free:
            return free
