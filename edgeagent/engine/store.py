"""The engine store: entries are whole or absent, whatever is killed or full.

    engines/<key>/...                one engine, verified before it is handed out (entry.py)
    engines/.local/<key>.json        what is true of it on this device only: origin, failures, pin (record.py)
    engines/.pipelines/<id>.json     the active and the previous engine of a pipeline
    engines/.timing/, .calibration/  caches that make the next build shorter (caches.py)
    engines/.new-<key>-XXXX/         being written; swept at the next start when its writer is gone
    engines/.gone-<key>-XXXX/        being removed; swept at the next start
    engines/.apart-<key>/            out of the way of one that is made in its place; back at the next start if none was
    engines/.damaged-<key>/          the last entry of that key that was not what its manifest says; for a person to see
    engines/.locks/                  never deleted: <key> is held while one process builds that engine, local-<key> and
                                     pipeline-<id> while a small file changes, store while entries are chosen to go

An entry is written under a temporary name, every file is fsynced, the directory is renamed, and its parent fsynced.
Its record is written before the rename, so an entry never shows without one. A plan is handed out only by `find`, which
compares its digest first: an unverified plan is foreign code.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from edgeagent.durable import sync
from edgeagent.engine.device_memory import DeviceMemory, Status
from edgeagent.engine.entry import (
    MANIFEST,
    PLAN,
    SIGNATURE,
    Entry,
    NotWhole,
    read_manifest,
    read_manifest_bytes,
    seal,
    sha256_of,
    size_of,
    verified,
)
from edgeagent.engine.manifest import Manifest
from edgeagent.engine.prune import Holding, Removal, State, decide_prune
from edgeagent.engine.record import Provenance, fresh
from edgeagent.engine.store_files import KEY_PATTERN, store_error, translated
from edgeagent.errors import StoreError

__all__ = ["MANIFEST", "PLAN", "SIGNATURE", "EngineStore", "Entry", "Status", "sha256_of", "store_error"]

NEW_PREFIX, GONE_PREFIX, DAMAGED_PREFIX = ".new-", ".gone-", ".damaged-"
APART_PREFIX = ".apart-"
BUILT = Provenance()


class EngineStore(DeviceMemory):
    """The store under `root` (a directory; made when absent). Raises StoreError with the reason and the mend."""

    def find(self, key: str) -> Entry | None:
        """The entry for `key`, verified; None when there is none. A damaged one is set aside and counts as none.

        Raises StoreError `engine_quarantined` for one that is there and may not be used (`status` asks first).
        """
        folder = self._folder(key)
        if self.status(key) == "quarantined":
            raise StoreError(
                f"the engine {key[:12]} is in quarantine: {self.quarantine_reason(key)}",
                mend=f"`edgeagent engine release {key[:12]}` gives it another chance",
                code="engine_quarantined",
            )
        with translated("read", folder):
            if not os.path.lexists(folder):
                return None
            try:
                return verified(folder, key)
            except NotWhole:
                pass
        return self._set_aside(key)

    def entries(self) -> list[Manifest]:
        """The manifests of all entries, by key, those in quarantine among them. Not verified."""
        found = []
        for name in self._names():
            if KEY_PATTERN.fullmatch(name):
                with contextlib.suppress(OSError, NotWhole):
                    found.append(read_manifest(self._root / name))
        return found

    def known_keys(self) -> list[str]:
        """The keys of all entries, readable or not."""
        return [name for name in self._names() if KEY_PATTERN.fullmatch(name)]

    def manifest_bytes(self, key: str) -> bytes:
        """The manifest of an entry, byte for byte as it was stored. Raises StoreError `no_engine` where none is."""
        folder = self._there(key)
        with translated("read", folder / MANIFEST):
            return read_manifest_bytes(folder)

    def signature(self, key: str) -> bytes | None:
        """The signature beside the manifest, None where the entry has none."""
        path = self._there(key) / SIGNATURE
        with translated("read", path):
            return path.read_bytes() if os.path.lexists(path) else None

    def problem(self, key: str) -> str:
        """Why the entry is not what its manifest says, "" where it is. Every byte is read; nothing is changed."""
        folder = self._there(key)
        with translated("read", folder):
            try:
                entry = verified(folder, key)
            except NotWhole as error:
                return str(error)
        signed = entry.manifest.published is not None
        return "its manifest was signed, and the signature is gone" if signed and self.signature(key) is None else ""

    @contextlib.contextmanager
    def staging(self, key: str) -> Iterator[Path]:
        """A directory to write an entry in, on the store's own file system; gone at the end, whatever happens."""
        self._folder(key)
        with translated("write", self._root):
            folder = Path(tempfile.mkdtemp(prefix=f"{NEW_PREFIX}{key}-", dir=self._root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, staging: Path, name: str, data: bytes) -> None:
        """Write a file into a staging directory."""
        with translated("write", staging):
            (staging / name).write_bytes(data)

    def commit(self, staging: Path, manifest: Manifest, provenance: Provenance = BUILT) -> Entry:
        """Make `staging` (it holds the plan and the files that the manifest lists) the entry of `manifest.key`.

        A whole entry that is there stays. Raises StoreError: engine_quarantined for a key that is in quarantine.
        """
        data = (manifest.model_dump_json(by_alias=True, indent=1) + "\n").encode()
        return self._commit(staging, manifest, data, None, provenance)

    def commit_signed(self, staging: Path, manifest: bytes, signature: bytes, *, url: str, signer: str) -> Entry:
        """The same for an entry that was fetched: its manifest is kept byte for byte, the signature beside it.

        The caller has verified the signature; `signer` is the key id, `url` the registry's.
        """
        try:
            parsed = Manifest.model_validate_json(manifest)
        except ValidationError as error:
            raise StoreError(f"what came from {url} is no manifest", mend="push it again") from error
        return self._commit(staging, parsed, manifest, signature, Provenance(origin="fetched", url=url, signer=signer))

    def _commit(
        self, staging: Path, manifest: Manifest, data: bytes, signature: bytes | None, provenance: Provenance
    ) -> Entry:
        key = manifest.key
        there = self.find(key)
        if there is not None:
            return there
        folder = self._folder(key)
        with translated("write", folder):
            seal(staging, manifest, data, signature)
            try:
                verified(staging, key)
            except NotWhole as error:
                raise StoreError(f"the engine {key} cannot be stored: {error}", mend="check the disk") from error
        with self._records.alone(key):
            if not os.path.lexists(folder):
                self._records.write(key, fresh(self._records.read(key), provenance, self._next_count()))
                with translated("write", folder):
                    staging.rename(folder)
                    sync(self._root)
                return Entry(manifest, folder / PLAN)
        entry = self.find(key)  # another writer was first; `find` tells whether its entry is whole
        if entry is None:
            raise StoreError(f"the engine {key} did not read back from {self._root}", mend="check the disk", retry=True)
        return entry

    # made anew

    def set_apart(self, key: str) -> None:
        """Take the entry out of the way of one that is made in its place, until `bring_back`. Its plan may be in use.

        Raises StoreError `no_engine` where it is not there.
        """
        folder, apart = self._there(key), self._root / f"{APART_PREFIX}{key}"
        with self._records.alone(key), translated("set apart", folder):
            shutil.rmtree(apart, ignore_errors=True)
            folder.rename(apart)
            sync(self._root)

    def bring_back(self, key: str) -> None:
        """What was set apart is the entry again where no other has taken its place; else it goes."""
        folder, apart = self._folder(key), self._root / f"{APART_PREFIX}{key}"
        with self._records.alone(key), translated("bring back", apart):
            if not os.path.lexists(folder):
                with contextlib.suppress(FileNotFoundError):
                    apart.rename(folder)
                    sync(self._root)
        shutil.rmtree(apart, ignore_errors=True)

    # space

    def holdings(self) -> list[Holding]:
        """Every entry and every damaged one that was set aside, with its size and why it must stay."""
        roles = self.roles()
        return [self._holding(name, roles) for name in self._names() if _is_holding(name)]

    def plan_prune(self, budget_bytes: int) -> list[Removal]:
        """What `prune` would remove."""
        return decide_prune(self.holdings(), budget_bytes)

    def prune(self, budget_bytes: int) -> list[Removal]:
        """Remove what nothing uses until all entries together have at most so many bytes; what was removed and why.

        Never an engine that is pinned, active, previous, or being built.
        """
        gone = []
        with ExitStack() as afterwards, self._choosing():
            for removal in decide_prune([self._unless_building(one) for one in self.holdings()], budget_bytes):
                folder = self._take_away(removal.name)
                if folder is not None:
                    afterwards.callback(shutil.rmtree, folder, ignore_errors=True)
                    gone.append(removal)
        return gone

    def _holding(self, name: str, roles: Mapping[str, list[str]]) -> Holding:
        folder, key = self._root / name, _key_in(name)
        if name != key:
            return Holding(name, "damaged", size_of(folder))
        record = self.record(key)
        state: State = "quarantined" if record.quarantine is not None else "ready"
        try:
            read_manifest(folder)
        except (NotWhole, OSError):
            state = "unreadable"
        keep = "; ".join([*roles.get(key, []), *(["pinned"] if record.pinned else [])])
        return Holding(name, state, size_of(folder), record.last_used, keep)

    def _unless_building(self, holding: Holding) -> Holding:
        if holding.keep or holding.state == "damaged":
            return holding
        with self.build_lock(holding.name) as free:
            return holding if free else replace(holding, keep="being built")

    def _take_away(self, name: str) -> Path | None:
        """Rename a directory out of the store, and drop its record; None where it is in use or gone already."""
        key, target = _key_in(name), self._root / f"{GONE_PREFIX}{_key_in(name)}-{secrets.token_hex(4)}"
        with self.build_lock(key) as free:
            if not free and name == key:
                return None
            with self._records.alone(key), translated("remove", self._root / name):
                try:
                    (self._root / name).rename(target)
                except FileNotFoundError:
                    return None
                sync(self._root)
                if name == key:
                    self._records.remove(key)
        return target

    def sweep(self) -> list[str]:
        """Remove what dead writers left behind; returns the names removed. A living build's directory stays."""
        swept = [name for name in self._names() if name.startswith(GONE_PREFIX) and _key_in(name)]
        for name in swept:
            shutil.rmtree(self._root / name, ignore_errors=True)
        for folder in sorted(self._root.glob(f"{NEW_PREFIX}*")):
            if key := _key_in(folder.name):
                with self.build_lock(key) as free:
                    if free:
                        shutil.rmtree(folder, ignore_errors=True)
                        swept.append(folder.name)
        for folder in self._root.glob(f"{APART_PREFIX}*"):
            if KEY_PATTERN.fullmatch(key := folder.name.removeprefix(APART_PREFIX)):
                self.bring_back(key)
        self._sweep_memory()
        return swept

    def _set_aside(self, key: str) -> Entry | None:
        """A damaged entry is kept under another name for a person to look at, never loaded; the last one of its key."""
        folder, target = self._folder(key), self._root / f"{DAMAGED_PREFIX}{key}"
        with self._records.alone(key), translated("set aside", folder):
            if not os.path.lexists(folder):
                return None
            try:
                return verified(folder, key)  # another process has set it aside and stored a new one meanwhile
            except NotWhole:
                pass
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            folder.rename(target)
        return None

    def _names(self) -> list[str]:
        with translated("read", self._root):
            return sorted(path.name for path in self._root.iterdir())


def _is_holding(name: str) -> bool:
    """Whether a directory is an entry, or a damaged one that was set aside."""
    return KEY_PATTERN.fullmatch(name.removeprefix(DAMAGED_PREFIX)) is not None


def _key_in(name: str) -> str:
    """The key in the name of a directory of ours, "" in any other."""
    for prefix in (NEW_PREFIX, GONE_PREFIX, DAMAGED_PREFIX):
        if name.startswith(prefix):
            name = name.removeprefix(prefix).split("-")[0]
            break
    return name if KEY_PATTERN.fullmatch(name) else ""
