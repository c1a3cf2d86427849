"""Where things lie in a registry, which is nothing but files behind a URL. Pure.

    engines/<key>/manifest.json        read first
    engines/<key>/<sha256>.sig         the signature of the manifest with that digest
    engines/<key>/<sha256>             the plan and every other file that the manifest names, by content
    models/<digest>/...                the same, for a model bundle
    subjects/<subject>                 the key of the engine last put there for that subject (engine/subject.py)

A subject's file is a hint and not signed: what it leads to is judged as everything else, its subject included.

Files are named by their content, and the manifest is written last. So an entry that is replaced while somebody reads it
is whole for the reader, whatever copies and caches of it are about: each manifest has its own signature and files.
"""

from __future__ import annotations

import hashlib
import re

from edgeagent.engine.registry.errors import RegistrySetupError

KEY = re.compile(r"[0-9a-f]{32}")
DIGEST = re.compile(r"[0-9a-f]{64}")
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"  # beside a manifest that was fetched
MODEL_PREFIX = "registry:"


def engine_folder(key: str) -> str:
    """Raises RegistrySetupError for what is no whole engine key."""
    if KEY.fullmatch(key) is None:
        raise RegistrySetupError("registry_url", f"{key!r} is no engine key", mend="a key is 32 hex digits")
    return f"engines/{key}"


def model_folder(digest: str) -> str:
    """Raises RegistrySetupError for what is no model digest."""
    if DIGEST.fullmatch(digest) is None:
        raise RegistrySetupError("registry_url", f"{digest!r} is no model's digest", mend="a digest is 64 hex digits")
    return f"models/{digest}"


def subject_path(subject: str) -> str:
    return f"subjects/{subject}"


def subject_line(key: str) -> bytes:
    return f"{key}\n".encode()


def key_in(subject_file: bytes) -> str | None:
    """The key that a subject's file names; None where it is no such file."""
    text = subject_file.decode("ascii", "replace").strip()
    return text if KEY.fullmatch(text) else None


def manifest_path(folder: str) -> str:
    return f"{folder}/{MANIFEST}"


def signature_path(folder: str, manifest: bytes) -> str:
    return f"{folder}/{hashlib.sha256(manifest).hexdigest()}.sig"


def file_path(folder: str, sha256: str) -> str:
    return f"{folder}/{sha256}"


def digest_in(model_path: str) -> str | None:
    """The digest in a model's path `registry:DIGEST`; None for any other path."""
    digest = model_path.removeprefix(MODEL_PREFIX)
    return digest if digest != model_path and DIGEST.fullmatch(digest) else None
