"""The link against real brokers: mosquitto for MQTT 5 and 3.1.1, amqtt as a broker that has never heard of MQTT 5."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_link_kit import (
    BRANCH,
    EVENT,
    RESULT,
    STATUS,
    Ear,
    amqtt,
    free_port,
    mosquitto,
    needs_mosquitto,
    program,
    running,
    settings,
    subscriber,
)

from edgeagent.fleet.backoff import REFUSED
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import (
    Connected,
    Lost,
    Message,
    Outcome,
    ProtocolWish,
    Published,
    Refused,
    Subscribed,
    TlsSettings,
    TooLarge,
    Will,
)

BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


class Owner(Ear):
    """What the agent does with a link: it publishes its status whenever the broker has accepted."""

    link: MqttLink

    def __call__(self, item: object) -> None:
        if isinstance(item, Connected):
            self.link.publish(STATUS, b"ready", qos=1, retain=True)
        super().__call__(item)


def owned(port: int, **changes: Any) -> tuple[MqttLink, Owner]:
    owner = Owner()
    owner.link = MqttLink(settings(port, **changes), owner)
    return owner.link, owner


@needs_mosquitto
@BOTH
def test_results_events_and_status_arrive(tmp_path: Path, protocol: ProtocolWish) -> None:
    port = free_port()
    with (
        mosquitto(tmp_path, port),
        subscriber(port) as seen,
        running(settings(port, protocol=protocol)) as (link, heard),
    ):
        connected = heard.event(Connected)
        assert (connected.protocol, connected.session_present) == (protocol, False)
        assert link.publish(STATUS, b"ready", qos=1, retain=True) is Outcome.ACCEPTED
        assert link.publish(EVENT, b"event", qos=1, retain=False, expiry_s=86400, tag=7) is Outcome.ACCEPTED
        assert heard.event(Published) == Published(7, EVENT, ok=True)
        assert link.publish(RESULT, b"result", qos=0, retain=False, expiry_s=10) is Outcome.ACCEPTED
        for line in (f"{STATUS} 1 0 ready", f"{EVENT} 1 0 event", f"{RESULT} 0 0 result"):
            seen.wait(lambda text, line=line: text == line)
        with subscriber(port) as late:
            late.wait(lambda line: line == f"{STATUS} 1 1 ready")
        stats = link.stats()
        assert (stats.published, stats.in_flight, stats.waiting, stats.dropped) == (3, 0, 0, 0)
        assert stats.heard_age_s is not None


@needs_mosquitto
@BOTH
def test_a_clean_stop_leaves_the_last_word_and_no_will(tmp_path: Path, protocol: ProtocolWish) -> None:
    port = free_port()
    with mosquitto(tmp_path, port) as log, subscriber(port) as seen:
        link, owner = owned(port, protocol=protocol)
        link.start()
        seen.wait(lambda line: line.endswith("ready"))
        link.stop((STATUS, b"stopped"))
        seen.wait(lambda line: line.endswith("stopped"))
        log.wait(lambda line: "Client bench disconnected" in line)
        with subscriber(port) as late:
            assert late.wait(lambda line: line.startswith(STATUS)) == f"{STATUS} 1 1 stopped"
        assert not any(line.endswith("lost") for line in seen.items)
        assert link.publish(EVENT, b"too late", qos=1, retain=False) is Outcome.DROPPED
        assert link.stats().losses == 0
        assert owner.event(Connected)


CHILD = """
import sys, threading
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkSettings, Will
up = threading.Event()
will = Will(sys.argv[3], b"lost", delay_s=0)
settings = LinkSettings("127.0.0.1", int(sys.argv[1]), "bench", protocol=sys.argv[2], will=will)
link = MqttLink(settings, lambda event: up.set() if isinstance(event, Connected) else None)
link.start()
up.wait(20)
link.publish(sys.argv[3], b"ready", qos=1, retain=True)
threading.Event().wait()
"""


@needs_mosquitto
@BOTH
def test_a_killed_process_is_reported_lost_by_the_broker(tmp_path: Path, protocol: ProtocolWish) -> None:
    port = free_port()
    with mosquitto(tmp_path, port), subscriber(port) as seen:
        with program([sys.executable, "-c", CHILD, str(port), protocol, STATUS], Ear()) as child:
            seen.wait(lambda line: line == f"{STATUS} 1 0 ready")
            child.send_signal(signal.SIGKILL)
            seen.wait(lambda line: line == f"{STATUS} 1 0 lost")
        with subscriber(port) as late:
            late.wait(lambda line: line == f"{STATUS} 1 1 lost")


@needs_mosquitto
@BOTH
def test_after_a_broker_restart_the_status_is_there_again(tmp_path: Path, protocol: ProtocolWish) -> None:
    port = free_port()
    link, owner = owned(port, protocol=protocol)
    with mosquitto(tmp_path, port):
        link.start()
        owner.event(Connected)
    lost = owner.event(Lost)
    assert lost.was_connected
    assert link.publish(EVENT, b"meanwhile", qos=1, retain=False) is Outcome.QUEUED
    assert link.publish(RESULT, b"stale", qos=0, retain=False) is Outcome.DROPPED
    with mosquitto(tmp_path, port):
        owner.event(Connected)
        with subscriber(port) as seen:
            seen.wait(lambda line: line == f"{STATUS} 1 1 ready")
        stats = link.stats()
        assert (stats.connects, stats.losses, stats.dropped_offline) == (2, 1, 1)
        link.stop()


@needs_mosquitto
def test_refused_credentials_are_reported_and_retried_slowly(tmp_path: Path) -> None:
    port = free_port()
    wanted = settings(port, username="bench", password="wrong-secret", refused=REFUSED)
    with mosquitto(tmp_path, port, "allow_anonymous false"), running(wanted) as (link, heard):
        refused = heard.event(Refused)
        assert refused.code in {0x86, 0x87}
        assert refused.retry_in_s >= REFUSED.floor_s
        assert not link.stats().connected
        assert link.stats().refusals == 1
        assert "wrong-secret" not in repr(wanted)


@needs_mosquitto
def test_a_broker_that_comes_later_is_found(tmp_path: Path) -> None:
    port = free_port()
    with running(settings(port)) as (link, heard):
        assert not heard.event(Lost).was_connected
        assert link.publish(EVENT, b"early", qos=1, retain=False, tag=1) is Outcome.QUEUED
        with mosquitto(tmp_path, port):
            assert heard.event(Connected).protocol == "5"
            assert heard.event(Published).ok


@needs_mosquitto
def test_a_message_larger_than_the_broker_takes_is_refused_here(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, port, "max_packet_size 1000"), running(settings(port)) as (link, heard):
        link.publish(EVENT, b"e" * 2000, qos=1, retain=False)
        assert heard.event(Connected).limits.max_packet_bytes == 1000
        assert heard.event(TooLarge).topic == EVENT
        assert link.publish(RESULT, b"r" * 2000, qos=0, retain=False) is Outcome.TOO_LARGE
        assert heard.event(TooLarge).topic == RESULT
        link.publish(EVENT, b"small", qos=1, retain=False, tag=1)
        assert heard.event(Published).ok
        assert (link.stats().too_large, link.stats().losses) == (2, 0)


@needs_mosquitto
def test_the_queue_is_bounded_and_the_order_is_kept(tmp_path: Path) -> None:
    port = free_port()
    link, owner = owned(port, queue_limit=5)
    link.publish(BRANCH + "info", b"old", qos=1, retain=True)
    for number in range(20):
        link.publish(EVENT, str(number).encode(), qos=1, retain=False)
    link.publish(BRANCH + "info", b"new", qos=1, retain=True)
    assert link.stats().waiting == 6
    assert (link.stats().dropped_full, link.stats().superseded) == (15, 1)
    with mosquitto(tmp_path, port), subscriber(port) as seen:
        link.start()
        seen.wait(lambda line: line == f"{EVENT} 1 0 19")
        link.stop((STATUS, b"stopped"))
        seen.wait(lambda line: line.endswith("stopped"))
        events = [line.split()[-1] for line in seen.items if line.startswith(EVENT)]
        assert events == ["15", "16", "17", "18", "19"]
        assert f"{BRANCH}info 1 0 new" in seen.items
        assert owner.event(Connected)


@needs_mosquitto
def test_a_small_receive_maximum_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, port, "max_inflight_messages 2"), subscriber(port) as seen:
        with running(settings(port)) as (link, heard):
            for number in range(100):
                link.publish(EVENT, str(number).encode(), qos=1, retain=False)
            assert heard.event(Connected).limits.window == 2
            seen.wait(lambda line: line == f"{EVENT} 1 0 99")
        events = [int(line.split()[-1]) for line in seen.items if line.startswith(EVENT)]
        assert events == list(range(100))


@needs_mosquitto
@BOTH
def test_what_was_not_acknowledged_comes_again(tmp_path: Path, protocol: ProtocolWish) -> None:
    port = free_port()
    wanted = settings(port, protocol=protocol)
    with mosquitto(tmp_path, port):
        with running(wanted) as (link, heard):
            link.subscribe({BRANCH + "cmd/#": 1})
            assert heard.event(Subscribed).granted == (BRANCH + "cmd/#",)
            with running(settings(port, client_id="operator", will=None)) as (operator, _):
                operator.publish(BRANCH + "cmd/restart", b"first", qos=1, retain=False)
                operator.publish(BRANCH + "cmd/restart", b"second", qos=1, retain=False)
                first, second = heard.event(Message), heard.event(Message)
            assert (first.payload, second.payload) == (b"first", b"second")
            assert first.ack is not None
            link.ack(first.ack)
            link.publish(EVENT, b"after the ack", qos=1, retain=False, tag=1)
            heard.event(Published)
        with running(wanted) as (link, heard):
            assert heard.event(Connected).session_present
            again = heard.event(Message)
            assert again.payload == b"second"
            link.ack(first.ack)  # of a connection that is gone: ignored, not misread


@needs_mosquitto
def test_subscriptions_survive_a_broker_that_forgot_the_session(tmp_path: Path) -> None:
    port = free_port()
    link, owner = owned(port)
    link.subscribe({BRANCH + "cmd/#": 1})
    with mosquitto(tmp_path, port):
        link.start()
        owner.event(Subscribed)
    with mosquitto(tmp_path, port):
        assert not owner.event(Connected).session_present
        assert owner.event(Subscribed).granted == (BRANCH + "cmd/#",)
        link.stop()


@pytest.mark.parametrize("will", [None, Will(STATUS, b"lost")])
def test_auto_falls_back_to_3_1_1_at_once(will: Will | None) -> None:
    """With a will in the packet this broker never answers CONNECT with version 5; without one it says no."""
    port = free_port()
    with amqtt(port), running(settings(port, will=will, connack_timeout_s=0.5)) as (link, heard):
        ending = heard.wait(lambda item: isinstance(item, (Lost, Refused)))
        assert ending.retry_in_s == 0.0
        assert heard.event(Connected).protocol == "3.1.1"
        link.publish(EVENT, b"event", qos=1, retain=False, expiry_s=10, tag=1)
        assert heard.event(Published).ok
        assert link.stats().protocol == "3.1.1"


@needs_mosquitto
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
# paho lets go of a socket whose TLS handshake failed without closing it
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_tls_verifies_the_broker(tmp_path: Path) -> None:
    port = free_port()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    key.chmod(0o644)
    tmp_path.chmod(0o755)
    with mosquitto(tmp_path, port, f"certfile {cert}", f"keyfile {key}", "user root"):
        with running(settings(port, tls=TlsSettings(ca_file=str(cert)))) as (link, heard):
            heard.event(Connected)
            link.publish(EVENT, b"e" * 50_000, qos=1, retain=False, tag=1)
            assert heard.event(Published).ok
        with running(settings(port, tls=TlsSettings())) as (link, heard):
            lost = heard.event(Lost)
            assert "certificate verify failed" in lost.reason
            assert not link.stats().connected
