"""One entry of the store as it lies on disk: read, compared with its manifest, made ready to be renamed into place.

    plan             the engine's bytes
    manifest.json    what it is: sizes and SHA-256 of the plan and of every other file; as it was signed, byte for byte
    manifest.sig     the signature of the manifest, where it was fetched from a registry
    ...              what else the manifest lists: calibration cache, build log, layers

Everything else in the directory is a stranger; `seal` removes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgeagent.durable import sync
from edgeagent.engine.manifest import FileRecord, Manifest
from edgeagent.engine.ownership import give_path_to_owner_of

PLAN, MANIFEST, SIGNATURE = "plan", "manifest.json", "manifest.sig"
OWN_NAMES = frozenset({PLAN, MANIFEST, SIGNATURE})
# What the file system says of a damaged entry. Anything else (no right, no descriptor left) says nothing about it.
DAMAGE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ELOOP, errno.EUCLEAN})
BLOCK = 1 << 20
MAX_MANIFEST_BYTES = 4_000_000


class NotWhole(Exception):
    """An entry is not what its manifest says; the text is why, in a few words."""


class OtherRelease(NotWhole):
    """Its manifest is of a schema that this release does not write."""


@dataclass(frozen=True)
class Entry:
    """A verified entry: plan and files matched the manifest when it was looked up."""

    manifest: Manifest
    plan_path: Path

    @property
    def folder(self) -> Path:
        return self.plan_path.parent

    def file(self, name: str) -> Path | None:
        """The file beside the plan that the manifest lists under this name."""
        return self.folder / name if name in self.manifest.files else None


def verified(folder: Path, key: str) -> Entry:
    """The entry in `folder`, whole and of that key: every byte that the manifest speaks of was read and compared.

    Raises NotWhole, and OSError where it cannot be told.
    """
    manifest = read_manifest(folder)
    if manifest.key != key:
        raise NotWhole(f"its manifest is that of the engine {manifest.key}")
    if taken := sorted(OWN_NAMES & manifest.files.keys()):
        raise NotWhole(f"its manifest lists {taken[0]} as a file beside the plan")
    files = {PLAN: FileRecord(bytes=manifest.plan_bytes, sha256=manifest.plan_sha256), **manifest.files}
    try:
        for name, record in files.items():  # sizes first: they cost nothing
            if (size := (folder / name).stat().st_size) != record.bytes:
                raise NotWhole(f"its {name} has {size} bytes, and its manifest says {record.bytes}")
        for name, record in files.items():
            if sha256_of(folder / name) != record.sha256:
                raise NotWhole(f"its {name} is not the one that its manifest names")
    except OSError as error:
        raise _judged(error) from error
    return Entry(manifest, folder / PLAN)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`. Raises NotWhole, OtherRelease among it, and OSError where it cannot be told."""
    try:
        data = read_manifest_bytes(folder)
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        if schema := _schema_in(data):
            raise OtherRelease(f"made by another release of edgeagent ({schema})") from error
        raise NotWhole("its manifest cannot be read") from error
    except OSError as error:
        raise _judged(error) from error


def read_manifest_bytes(folder: Path) -> bytes:
    """The manifest's bytes, at most a few megabytes of them. Raises OSError."""
    with (folder / MANIFEST).open("rb") as file:
        return file.read(MAX_MANIFEST_BYTES)


def seal(staging: Path, manifest: Manifest, data: bytes, signature: bytes | None) -> None:
    """Make `staging` an entry ready to be renamed: `data` as its manifest, strangers gone, all of it on the disk.

    Raises OSError.
    """
    wanted = {PLAN, *manifest.files}
    for path in staging.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (staging / MANIFEST).write_bytes(data)
    if signature is not None:
        (staging / SIGNATURE).write_bytes(signature)
    for path in sorted(staging.iterdir()):
        give_path_to_owner_of(staging.parent, path)
        sync(path)
    give_path_to_owner_of(staging.parent, staging)
    sync(staging)


def size_of(folder: Path) -> int:
    """The bytes of all files under `folder`; what cannot be looked at counts nothing."""
    if not folder.is_dir() or folder.is_symlink():
        return 0 if not folder.is_file() else folder.lstat().st_size
    whole = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                whole += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118
            except OSError:
                continue
    return whole


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(BLOCK):
            digest.update(chunk)
    return digest.hexdigest()


def _judged(error: OSError) -> Exception:
    """What an error says of an entry: that it is damaged, or nothing."""
    if error.errno in DAMAGE:
        name = Path(str(error.filename)).name if error.filename else "it"
        return NotWhole(f"{name}: {(error.strerror or str(error)).lower()}")
    return error


def _schema_in(data: bytes) -> str:
    """The schema of something that is JSON and no manifest of ours, "" where it is neither or of this very release."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    schema = told.get("schema") if isinstance(told, dict) else None
    ours = Manifest.model_fields["schema_"].default
    return schema[:40] if isinstance(schema, str) and schema.isprintable() and schema != ours else ""
