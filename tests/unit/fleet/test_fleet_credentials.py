"""Where a reference to a secret points, and what is said when it cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeagent.fleet.credentials import (
    CredentialError,
    credential_path,
    exposed_to_all,
    read_credential,
    read_password,
)


def test_a_path_is_itself_and_a_credential_lies_where_systemd_says() -> None:
    assert credential_path("/etc/x", {}) == Path("/etc/x")
    assert credential_path("credential:mqtt-key", {"CREDENTIALS_DIRECTORY": "/run/c"}) == Path("/run/c/mqtt-key")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "x" * 300])
def test_a_credential_cannot_lead_elsewhere(name: str) -> None:
    with pytest.raises(CredentialError, match="cannot be a credential's name"):
        credential_path(f"credential:{name}", {"CREDENTIALS_DIRECTORY": "/run/c"})


def test_without_a_directory_it_says_what_to_add_to_the_unit() -> None:
    with pytest.raises(CredentialError, match="given none") as caught:
        credential_path("credential:mqtt", {})
    assert "LoadCredential=mqtt:" in caught.value.mend


def test_the_password_is_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes("gehöim \nmore\n".encode())
    assert read_password(str(path)) == "gehöim "


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty"), (b"\nsecret\n", "is empty"), (b"\xff\xfe", "not text")]
)
def test_a_password_that_cannot_be_used_is_named_and_not_shown(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(CredentialError, match=says) as caught:
        read_password(str(path))
    assert str(path) in caught.value.line()
    assert "secret" not in caught.value.line()


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # must not wait for a writer
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2_000_000)
    for name, says in (("missing", "no such file"), (".", "directory"), ("pipe", "not a file"), ("large", "larger")):
        with pytest.raises(CredentialError, match=says):
            read_credential("key_file", str(tmp_path / name))


def test_who_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    assert not exposed_to_all(str(path))
    path.chmod(0o644)
    assert exposed_to_all(str(path))
    assert not exposed_to_all(str(tmp_path / "missing"))
    assert not exposed_to_all("credential:none")
