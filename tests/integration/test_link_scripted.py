"""The link against a broker that follows a script: what no real broker does on request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from random import Random

import pytest
from test_link_kit import EVENT, RESULT, STATUS, WAIT_S, Ear, running, settings

from edgeagent.errors import ConfigError, LinkError
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import (
    INBOUND_BYTES,
    Connected,
    Lost,
    Message,
    Outcome,
    Oversized,
    Published,
    Refused,
    Rejected,
    Subscribed,
)
from edgeagent.fleet.wire import variable_length

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 1, 3, 4, 8, 14
ACCEPTED = bytes.fromhex("20 03 00 00 00")  # CONNACK: success, no properties
TWO_AT_ONCE = bytes.fromhex("20 06 00 00 03 21 00 02")  # Receive Maximum 2
ONLY_QOS_0 = bytes.fromhex("20 07 00 00 04 24 00 25 00")  # Maximum QoS 0, Retain Available 0
NOT_AUTHORISED = bytes.fromhex("20 03 00 87 00")
BUSY = bytes.fromhex("20 03 00 89 00")
WRONG_VERSION = bytes.fromhex("20 03 00 84 00")
WRONG_VERSION_OLD = bytes.fromhex("20 02 00 01")
ACCEPTED_OLD = bytes.fromhex("20 02 00 00")
TAKEN_OVER = bytes.fromhex("e0 07 8e 05 1f 00 02 6e 6f")  # with a reason string: paho 2.1 overlooks shorter ones
SLOW = Schedule(base_s=500.0, cap_s=1000.0, floor_s=100.0)


@dataclass
class Peer:
    """The broker's end of one connection."""

    sock: socket.socket

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def packet(self) -> tuple[int, int, bytes]:
        """Type, flags and body of the next packet; type 0 when the client has closed."""
        first = self.sock.recv(1)
        if not first:
            return 0, 0, b""
        length, shift = 0, 0
        while True:
            byte = self.sock.recv(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = b""
        while len(body) < length:
            body += self.sock.recv(length - len(body))
        return first[0] >> 4, first[0] & 0x0F, body

    def publish(self) -> tuple[int, bytes, int]:
        """Packet id (0 with QoS 0), payload and flags of the next packet, which has to be a PUBLISH of MQTT 5."""
        kind, flags, body = self.packet()
        assert kind == PUBLISH, f"packet of type {kind}"
        rest = body[2 + int.from_bytes(body[:2], "big") :]
        mid = int.from_bytes(rest[:2], "big") if flags & 6 else 0
        rest = rest[2:] if flags & 6 else rest
        return mid, rest[1 + rest[0] :], flags

    def acknowledge(self, mid: int, code: int = 0) -> None:
        self.send(bytes((PUBACK << 4, 3)) + mid.to_bytes(2, "big") + bytes((code,)))


Script = Callable[[Peer], None]


@contextmanager
def scripted(*scripts: Script) -> Iterator[tuple[int, Ear]]:
    """Plays one script a connection, the last one for ever; what a script raises fails the test. Yields the port."""
    mistakes: list[BaseException] = []
    done = Ear()
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as sockets:

        def serve() -> None:
            for number in range(100):
                try:
                    accepted, _ = server.accept()
                except OSError:
                    return
                accepted.settimeout(WAIT_S)
                sockets.enter_context(accepted)
                try:
                    scripts[min(number, len(scripts) - 1)](Peer(accepted))
                except (OSError, IndexError):
                    pass
                except AssertionError as mistake:
                    mistakes.append(mistake)
                done(number)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1]), done
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT_S)
    assert not mistakes


def answering(connack: bytes, then: Script = lambda peer: None) -> Script:
    def script(peer: Peer) -> None:
        assert peer.packet()[0] == CONNECT
        peer.send(connack)
        then(peer)

    return script


def until_closed(peer: Peer) -> None:
    while peer.packet()[0] not in {0, DISCONNECT}:
        pass


