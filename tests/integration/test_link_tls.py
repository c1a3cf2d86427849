"""TLS to a real broker: who is trusted, who we are, files that change, and a clock that is wrong after a boot."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from test_certificates_kit import HOUR, Authority, Pair, now
from test_link_kit import EVENT, RESULT, SOON, Ear, free_port, mosquitto, needs_mosquitto, running, settings, subscriber
from test_link_scripted import ACCEPTED, SLOW

from edgeagent.clock import ManualClock
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.inbound import command_topic, desired_topic, filters
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, Lost, Message, Published, Refused, Subscribed, TlsSettings
from edgeagent.fleet.topics import Topics

# paho lets go of a socket whose TLS handshake failed without closing it
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(authority: Authority) -> Pair:
    return authority.issue("broker")


def tls_listener(pair: Pair, *more: str) -> tuple[str, ...]:
    return (f"certfile {pair.cert}", f"keyfile {pair.key}", "user root", *more)


@needs_mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_messages_of_all_sizes_pass(tmp_path: Path, authority: Authority, broker: Pair, protocol: str) -> None:
    port = free_port()
    plain = free_port()
    wanted = settings(port, tls=TlsSettings(str(authority.ca)), protocol=protocol)
    listeners = (*tls_listener(broker), f"listener {plain} 127.0.0.1")
    with mosquitto(tmp_path, port, *listeners), subscriber(plain) as seen, running(wanted) as (link, heard):
        assert heard.event(Connected).broker == f"mqtts://127.0.0.1:{port}"
        for number in range(40):
            link.publish(EVENT, b"%02d" % number + b"e" * 1000 * number, qos=1, retain=False, tag=number)
            link.publish(RESULT, b"%02d" % number, qos=0, retain=False)
        for number in range(40):
            assert heard.event(Published).tag == number
        seen.wait(lambda line: line.startswith(f"{EVENT} 1 0 39"))
        assert sum(line.startswith(RESULT) for line in seen.items) == 40
        events = [line.split()[-1] for line in seen.items if line.startswith(EVENT)]
        assert events == [f"{number:02}" + "e" * 1000 * number for number in range(40)]


@needs_mosquitto
def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path, authority: Authority) -> None:
    port = free_port()
    other = authority.issue("other", address="10.0.0.1")
    wanted = settings(port, tls=TlsSettings(str(authority.ca)), refused=SLOW)
    with mosquitto(tmp_path, port, *tls_listener(other)), running(wanted) as (_, heard):
        lost = heard.event(Lost)
        assert (lost.kind, "another host" in lost.reason) == ("untrusted", True)
        assert lost.retry_in_s >= SLOW.floor_s


@needs_mosquitto
def test_an_authority_that_is_not_ours_and_an_expired_certificate_are_not_trusted(
    tmp_path: Path, authority: Authority
) -> None:
    port = free_port()
    expired = authority.issue("expired", begins=now() - 48 * HOUR, ends=now() - 24 * HOUR)
    for ca, said in ((None, "certificate verify failed"), (str(authority.ca), "has expired")):
        wanted = settings(port, tls=TlsSettings(ca), refused=SLOW)
        with mosquitto(tmp_path, port, *tls_listener(expired)), running(wanted) as (_, heard):
            lost = heard.event(Lost)
            assert (lost.kind, lost.retry_in_s >= SLOW.floor_s) == ("untrusted", True)
            assert said in lost.reason or ca is None


@needs_mosquitto
def test_a_client_certificate_is_the_login(tmp_path: Path, authority: Authority, broker: Pair) -> None:
    port = free_port()
    ours = authority.issue("device")
    options = tls_listener(
        broker, f"cafile {authority.ca}", "require_certificate true", "use_identity_as_username true"
    )
    tls = TlsSettings(str(authority.ca), str(ours.cert), str(ours.key))
    with mosquitto(tmp_path, port, *options) as log, running(settings(port, tls=tls)) as (_, heard):
        heard.event(Connected)
        log.wait(lambda line: "as bench" in line and "u'device'" in line)


ACL = re.findall(r"^pattern .*$", (Path(__file__).parents[2] / "docs" / "connection.md").read_text(), re.MULTILINE)


@needs_mosquitto
def test_the_access_list_of_the_docs_gives_a_device_its_branch_and_no_other(
    tmp_path: Path, authority: Authority, broker: Pair
) -> None:
    port, plain, rules = free_port(), free_port(), tmp_path / "acl"
    rules.write_text("\n".join((*ACL, "")).replace("plant-2", "lab"))
    ours = authority.issue("bench")
    asks = (f"cafile {authority.ca}", "require_certificate true", "use_identity_as_username true")
    options = (*tls_listener(broker, *asks), "per_listener_settings true", f"acl_file {rules}")
    options = (*options, "allow_anonymous true", f"listener {plain} 127.0.0.1", "allow_anonymous true")
    tls = TlsSettings(str(authority.ca), str(ours.cert), str(ours.key))
    topics = Topics("lab", "bench")
    with mosquitto(tmp_path, port, *options), running(settings(port, tls=tls)) as (link, heard):
        heard.event(Connected)
        link.subscribe(dict.fromkeys((*filters(topics, ("doors",)), topics.status), 1))
        heard.event(Subscribed)
        commands = [command_topic("lab", "x", device="bench"), command_topic("lab", "x", group="doors")]
        inbound = [*commands, command_topic("lab", "x"), desired_topic(topics), topics.status]
        with running(settings(plain, client_id="operator", will=None)) as (operator, _):
            for topic in inbound:
                operator.publish(topic, b"{}", qos=1, retain=False)
            assert {heard.event(Message).topic for _ in inbound} == set(inbound)
        for topic, allowed in ((EVENT, True), ("edgeagent/v1/lab/other/e/test", False)):
            link.publish(topic, b"event", qos=1, retain=False, tag=1)
            assert heard.event(Published).ok is allowed


@needs_mosquitto
@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("stranger", [False, True])
def test_a_broker_that_wants_a_certificate_of_its_own_says_so(
    tmp_path: Path, authority: Authority, broker: Pair, version: str, stranger: bool
) -> None:
    """TLS 1.3 says it only after the handshake; it must not pass for a broker that hangs up on MQTT 5."""
    port = free_port()
    other = Authority(tmp_path / "other", "stranger").issue("device")
    tls = (
        TlsSettings(str(authority.ca), str(other.cert), str(other.key)) if stranger else TlsSettings(str(authority.ca))
    )
    options = tls_listener(broker, f"cafile {authority.ca}", "require_certificate true", f"tls_version {version}")
    with mosquitto(tmp_path, port, *options), running(settings(port, tls=tls, refused=SLOW)) as (link, heard):
        refused = heard.event(Refused)
        assert "TLS" in refused.reason
        assert refused.retry_in_s >= SLOW.floor_s
        assert link.stats().connects == 0


@needs_mosquitto
def test_files_that_change_are_read_at_the_next_attempt(tmp_path: Path, authority: Authority, broker: Pair) -> None:
    port = free_port()
    ca, cert, key, password = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem", "password"))
    tls = TlsSettings(str(ca), str(cert), str(key))
    wanted = settings(port, tls=tls, username="me", password_file=str(password), files=SOON, refused=SOON)
    options = tls_listener(broker, f"cafile {authority.ca}", "require_certificate true")
    one, other = authority.issue("one"), authority.issue("other-one")
    with mosquitto(tmp_path, port, *options), running(wanted) as (_, heard):
        for path, source in ((ca, authority.ca), (cert, one.cert), (key, other.key)):
            assert heard.event(Lost).kind == "files"
            heard.wait(lambda item, path=path: isinstance(item, Lost) and str(path) in item.reason)
            path.write_bytes(source.read_bytes())
        heard.wait(lambda item: isinstance(item, Lost) and "does not belong" in item.reason)
        key.write_bytes(one.key.read_bytes())
        heard.wait(lambda item: isinstance(item, Lost) and "password_file" in item.reason)
        password.write_text("secret\n")
        heard.event(Connected)
        assert "secret" not in repr(wanted)


@needs_mosquitto
def test_a_new_password_needs_no_restart(tmp_path: Path) -> None:
    port = free_port()
    password, entries = tmp_path / "password", tmp_path / "passwords"
    password.write_text("old\n")
    entries.write_text("me:new\n")
    make_password_file(entries)
    wanted = settings(port, username="me", password_file=str(password), refused=SOON)
    options = ("allow_anonymous false", f"password_file {entries}", "user root")
    with mosquitto(tmp_path, port, *options), running(wanted) as (_, heard):
        assert heard.event(Refused).code in {0x86, 0x87}
        password.write_text("new\n")
        heard.event(Connected)
        assert not any("new" in str(item) for item in heard.items)


def make_password_file(entries: Path) -> None:
    subprocess.run(["mosquitto_passwd", "-U", str(entries)], check=True, capture_output=True)


def test_a_key_with_a_passphrase_is_told_and_not_asked_for(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("locked")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    tls = TlsSettings(str(authority.ca), str(pair.cert), str(pair.key))
    with running(settings(1, tls=tls)) as (_, heard):
        lost = heard.event(Lost)
        assert (lost.kind, "passphrase" in lost.reason) == ("files", True)


@contextmanager
def tls_sockets(make_context: Callable[[], ssl.SSLContext]) -> Iterator[int]:
    """Answers every connection with TLS and a CONNACK; the context is made anew for each. Yields the port."""
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while not stopping.is_set():
                with suppress(OSError):
                    accepted, _ = server.accept()
                    with make_context().wrap_socket(accepted, server_side=True) as client:
                        client.recv(4096)
                        client.sendall(ACCEPTED)
                        while client.recv(4096):
                            pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            stopping.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(20.0)


def server_context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


def test_a_certificate_that_is_not_valid_yet_is_waited_for(tmp_path: Path) -> None:
    """A clock that is a year late sees what ours sees of a certificate that begins in a year. The certificate is
    exchanged where the clock would be set, because the test cannot set the clock."""
    authority = Authority(tmp_path / "certificates")
    ours = [authority.issue("broker", begins=now() + timedelta(days=365), ends=now() + timedelta(days=700))]
    clock = ManualClock(wall_ms=3600_000)
    with tls_sockets(lambda: server_context(ours[0])) as port:
        heard_kinds: list[str] = []
        wanted = settings(port, tls=TlsSettings(str(authority.ca)), clock=Schedule(0.02, 0.1), refused=SLOW)
        heard = Ear()
        link = MqttLink(wanted, heard, clock=clock)
        link.start()
        try:
            for _ in range(3):
                lost = heard.event(Lost)
                heard_kinds.append(lost.kind)
            assert heard_kinds == ["clock"] * 3
            assert "1970-01-01 01:00" in lost.reason
            ours[0] = authority.issue("broker")
            heard.event(Connected)
        finally:
            link.stop()
