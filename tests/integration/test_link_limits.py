"""What a broker allows: never more in flight, never larger, and what is not allowed is told."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
from test_link_kit import (
    BRANCH,
    EVENT,
    RESULT,
    STATUS,
    free_port,
    mosquitto,
    needs_mosquitto,
    running,
    settings,
    subscriber,
)
from test_link_scripted import CONNECT, DISCONNECT, PUBLISH, SLOW, Peer, Script, scripted

from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, Outcome, Published, Refused, Rejected, Subscribed

WINDOW, LARGEST = 5, 4096
NARROW = bytes.fromhex("20 0b 00 00 08 21 00 05 27 00 00 10 00")  # Receive Maximum 5, Maximum Packet Size 4096


class Counter:
    """A broker that counts: what is in flight on a connection, how large packets are, what has come."""

    def __init__(self, last: bytes) -> None:
        self.last = last
        self.most_in_flight = self.largest = 0
        self.events: list[bytes] = []
        self.done = threading.Event()

    def connection(self, leaves_after: int | None) -> Script:
        """Acknowledges the older half whenever the window is full; hangs up after so many messages."""

        def script(peer: Peer) -> None:
            assert peer.packet()[0] == CONNECT
            peer.send(NARROW)
            waiting: list[int] = []
            taken = 0
            peer.sock.settimeout(0.3)
            while leaves_after is None or taken < leaves_after:
                try:
                    kind, flags, body = peer.packet()
                except TimeoutError:  # nothing more comes until something is acknowledged
                    acknowledge(peer, waiting, len(waiting))
                    continue
                if kind in {0, DISCONNECT}:
                    return
                if kind != PUBLISH:
                    continue
                taken += 1
                self._count(body, flags, waiting)
                if len(waiting) == WINDOW:
                    acknowledge(peer, waiting, 2)
            peer.sock.close()

        return script

    def _count(self, body: bytes, flags: int, waiting: list[int]) -> None:
        self.largest = max(self.largest, len(body) + 1 + (1 if len(body) < 128 else 2))
        if flags & 6:
            rest = body[2 + int.from_bytes(body[:2], "big") :]
            waiting.append(int.from_bytes(rest[:2], "big"))
            self.most_in_flight = max(self.most_in_flight, len(waiting))
            self.events.append(rest[3 + rest[2] :])
            if self.events[-1].startswith(self.last):
                self.done.set()


def acknowledge(peer: Peer, waiting: list[int], count: int) -> None:
    for mid in waiting[:count]:
        peer.acknowledge(mid)
    del waiting[:count]


def test_a_narrow_broker_is_never_overrun_under_load_and_through_reconnections() -> None:
    """Four threads publish events, states and results of all sizes, some too large, while connections break."""
    counter = Counter(b"last")
    scripts = [counter.connection(each) for each in (40, 1, 90, 7, 150, None)]
    with scripted(*scripts) as (port, _), running(settings(port, protocol="5", queue_limit=5000)) as (link, heard):
        heard.event(Connected)
        threads = [threading.Thread(target=load, args=(link, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        link.publish(EVENT, b"last", qos=1, retain=False, tag=1)
        assert counter.done.wait(60)
        heard.wait(lambda item: isinstance(item, Published) and item.tag == 1)
        stats = link.stats()
    assert (counter.most_in_flight, stats.connects, stats.losses) == (WINDOW, 6, 5)
    assert LARGEST * 0.9 < counter.largest <= LARGEST
    for number in range(4):
        came = [event for event in counter.events if event.startswith(b"%d-" % number)]
        first_time = list(dict.fromkeys(came))
        assert [event.split()[0] for event in first_time] == [b"%d-%03d" % (number, n) for n in range(100)]
    assert 40 <= stats.too_large <= 80  # all of QoS 1; of QoS 0 those that found a connection


def load(link: MqttLink, number: int) -> None:
    topic = f"{BRANCH}e/test-{number}"
    for n in range(100):
        link.publish(topic, b"%d-%03d " % (number, n) + b"x" * (n * 40), qos=1, retain=False)
        link.publish(RESULT, b"r" * (n * 40), qos=0, retain=False)
        link.publish(STATUS, b"s" * n, qos=1, retain=True)
        if n % 10 == 0:
            link.publish(topic, b"too large " + b"x" * LARGEST, qos=1, retain=False)
            link.publish(RESULT, b"too large " + b"x" * LARGEST, qos=0, retain=False)


@needs_mosquitto
def test_a_narrow_mosquitto_gets_everything_in_order(tmp_path: Path) -> None:
    port = free_port()
    narrow = (f"max_inflight_messages {WINDOW}", f"max_packet_size {LARGEST}")
    with mosquitto(tmp_path, port, *narrow) as log, subscriber(port, BRANCH + "e/#") as seen:
        with running(settings(port)) as (link, heard):
            limits = heard.event(Connected).limits
            assert (limits.window, limits.max_packet_bytes) == (WINDOW, LARGEST)
            for number in range(300):
                link.publish(EVENT, b"%03d" % number + b"x" * number * 12, qos=1, retain=False)
            assert link.publish(EVENT, b"x" * LARGEST, qos=1, retain=False) is Outcome.TOO_LARGE
            seen.wait(lambda line: line.startswith(f"{EVENT} 1 0 299"))
            assert link.stats().losses == 0
        events = [line.split()[-1][:3] for line in seen.items if line.startswith(EVENT)]
        assert events == [f"{number:03}" for number in range(300)]
        assert not any("bench" in line and ("quota" in line or "too large" in line) for line in log.items)


def login(folder: Path, *acl: str) -> tuple[str, ...]:
    """Options for a broker that knows one user, me with the password right, who may do what `acl` says."""
    passwords, rules = folder / "passwords", folder / "acl"
    passwords.write_text("me:right\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    rules.write_text("\n".join(("user me", *acl, "")))
    return ("allow_anonymous false", f"password_file {passwords}", f"acl_file {rules}", "user root")


@needs_mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_bad_credentials_are_told_as_such_and_retried_slowly(tmp_path: Path, protocol: str) -> None:
    port = free_port()
    wanted = settings(port, username="me", password="wrong", protocol=protocol, refused=SLOW)
    with mosquitto(tmp_path, port, *login(tmp_path)), running(wanted) as (link, heard):
        refused = heard.event(Refused)
        assert refused.reason in {"Not authorized", "Bad user name or password"}
        assert refused.retry_in_s >= SLOW.floor_s
        assert (link.stats().refusals, link.stats().connects) == (1, 0)


@needs_mosquitto
def test_a_message_that_is_not_authorised_is_told_once_and_the_rest_goes_through(tmp_path: Path) -> None:
    port = free_port()
    options = login(tmp_path, f"topic write {EVENT}")
    wanted = settings(port, username="me", password="right", will=None)
    with mosquitto(tmp_path, port, *options), running(wanted) as (link, heard):
        heard.event(Connected)
        for number in range(3):
            link.publish(STATUS, b"ready", qos=1, retain=False, tag=number)
            assert not heard.event(Published).ok
        link.publish(EVENT, b"event", qos=1, retain=False, tag=9)
        assert heard.wait(lambda item: isinstance(item, Published) and item.tag == 9).ok
        assert [item for item in heard.items if isinstance(item, Rejected)] == [Rejected(STATUS, "Not authorized")]
        assert (link.stats().rejected, link.stats().losses) == (3, 0)


@needs_mosquitto
def test_mosquitto_takes_a_subscription_that_its_acl_forbids_and_sends_nothing(tmp_path: Path) -> None:
    """Known of mosquitto 2: reading is checked at each message. Nothing on the wire tells us."""
    port = free_port()
    options = login(tmp_path, f"topic write {EVENT}")
    with mosquitto(tmp_path, port, *options):
        with running(settings(port, username="me", password="right", will=None)) as (link, heard):
            link.subscribe({EVENT: 1})
            assert heard.event(Subscribed).granted == (EVENT,)