def hanging_up(peer: Peer) -> None:
    peer.packet()
    peer.sock.close()


def version_of(connect: bytes) -> int:
    return connect[6]


@pytest.mark.parametrize("first", [hanging_up, answering(WRONG_VERSION), answering(WRONG_VERSION_OLD)])
def test_a_broker_of_old_is_tried_with_3_1_1_at_once_and_the_next_time_too(first: Script) -> None:
    versions = []

    def old(peer: Peer) -> None:
        _, _, body = peer.packet()
        versions.append(version_of(body))
        peer.send(ACCEPTED_OLD)
        if len(versions) > 1:
            until_closed(peer)
        peer.sock.close()

    with scripted(first, old) as (port, _), running(settings(port)) as (_, heard):
        for _ in range(2):
            assert heard.event(Connected).protocol == "3.1.1"
        assert versions == [4, 4]


def test_a_hang_up_by_a_broker_that_is_starting_does_not_downgrade_it() -> None:
    versions = []

    def new(peer: Peer) -> None:
        _, _, body = peer.packet()
        versions.append(version_of(body))
        peer.send(ACCEPTED)
        until_closed(peer)

    with scripted(hanging_up, hanging_up, new) as (port, _), running(settings(port)) as (_, heard):
        assert heard.event(Connected).protocol == "5"
    assert versions == [5]


@pytest.mark.parametrize(("connack", "slow"), [(NOT_AUTHORISED, True), (BUSY, False)])
def test_a_refusal_is_told_with_its_reason_and_its_schedule(connack: bytes, slow: bool) -> None:
    with (
        scripted(answering(connack, until_closed)) as (port, _),
        running(settings(port, protocol="5", refused=SLOW)) as (link, heard),
    ):
        refused = heard.event(Refused)
        assert refused.code == connack[3]
        assert (refused.retry_in_s >= SLOW.floor_s) is slow
        assert not link.stats().connected


def test_another_client_with_our_id_is_not_fought_over() -> None:
    script = answering(ACCEPTED + TAKEN_OVER)
    with scripted(script) as (port, _), running(settings(port, refused=SLOW)) as (_, heard):
        lost = heard.event(Lost)
        assert lost.was_connected
        assert "another client" in lost.reason
        assert lost.retry_in_s >= SLOW.floor_s


def test_a_silent_broker_is_given_up() -> None:
    wanted = {"protocol": "5", "connack_timeout_s": 0.1, "lost": SLOW}
    with scripted(until_closed) as (port, _), running(settings(port, **wanted)) as (_, heard):
        assert "does not answer" in heard.event(Lost).reason


def test_no_more_messages_are_in_flight_than_the_broker_wants() -> None:
    seen: list[bytes] = []

    def two_at_once(peer: Peer) -> None:
        for _ in range(3):
            window = [peer.publish() for _ in range(2)]
            peer.sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                peer.packet()
            peer.sock.settimeout(WAIT_S)
            for mid, payload, _ in window:
                seen.append(payload)
                peer.acknowledge(mid)
        until_closed(peer)

    with scripted(answering(TWO_AT_ONCE, two_at_once)) as (port, _), running(settings(port)) as (link, heard):
        for number in range(6):
            link.publish(EVENT, b"%d" % number, qos=1, retain=False, tag=number)
        for number in range(6):
            assert heard.event(Published).tag == number
    assert seen == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_qos_0_passes_while_the_window_is_full() -> None:
    def never_acknowledging(peer: Peer) -> None:
        payloads = {peer.publish()[1] for _ in range(3)}
        assert payloads == {b"a", b"b", b"measurement"}
        until_closed(peer)

    with (
        scripted(answering(TWO_AT_ONCE, never_acknowledging)) as (port, done),
        running(settings(port)) as (link, heard),
    ):
        heard.event(Connected)
        for payload in (b"a", b"b", b"c"):
            link.publish(EVENT, payload, qos=1, retain=False)
        link.publish(RESULT, b"measurement", qos=0, retain=False)
        link.stop()
        done.wait(lambda number: number == 0)
        assert link.stats().waiting >= 1


