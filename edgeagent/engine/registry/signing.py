"""Detached Ed25519 signatures: a line that names the key and signs a manifest's exact bytes. Pure.

    ed25519 <key id> <base64 of the 64 bytes>\n

The key id is the first 16 hex digits of SHA-256 over the 32 bytes of the public key: it tells which key to try and is
trusted for nothing else. The signature is plain Ed25519 (RFC 8032) over the file's bytes, so other tools can check it.
A line has one spelling only: what is not written just so is no signature.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeagent.engine.registry.errors import RegistryDataError, RegistrySetupError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KIND = "ed25519"
PUBLIC_BYTES = 32
MAX_SIGNATURE_BYTES = 1024
LINE = re.compile(rb"ed25519 ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)\n")


@dataclass(frozen=True)
class SigningKey:
    """A private key, ready to sign. `warnings` is what a person should know about the file that it came from."""

    private: Ed25519PrivateKey
    public: bytes
    warnings: tuple[str, ...] = ()

    @property
    def public_text(self) -> str:
        """The public key as the config wants it: `ed25519:BASE64`."""
        return public_text(self.public)

    @property
    def key_id(self) -> str:
        return key_id(self.public)


def key_id(public: bytes) -> str:
    """Which key this is, in 16 hex digits."""
    return hashlib.sha256(public).hexdigest()[:16]


def public_text(public: bytes) -> str:
    return f"{KIND}:{base64.b64encode(public).decode()}"


def public_bytes(text: str) -> bytes:
    """The 32 bytes of a public key as the config has it. Raises RegistrySetupError."""
    kind, _, body = text.partition(":")
    try:
        public = base64.b64decode(body, validate=True)
    except ValueError:
        public = b""
    if kind != KIND or len(public) != PUBLIC_BYTES:
        raise RegistrySetupError("registry_bad_key", f"{text!r} is no public key")
    return public


def trusted_keys(trusted: Sequence[str]) -> list[bytes]:
    """All of them. Raises RegistrySetupError where there is none, or one that is none."""
    if not trusted:
        raise RegistrySetupError("registry_no_keys", "no public key is trusted, so nothing is taken from a registry")
    return [public_bytes(text) for text in trusted]


def sign(manifest: bytes, key: SigningKey) -> bytes:
    """The signature line for these bytes."""
    signature = base64.b64encode(key.private.sign(manifest)).decode()
    return f"{KIND} {key.key_id} {signature}\n".encode()


def verify_signature(manifest: bytes, signature: bytes | None, trusted: Sequence[str]) -> str:
    """The id of the trusted key that signed exactly these bytes. Nothing of them is parsed.

    Raises RegistrySetupError where no key or a wrong one is trusted, RegistryDataError where the signature does not
    count: registry_unsigned, registry_unknown_key, registry_bad_signature.
    """
    keys = trusted_keys(trusted)
    name, raw = _read_line(signature)
    named = [public for public in keys if key_id(public) == name]
    if not named:
        raise RegistryDataError("registry_unknown_key", f"it is signed by the key {name}, which is not trusted")
    if not any(_holds(public, raw, manifest) for public in named):
        raise RegistryDataError("registry_bad_signature", f"its signature by the key {name} does not fit its manifest")
    return name


def _read_line(signature: bytes | None) -> tuple[str, bytes]:
    """(key id, 64 bytes) of a signature file."""
    if signature is None:
        raise RegistryDataError("registry_unsigned", "it has no signature")
    found = LINE.fullmatch(signature) if len(signature) <= MAX_SIGNATURE_BYTES else None
    raw = base64.b64decode(found[2]) if found else b""
    if found is None or base64.b64encode(raw) != found[2]:
        raise RegistryDataError("registry_unsigned", "what should be its signature is none")
    return found[1].decode(), raw


def _holds(public: bytes, signature: bytes, manifest: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, manifest)
    except (InvalidSignature, ValueError):  # ValueError: the 32 bytes are no point of the curve
        return False
    return True
