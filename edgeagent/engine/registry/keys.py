"""Files of private keys: PEM (PKCS #8, as openssl has it), mode 0600, never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgeagent.durable import sync
from edgeagent.engine.registry.errors import RegistrySetupError
from edgeagent.engine.registry.signing import SigningKey

MAX_BYTES = 16 * 1024
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_signing_key(path: Path) -> SigningKey:
    """A new key pair; the private key goes to `path`, which must not exist. Raises RegistrySetupError, OSError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise RegistrySetupError(
            "registry_signing_key", f"{path} exists and is not overwritten", mend="name a file that is not there yet"
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RegistrySetupError(
            "registry_signing_key", f"{path} cannot be written: {reason}", mend="name a file in a directory of yours"
        ) from error
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(fd)
        sync(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return _signing_key(private)


def load_signing_key(path: Path) -> SigningKey:
    """The key in `path`, with a warning when others may read the file. Raises RegistrySetupError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem, mode = _read(path)
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise RegistrySetupError(
            "registry_signing_key", f"{path} is protected by a pass phrase", mend="nobody could type it in on a device"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RegistrySetupError("registry_signing_key", f"{path} holds no private key in PEM") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise RegistrySetupError("registry_signing_key", f"the key in {path} is not of the kind Ed25519")
    loose = f"others than its owner may open {path}: chmod 600 {path}"
    return _signing_key(private, (loose,) if mode & OTHERS else ())


def _read(path: Path) -> tuple[bytes, int]:
    """(content, mode) of a small regular file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode):
                raise RegistrySetupError("registry_signing_key", f"{path} is no regular file")
            return file.read(MAX_BYTES), mode
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "use sudo, or name a key of yours" if isinstance(error, PermissionError) else None
        text = f"the signing key {path} cannot be read: {reason}"
        raise RegistrySetupError("registry_signing_key", text, mend=mend) from error


def _signing_key(private: object, warnings: tuple[str, ...] = ()) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    assert isinstance(private, Ed25519PrivateKey)  # noqa: S101  told to the type checker
    return SigningKey(private, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), warnings)