def test_unacknowledged_messages_are_sent_again_in_their_order_after_a_loss() -> None:
    again: list[bytes] = []

    def taking_without_a_word(peer: Peer) -> None:
        for _ in range(3):
            peer.publish()
        peer.sock.close()

    def taking(peer: Peer) -> None:
        for _ in range(3):
            mid, payload, _ = peer.publish()
            again.append(payload)
            peer.acknowledge(mid)
        until_closed(peer)

    scripts = (answering(ACCEPTED, taking_without_a_word), answering(ACCEPTED, taking))
    with scripted(*scripts) as (port, _), running(settings(port)) as (link, heard):
        for number in range(3):
            link.publish(EVENT, b"%d" % number, qos=1, retain=False, tag=number)
        assert [heard.event(Published).tag for _ in range(3)] == [0, 1, 2]
        assert link.stats().published == 3
    assert again == [b"0", b"1", b"2"]


def test_a_message_that_the_broker_rejects_is_counted_and_not_repeated() -> None:
    def rejecting(peer: Peer) -> None:
        mid, _, _ = peer.publish()
        peer.acknowledge(mid, 0x87)
        mid, payload, _ = peer.publish()
        assert payload == b"next"
        peer.acknowledge(mid)
        until_closed(peer)

    with scripted(answering(ACCEPTED, rejecting)) as (port, _), running(settings(port)) as (link, heard):
        link.publish(EVENT, b"bad", qos=1, retain=False, tag=1)
        rejected = heard.event(Published)
        assert (rejected.ok, rejected.reason) == (False, "Not authorized")
        link.publish(EVENT, b"next", qos=1, retain=False, tag=2)
        assert heard.event(Published).ok
        assert (link.stats().rejected, link.stats().published) == (1, 1)


def test_a_broker_without_qos_1_and_retain_gets_what_it_can_take() -> None:
    def poor(peer: Peer) -> None:
        mid, payload, flags = peer.publish()
        assert (mid, payload, flags) == (0, b"ready", 0)
        until_closed(peer)

    with scripted(answering(ONLY_QOS_0, poor)) as (port, _), running(settings(port)) as (link, heard):
        heard.event(Connected)
        link.publish(STATUS, b"ready", qos=1, retain=True, tag=1)
        assert heard.event(Published).ok


def test_garbage_from_the_broker_ends_the_connection_and_not_the_link() -> None:
    garbage = bytes.fromhex("40 01 00") + bytes.fromhex("90 01 00")  # a PUBACK and a SUBACK that are too short
    scripts = (answering(ACCEPTED + garbage), answering(ACCEPTED, until_closed))
    with scripted(*scripts) as (port, _), running(settings(port)) as (_, heard):
        heard.event(Connected)
        assert heard.event(Lost).was_connected
        heard.event(Connected)


def test_an_owner_that_raises_does_not_stop_the_link() -> None:
    def failing(event: object) -> None:
        heard(event)
        raise RuntimeError("the owner's bug")

    heard = Ear()

    def acknowledging(peer: Peer) -> None:
        mid, _, _ = peer.publish()
        peer.acknowledge(mid)
        until_closed(peer)

    with scripted(answering(ACCEPTED, acknowledging)) as (port, _):
        link = MqttLink(settings(port), failing, rng=Random(1))
        link.start()
        heard.event(Connected)
        link.publish(EVENT, b"event", qos=1, retain=False, tag=1)
        assert heard.event(Published).ok
        link.stop()
        assert link.stats().faults == 2


