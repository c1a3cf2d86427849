"""Registries behind https: certificates count, and nothing leads away from it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from lying_server import LyingServer, on, serving

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from registry_kit import PLAN_BYTES, Ground, ground

from edgeagent.engine.registry.errors import RegistryTransportError

DAY = datetime.timedelta(days=1)


def certificate(folder: Path, name: str, days: tuple[int, int] = (-1, 30)) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for `name`, valid between two days from now; a server's context with it."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


@pytest.fixture
def place(tmp_path: Path) -> Ground:
    return ground(tmp_path)


@pytest.fixture
def secured(place: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingServer]:
    """A server whose certificate is in the system's store, as the environment names it."""
    path, context = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(place.registry, context) as server:
        yield server


def code(place: Ground, url: str) -> tuple[str, str]:
    with pytest.raises(RegistryTransportError) as caught:
        place.fetch(url)
    place.assert_nothing_stored()
    return caught.value.error_code, caught.value.message


def test_a_server_that_proves_who_it_is(place: Ground, secured: LyingServer) -> None:
    fetched = place.fetch(secured.url)
    assert fetched is not None and fetched.entry.plan_path.read_bytes() == PLAN_BYTES


def test_a_server_that_nobody_vouches_for(place: Ground, tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "localhost")
    with serving(place.registry, context) as server:
        got, message = code(place, server.url)
        assert got == "registry_unreachable" and "self-signed" in message.replace("self signed", "self-signed")
        assert server.asked == []


@pytest.mark.parametrize(
    ("name", "days"), [("elsewhere.example", (-1, 30)), ("localhost", (-3, -1)), ("localhost", (1, 3))]
)
def test_a_certificate_of_another_or_of_another_time(
    place: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, days: tuple[int, int]
) -> None:
    path, context = certificate(tmp_path, name, days)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(place.registry, context) as server:
        got, message = code(place, server.url)
        assert got == "registry_unreachable" and "does not prove who it is" in message


def test_a_redirect_from_https_to_http_is_not_followed(place: Ground, secured: LyingServer) -> None:
    with serving(place.registry) as plain:
        secured.trick = on("", lambda handler: handler.answer(302, b"", Location=plain.url + handler.path))
        got, message = code(place, secured.url)
        assert got == "registry_redirect" and "not protected" in message
        assert plain.asked == []


def test_a_redirect_from_http_to_https_is(place: Ground, secured: LyingServer) -> None:
    with serving(place.registry) as plain:
        plain.trick = on("", lambda handler: handler.answer(302, b"", Location=secured.url + handler.path))
        assert place.fetch(plain.url) is not None


def test_a_web_server_without_tls_behind_https(place: Ground) -> None:
    with serving(place.registry) as plain:
        assert code(place, plain.url.replace("http:", "https:"))[0] == "registry_unreachable"


def test_a_server_that_falls_silent_in_the_handshake(place: Ground) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        got, _ = code(place, f"https://localhost:{silent.getsockname()[1]}")
    assert got in ("registry_stalled", "registry_unreachable")
