"""The engine store: entries are whole or absent, whatever is killed or full.

    engines/<key>/plan            the engine's bytes
    engines/<key>/manifest.json   what it is, and the SHA-256 of the plan
    engines/.new-<key>-XXXX/      being written; swept at the next start when its writer is gone
    engines/.damaged-<key>/       the last entry of that key that was not what its manifest says; for a person to see
    engines/.locks/<key>          held while one process builds that key; never deleted

An entry is written under a temporary name, every file is fsynced, the directory is renamed, and its parent fsynced.
A plan is handed out only by `find`, which compares its digest first: an unverified plan is foreign code.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgeagent.durable import sync
from edgeagent.engine.locks import try_lock
from edgeagent.engine.manifest import Manifest
from edgeagent.errors import StoreError

PLAN, MANIFEST = "plan", "manifest.json"
NEW_PREFIX, DAMAGED_PREFIX = ".new-", ".damaged-"
# What the file system says of a damaged entry. Anything else (no right, no descriptor left) says nothing about it.
DAMAGE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ELOOP, errno.EUCLEAN})
KEY_PATTERN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Entry:
    """A verified entry: the plan's bytes matched the manifest when it was looked up."""

    manifest: Manifest
    plan_path: Path


class EngineStore:
    """The store under `root` (a directory; made when absent). Raises StoreError with the reason and the mend."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks = root / ".locks"
        with _translated("make", root):
            self._locks.mkdir(parents=True, exist_ok=True)

    def find(self, key: str) -> Entry | None:
        """The entry for `key`, verified; None when there is none. A damaged one is set aside and counts as none."""
        folder = self._folder(key)
        with _translated("read", folder):
            if not os.path.lexists(folder):
                return None
            entry = _verified(folder, key)
        if entry is None:
            self._set_aside(folder)
        return entry

    def entries(self) -> list[Manifest]:
        """The manifests of all entries, by key. Not verified."""
        found = []
        with _translated("read", self._root):
            folders = sorted(self._root.iterdir())
        for folder in folders:
            if KEY_PATTERN.fullmatch(folder.name):
                with contextlib.suppress(OSError, ValidationError):
                    found.append(Manifest.model_validate_json((folder / MANIFEST).read_bytes()))
        return found

    @contextlib.contextmanager
    def staging(self, key: str) -> Iterator[Path]:
        """A directory to write an entry in, on the store's own file system; gone at the end, whatever happens."""
        self._folder(key)
        with _translated("write", self._root):
            folder = Path(tempfile.mkdtemp(prefix=f"{NEW_PREFIX}{key}-", dir=self._root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, staging: Path, name: str, data: bytes) -> None:
        """Write a file into a staging directory."""
        with _translated("write", staging):
            (staging / name).write_bytes(data)

    def commit(self, staging: Path, manifest: Manifest) -> Entry:
        """Make `staging` (it holds the plan) the entry of `manifest.key`. A whole entry that is there stays."""
        key = manifest.key
        there = self.find(key)
        if there is not None:
            return there
        with _translated("write", self._folder(key)):
            for path in staging.iterdir():
                if path.name != PLAN:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            (staging / MANIFEST).write_text(manifest.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
            for name in (PLAN, MANIFEST):
                sync(staging / name)
            sync(staging)
            with contextlib.suppress(
                FileExistsError
            ):  # another writer was first; `find` tells whether its entry is whole
                _rename_to_new(staging, self._folder(key))
            sync(self._root)
        entry = self.find(key)
        if entry is None:
            raise StoreError(f"the engine {key} did not read back from {self._root}", mend="check the disk", retry=True)
        return entry

    @contextlib.contextmanager
    def build_lock(self, key: str) -> Iterator[bool]:
        """Hold the right to build `key`; yields False when another process holds it. The file is never deleted."""
        self._folder(key)
        with ExitStack() as stack:
            with _translated("lock", self._locks):
                free = stack.enter_context(try_lock(self._locks / key))
            yield free

    def sweep(self) -> list[str]:
        """Remove what dead writers left behind; returns the names removed. A living build's directory stays."""
        swept = []
        for folder in sorted(self._root.glob(f"{NEW_PREFIX}*")):
            key = folder.name.removeprefix(NEW_PREFIX).split("-")[0]
            if KEY_PATTERN.fullmatch(key) is None:
                continue
            with self.build_lock(key) as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)
                    swept.append(folder.name)
        return swept

    def _folder(self, key: str) -> Path:
        if KEY_PATTERN.fullmatch(key) is None:
            raise StoreError(f"{key!r} is no engine key", mend="an engine key has 32 hex digits")
        return self._root / key

    def _set_aside(self, folder: Path) -> None:
        """A damaged entry is kept under another name for a person to look at, never loaded; the last one of its key."""
        target = self._root / f"{DAMAGED_PREFIX}{folder.name}"
        with _translated("set aside", folder), contextlib.suppress(FileNotFoundError):  # another process was first
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            folder.rename(target)


def _verified(folder: Path, key: str) -> Entry | None:
    """The entry in `folder` if it is whole and of that key. Raises OSError where that cannot be told."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        plan = folder / PLAN
        whole = manifest.key == key and plan.stat().st_size == manifest.plan_bytes
        return Entry(manifest, plan) if whole and sha256_of(plan) == manifest.plan_sha256 else None
    except ValidationError:
        return None
    except OSError as error:
        if error.errno in DAMAGE:
            return None
        raise


def _rename_to_new(staging: Path, folder: Path) -> None:
    try:
        staging.rename(folder)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise FileExistsError(errno.EEXIST, "the entry is there", str(folder)) from error
        raise


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _translated(verb: str, path: Path) -> Iterator[None]:
    """Turn what the file system says into a StoreError a person can act on."""
    try:
        yield
    except OSError as error:
        raise store_error(verb, path, error) from error


def store_error(verb: str, path: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"the disk is full: cannot {verb} {path}", mend="free some space", code="disk_full", retry=True
        )
    reason = (error.strerror or str(error)).lower()
    return StoreError(f"cannot {verb} {path}: {reason}", mend="check the directory's owner and the disk")