def test_a_stop_that_the_broker_does_not_confirm_leaves_the_will_to_speak() -> None:
    kinds: list[int] = []

    def deaf(peer: Peer) -> None:
        while not kinds or kinds[-1]:
            kinds.append(peer.packet()[0])

    with scripted(answering(ACCEPTED, deaf)) as (port, _):
        heard = Ear()
        link = MqttLink(settings(port, drain_s=0.1), heard)
        link.start()
        heard.event(Connected)
        link.stop((STATUS, b"stopped"))
    assert kinds == [PUBLISH, 0]  # closed without DISCONNECT


def test_expired_messages_are_not_sent_after_a_reconnection() -> None:
    def acknowledging(peer: Peer) -> None:
        mid, payload, _ = peer.publish()
        assert payload == b"fresh"
        peer.acknowledge(mid)
        until_closed(peer)

    with scripted(answering(ACCEPTED, acknowledging)) as (port, _):
        heard = Ear()
        link = MqttLink(settings(port), heard)
        link.publish(EVENT, b"stale", qos=1, retain=False, expiry_s=0.0)
        link.publish(EVENT, b"fresh", qos=1, retain=False, expiry_s=60.0, tag=1)
        link.start()
        assert heard.event(Published).ok
        link.stop()
        assert link.stats().expired == 1


def test_a_slow_socket_drops_old_results_instead_of_growing() -> None:
    stuck = threading.Event()

    def not_reading(peer: Peer) -> None:
        stuck.wait(WAIT_S)

    with scripted(answering(ACCEPTED, not_reading)) as (port, _), running(settings(port, drain_s=0.1)) as (link, heard):
        heard.event(Connected)
        for _ in range(1000):
            assert link.publish(RESULT, b"x" * 100_000, qos=0, retain=False) is Outcome.ACCEPTED
        stats = link.stats()
        assert stats.waiting <= 100
        assert stats.dropped_full > 500
        stuck.set()


def test_what_a_slow_broker_gets_is_whole_and_in_order() -> None:
    """Results go onto the socket at once until it is full, then through the queue, and at once again."""
    ready, got = threading.Event(), Ear()

    def slow(peer: Peer) -> None:
        ready.wait(WAIT_S)
        while True:
            mid, payload, _ = peer.publish()
            if mid:
                peer.acknowledge(mid)
            got(payload)
            if payload == b"last":
                return until_closed(peer)

    with scripted(answering(ACCEPTED, slow)) as (port, _), running(settings(port)) as (link, heard):
        heard.event(Connected)
        for number in range(300):
            link.publish(RESULT, b"%d " % number * 20_000, qos=0, retain=False)
        before = link.stats()
        assert before.waiting > 0 and before.dropped_full > 0, "the socket was never full"
        ready.set()
        link.publish(EVENT, b"event", qos=1, retain=False, tag=1)
        assert heard.event(Published).ok
        got.wait(lambda payload: payload.startswith(b"299 "))
        link.publish(RESULT, b"last", qos=0, retain=False)
        got.wait(lambda payload: payload == b"last")
        stats = link.stats()
    numbers = [int(payload.split()[0]) for payload in got.items if payload[:1].isdigit()]
    assert numbers == sorted(numbers)
    assert all(len(set(payload.split())) == 1 for payload in got.items)
    assert len(numbers) == 300 - stats.dropped_full
    assert stats.published == len(numbers) + 2


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b"])
def test_topics_that_mqtt_does_not_allow_are_refused_at_once(topic: str) -> None:
    link = MqttLink(settings(1), lambda event: None)
    with pytest.raises(LinkError):
        link.publish(topic, b"", qos=0, retain=False)
    with pytest.raises(LinkError):
        link.publish("a", b"", qos=2, retain=False)
    link.stop()


def test_settings_that_can_never_work_are_refused_at_the_start() -> None:
    link = MqttLink(settings(1, client_id=""), lambda event: None)
    with pytest.raises(ConfigError):
        link.start()
    link.stop()


