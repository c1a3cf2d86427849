"""Secrets that stand in files: where a reference points, and what is there. Read when they are needed, never kept.

A reference is an absolute path, or `credential:NAME` for what systemd hands to the service (`LoadCredential=` in the
unit): the file NAME in the directory that $CREDENTIALS_DIRECTORY names. Nothing that is said here repeats what a file
holds.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgeagent.errors import ConfigError

PREFIX: Final = "credential:"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_MOST_BYTES: Final = 1024 * 1024


class CredentialError(ConfigError):
    """A file with a secret cannot be used. Another attempt may find it mended."""

    code = "credential"


def credential_path(reference: str, environ: Mapping[str, str] | None = None) -> Path:
    """The file that a reference means. Raises CredentialError where there can be none."""
    if not reference.startswith(PREFIX):
        return Path(reference)
    name = reference.removeprefix(PREFIX)
    if _NAME.fullmatch(name) is None or name in {".", ".."}:
        raise CredentialError(f"{name!r} cannot be a credential's name", mend="use letters, digits, _ - and .")
    folder = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise CredentialError(
            f"there is no credential {name}: the service has been given none",
            mend=f"add LoadCredential={name}:FILE to the unit, or name a file",
        )
    return Path(folder) / name


def read_credential(key: str, reference: str) -> bytes:
    """What the file of the setting `key` holds. Raises CredentialError, which names the key and the file."""
    path = credential_path(reference)
    try:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CredentialError(f"{key}: {path} is not a file")
            content = file.read(_MOST_BYTES + 1) or b""
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise CredentialError(f"{key}: {path} cannot be read: {reason}", mend="check the path and its owner") from error
    if len(content) > _MOST_BYTES:
        raise CredentialError(f"{key}: {path} is larger than a secret can be")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """A pipe without a writer would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_password(reference: str) -> str:
    """The first line of the file. Raises CredentialError."""
    lines = read_credential("password_file", reference).splitlines()
    try:
        password = lines[0].decode() if lines else ""
    except UnicodeDecodeError:
        raise CredentialError(f"password_file: {credential_path(reference)} is not text") from None
    if not password:
        mend = "write the password on its first line"
        raise CredentialError(f"password_file: {credential_path(reference)} is empty", mend=mend)
    return password


def exposed_to_all(reference: str) -> bool:
    """Whether everybody on the device can read that file. False where it cannot be told."""
    try:
        return bool(credential_path(reference).stat().st_mode & stat.S_IROTH)
    except (OSError, CredentialError):
        return False
