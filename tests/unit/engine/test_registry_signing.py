"""Signature lines and key files."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from registry_kit import OTHERS, OURS, STRANGERS, TRUSTED

from edgeagent.config.kinds import _checked_public_key
from edgeagent.engine.registry.errors import RegistryDataError, RegistrySetupError
from edgeagent.engine.registry.keys import load_signing_key, make_signing_key
from edgeagent.engine.registry.signing import key_id, public_bytes, sign, verify_signature

MANIFEST = b'{"any": "bytes"}\n'


def refusal(manifest: bytes, signature: bytes | None, trusted: list[str]) -> str:
    with pytest.raises((RegistryDataError, RegistrySetupError)) as caught:
        verify_signature(manifest, signature, trusted)
    assert caught.value.mend
    return caught.value.error_code


@pytest.mark.parametrize("key", [OURS, OTHERS])
def test_either_of_two_trusted_keys_counts(key):
    assert verify_signature(MANIFEST, sign(MANIFEST, key), TRUSTED) == key.key_id


def test_what_is_refused():
    good = sign(MANIFEST, OURS)
    assert refusal(MANIFEST, None, TRUSTED) == "registry_unsigned"
    assert refusal(MANIFEST, b"", TRUSTED) == "registry_unsigned"
    assert refusal(MANIFEST, b"<html>", TRUSTED) == "registry_unsigned"
    assert refusal(MANIFEST, good * 100, TRUSTED) == "registry_unsigned"
    assert refusal(MANIFEST, good.strip(), TRUSTED) == "registry_unsigned"
    assert refusal(MANIFEST + b" ", good, TRUSTED) == "registry_bad_signature"
    assert refusal(MANIFEST, sign(MANIFEST, STRANGERS), TRUSTED) == "registry_unknown_key"
    assert refusal(MANIFEST, good, []) == "registry_no_keys"
    assert refusal(MANIFEST, good, ["ed25519:short"]) == "registry_bad_key"


def test_a_trusted_keys_name_on_a_strangers_signature_is_refused():
    forged = sign(MANIFEST, STRANGERS).replace(STRANGERS.key_id.encode(), OURS.key_id.encode())
    assert refusal(MANIFEST, forged, TRUSTED) == "registry_bad_signature"


def test_a_line_has_one_spelling():
    """The last base64 digit of 64 bytes has four bits that decoders ignore."""
    good = sign(MANIFEST, OURS)
    body = good.split()[2]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(body[85]) ^ 1]
    twin = good.replace(body, body[:85] + bytes([other]) + b"==")
    assert base64.b64decode(twin.split()[2]) == base64.b64decode(body)
    assert refusal(MANIFEST, twin, TRUSTED) == "registry_unsigned"


def test_a_public_key_that_is_no_point_is_no_crash():
    weird = "ed25519:" + base64.b64encode(b"\xff" * 32).decode()
    forged = sign(MANIFEST, OURS).replace(OURS.key_id.encode(), key_id(b"\xff" * 32).encode())
    assert refusal(MANIFEST, forged, [weird]) == "registry_bad_signature"


def test_the_configs_check_and_ours_take_the_same_keys():
    assert public_bytes(_checked_public_key(OURS.public_text)) == OURS.public


# files


def test_a_new_key_reads_back_and_belongs_to_its_owner_only(tmp_path):
    made = make_signing_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    read = load_signing_key(tmp_path / "key")
    assert read.public == made.public and not read.warnings
    assert verify_signature(MANIFEST, sign(MANIFEST, read), [made.public_text]) == made.key_id


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_that_is_there_is_not_overwritten(tmp_path, kind):
    path = tmp_path / "key"
    if kind == "file":
        path.write_bytes(b"precious")
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RegistrySetupError) as caught:
        make_signing_key(path)
    assert caught.value.error_code == "registry_signing_key"
    assert not (tmp_path / "elsewhere").exists()
    assert kind == "link" or path.read_bytes() == b"precious"


def test_a_key_that_others_may_read_is_warned_of(tmp_path):
    make_signing_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    (warning,) = load_signing_key(tmp_path / "key").warnings
    assert f"chmod 600 {tmp_path}/key" in warning


def test_files_that_are_no_signing_key(tmp_path):
    make_signing_key(tmp_path / "good")
    locked = load_signing_key(tmp_path / "good").private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (
        b"",
        b"\0" * 5000,
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        locked,
        curve,
    ):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(RegistrySetupError) as caught:
            load_signing_key(tmp_path / "bad")
        assert caught.value.error_code == "registry_signing_key"
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(RegistrySetupError):
            load_signing_key(path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_the_key_and_checks_the_signature(tmp_path: Path):
    key = make_signing_key(tmp_path / "key")
    (tmp_path / "manifest").write_bytes(MANIFEST)
    (tmp_path / "raw").write_bytes(base64.b64decode(sign(MANIFEST, key).split()[2]))
    subprocess.run(["openssl", "pkey", "-in", "key", "-pubout", "-out", "public"], cwd=tmp_path, check=True)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public", "-rawin", "-in", "manifest"]
    done = subprocess.run([*command, "-sigfile", "raw"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Success" in done.stdout, done