def test_a_broker_that_says_no_to_a_message_is_told_of_once_a_topic() -> None:
    def rejecting(peer: Peer) -> None:
        for _ in range(3):
            mid, _, _ = peer.publish()
            peer.acknowledge(mid, 0x87)
        until_closed(peer)

    with scripted(answering(ACCEPTED, rejecting)) as (port, _), running(settings(port)) as (link, heard):
        for topic in (EVENT, EVENT, STATUS):
            link.publish(topic, b"bad", qos=1, retain=False, tag=1)
        for _ in range(3):
            assert not heard.event(Published).ok
        told = [item for item in heard.items if isinstance(item, Rejected)]
        assert told == [Rejected(EVENT, "Not authorized"), Rejected(STATUS, "Not authorized")]


def test_what_mqtt_5_says_beside_a_command_is_told() -> None:
    properties = b"\x02\x00\x00\x00\x3c" + b"\x08\x00\x05a/b/c" + b"\x09\x00\x03\x00\xff\x01"
    body = len(EVENT).to_bytes(2, "big") + EVENT.encode() + b"\x00\x07" + bytes([len(properties)]) + properties + b"{}"
    publish = bytes([0x32, len(body)]) + body

    def commanding(peer: Peer) -> None:
        peer.send(publish)
        kind, _, mid = peer.packet()
        assert (kind, mid[:2]) == (PUBACK, b"\x00\x07")
        until_closed(peer)

    with scripted(answering(ACCEPTED, commanding)) as (port, _), running(settings(port)) as (link, heard):
        message = heard.event(Message)
        assert (message.response_topic, message.correlation, message.expiry_s) == ("a/b/c", b"\x00\xff\x01", 60)
        assert message.ack is not None
        link.ack(message.ack)


def test_a_message_that_is_too_large_is_dropped_and_acknowledged() -> None:
    payload = b"x" * (INBOUND_BYTES + 1)
    body = len(EVENT).to_bytes(2, "big") + EVENT.encode() + b"\x00\x07" + payload

    def flooding(peer: Peer) -> None:
        peer.send(b"\x32" + variable_length(len(body)) + body)
        kind, _, mid = peer.packet()
        assert (kind, mid) == (PUBACK, b"\x00\x07")
        until_closed(peer)

    script = answering(ACCEPTED_OLD, flooding)
    with scripted(script) as (port, done), running(settings(port, protocol="3.1.1")) as (link, heard):
        assert heard.event(Oversized) == Oversized(EVENT, INBOUND_BYTES + 1)
        link.stop()
        done.wait(lambda number: number == 0)
        assert not any(isinstance(item, Message) for item in heard.items)


def test_the_broker_is_told_how_large_a_message_may_be() -> None:
    bodies = []

    def reading(peer: Peer) -> None:
        bodies.append(peer.packet()[2])
        peer.send(ACCEPTED)
        until_closed(peer)

    with scripted(reading) as (port, _), running(settings(port)) as (_, heard):
        heard.event(Connected)
    assert b"\x27" + (INBOUND_BYTES + 4096).to_bytes(4, "big") in bodies[0]


def test_a_subscription_that_was_refused_is_asked_for_again_with_the_next_connection() -> None:
    asked = []

    def refusing(peer: Peer) -> None:
        kind, _, body = peer.packet()
        asked.append(body)
        assert kind == SUBSCRIBE
        peer.send(bytes([0x90, 4]) + body[:2] + b"\x00\x87")
        peer.sock.close()

    def granting(peer: Peer) -> None:
        _, _, body = peer.packet()
        asked.append(body)
        peer.send(bytes([0x90, 4]) + body[:2] + b"\x00\x01")
        until_closed(peer)

    kept = bytes.fromhex("20 03 01 00 00")  # the session is still there
    with scripted(answering(kept, refusing), answering(kept, granting)) as (port, _):
        with running(settings(port)) as (link, heard):
            link.subscribe({EVENT: 1})
            assert heard.event(Subscribed).refused == ((EVENT, "Not authorized"),)
            assert heard.event(Subscribed).granted == (EVENT,)
    assert len(asked) == 2
