"""Model bundles from a registry, by digest: fetched once, kept under their digest, compared before they are used.

models/<digest>/                 the bundle: model.toml, the ONNX, its weights; manifest.json and manifest.sig
models/.parts/<digest>/          what has come of one that is being fetched
models/.new-<digest>-XXXX/       one being put together
models/.damaged-<digest>/        the last one that was not what its manifest says
models/.locks/<digest>           held while one process fetches it; never deleted
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from edgeagent.durable import sync
from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.locks import try_lock
from edgeagent.engine.ownership import give_path_to_owner_of
from edgeagent.engine.registry.download import sweep_parts
from edgeagent.engine.registry.errors import RegistryDataError
from edgeagent.engine.registry.layout import MANIFEST, SIGNATURE, model_folder
from edgeagent.engine.registry.mirrors import Mirrors, Progress, bring_parts, offer_at, place
from edgeagent.engine.registry.model_manifest import ModelManifest
from edgeagent.engine.registry.signing import trusted_keys
from edgeagent.engine.registry.transport import Transport
from edgeagent.engine.registry.verdict import MAX_MANIFEST_BYTES, ApprovedModel, judge_model
from edgeagent.engine.registry.watch import Limits
from edgeagent.engine.store import sha256_of
from edgeagent.engine.store_files import make_folder
from edgeagent.engine.store_files import translated as told
from edgeagent.errors import ModelError, StoreError

NEW, DAMAGED, PARTS, LOCKS = ".new-", ".damaged-", ".parts", ".locks"


def find_model(digest: str, models_dir: Path) -> Path | None:
    """The bundle with that digest, every file compared with its manifest; None when there is none. A damaged one is set
    aside and counts as none. Raises StoreError when that cannot be told."""
    folder = models_dir / model_folder(digest).rpartition("/")[2]
    with told("read", folder):
        if not os.path.lexists(folder):
            return None
        if _is_whole(folder, digest):
            return folder
    aside = models_dir / f"{DAMAGED}{digest}"
    with told("set aside", folder), contextlib.suppress(FileNotFoundError):  # another process was first
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    return None


def fetch_model(
    digest: str,
    registries: Sequence[str],
    trusted: Sequence[str],
    models_dir: Path,
    limits: Limits,
    progress: Progress,
    *,
    now_ms: int | None = None,
) -> Path:
    """The directory of the bundle with that digest: the one that is there, else from the first registry that has it.

    `progress` and errors as with `fetch_engine`; RegistryDataError with the code registry_none when no registry has
    it. A directory appears whole or not at all.
    """
    with _lock(digest, models_dir):
        there = find_model(digest, models_dir)
        if there is not None:
            return there
        trusted_keys(trusted)
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        mirrors = Mirrors(registries, limits, progress)

        def ask(transport: Transport) -> Path | None:
            folder = model_folder(digest)
            offer = offer_at(transport, folder)
            if offer is None:
                return None
            approved = judge_model(offer, digest, trusted, limits.max_download_mb, now)
            return _kept(transport, folder, approved, models_dir, mirrors)

        found = mirrors.first(ask)
        if found is None:
            mirrors.raise_if_failed(f"the model {digest}")
            raise RegistryDataError("registry_none", f"no registry has the model {digest}")
        return found


def _kept(transport: Transport, folder: str, approved: ApprovedModel, models_dir: Path, mirrors: Mirrors) -> Path:
    digest = approved.manifest.digest
    parts = models_dir / PARTS / digest
    with _staging(digest, models_dir) as staging:
        place(approved, bring_parts(transport, folder, approved, parts, mirrors), staging)
        _check_bundle(staging, digest)
        target = models_dir / digest
        with told("write", target):
            (staging / MANIFEST).write_bytes(approved.offer.manifest)
            (staging / SIGNATURE).write_bytes(approved.offer.signature or b"")
            for file in (*staging.iterdir(), staging):
                give_path_to_owner_of(models_dir, file)
                sync(file)
            staging.rename(target)
            sync(models_dir)
    shutil.rmtree(parts, ignore_errors=True)
    sweep_parts(parts.parent, lambda name: _is_idle(models_dir / LOCKS / name))
    return target


def _check_bundle(folder: Path, digest: str) -> None:
    """Whether the files, each as it was signed, are a bundle with that digest. The ONNX itself is not opened."""
    try:
        found = load_bundle(str(folder)).digest
    except ModelError as error:
        raise RegistryDataError("registry_not_manifest", f"it is no model bundle: {error.message}") from error
    if found != digest:
        raise RegistryDataError("registry_wrong_key", f"its files are the model {found}, not {digest}")


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = ModelManifest.model_validate_json(file.read(MAX_MANIFEST_BYTES))
        same = all(sha256_of(folder / name) == record.sha256 for name, record in manifest.files.items())
        return same and manifest.digest == digest and load_bundle(str(folder)).digest == digest
    except (ValidationError, ModelError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


@contextlib.contextmanager
def _staging(digest: str, models_dir: Path) -> Iterator[Path]:
    """A new directory for the bundle; those of dead processes go first: the lock says that none is at work."""
    with told("write", models_dir):
        make_folder(models_dir)
        for old in models_dir.glob(f"{NEW}{digest}-*"):
            shutil.rmtree(old, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=f"{NEW}{digest}-", dir=models_dir))
        staging.chmod(0o755)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _lock(digest: str, models_dir: Path) -> Iterator[None]:
    model_folder(digest)
    with contextlib.ExitStack() as stack:
        with told("lock", models_dir):
            make_folder(models_dir / LOCKS)
            free = stack.enter_context(try_lock(models_dir / LOCKS / digest))
        if not free:
            raise StoreError("another process fetches this model", mend="wait for it", code="model_busy", retry=True)
        yield


def _is_idle(lock: Path) -> bool:
    with try_lock(lock) as free:
        return free
