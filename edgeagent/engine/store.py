"""The engine store: entries are whole or absent, whatever is killed or full.

    engines/<key>/plan            the engine's bytes
    engines/<key>/manifest.json   what it is, and the SHA-256 of the plan
    engines/.new-<key>-XXXX/      being written; swept at the next start when its writer is gone
    engines/.locks/<key>          held while one process builds that key; never deleted

An entry is written under a temporary name, every file is fsynced, the directory is renamed, and its parent fsynced.
A plan is read only through `load`, which compares its digest first: an unverified plan is foreign code.
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

from edgeagent.engine.locks import try_lock
from edgeagent.engine.manifest import Manifest
from edgeagent.errors import StoreError

PLAN, MANIFEST = "plan", "manifest.json"
NEW_PREFIX = ".new-"
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
        if not folder.is_dir():
            return None
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
            if manifest.key == key and sha256_of(folder / PLAN) == manifest.plan_sha256:
                return Entry(manifest, folder / PLAN)
        except (OSError, ValidationError):
            pass
        self._set_aside(folder)
        return None

    def entries(self) -> list[Manifest]:
        """The manifests of all entries, by key. Not verified."""
        found = []
        for folder in sorted(self._root.iterdir()):
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

    def commit(self, staging: Path, manifest: Manifest) -> Entry:
        """Make `staging` (it holds the plan) the entry of `manifest.key`. An entry that is there stays."""
        folder = self._folder(manifest.key)
        with _translated("write", folder):
            for path in staging.iterdir():
                if path.name != PLAN:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            (staging / MANIFEST).write_text(manifest.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
            for name in (PLAN, MANIFEST):
                _fsync(staging / name)
            _fsync(staging)
            self._rename(staging, folder)
            _fsync(self._root)
        entry = self.find(manifest.key)
        if entry is None:
            raise StoreError(f"the engine {manifest.key} did not read back from {folder}", mend="check the disk")
        return entry

    def _rename(self, staging: Path, folder: Path) -> None:
        try:
            staging.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

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
        for folder in self._root.glob(f"{NEW_PREFIX}*"):
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
        """A damaged entry is kept under another name for a person to look at, never loaded."""
        with _translated("set aside", folder):
            target = Path(tempfile.mkdtemp(prefix=f".damaged-{folder.name}-", dir=self._root))
            folder.rename(target / folder.name)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
