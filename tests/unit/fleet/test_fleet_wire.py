"""The short way of QoS 0 over real sockets: whole packets in order, never a wait, never a mixed packet."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeagent.clock import ManualClock
from edgeagent.fleet.link_desk import Desk, Line
from edgeagent.fleet.link_types import LinkSettings, Outcome, ServerLimits
from edgeagent.fleet.outqueue import Outgoing
from edgeagent.fleet.wire import Wire, publish_packet, variable_length

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A TCP connection: it takes parts of packets, which a pair of Unix sockets does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(LinkSettings("nowhere", 1, "me"), ManualClock())
    yield made
    made.close()


def received(theirs: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += theirs.recv(count - len(data))
    return data


@given(st.integers(0, 268_435_455))
def test_a_length_is_read_back(value: int) -> None:
    read, shift = 0, 0
    for byte in variable_length(value):
        read |= (byte & 0x7F) << shift
        shift += 7
    assert read == value
    assert len(variable_length(value)) == 1 + (value > 127) + (value > 16_383) + (value > 2_097_151)


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("expiry_s", [None, 10, 86_400])
@pytest.mark.parametrize("size", [0, 90, 200, 20_000])
def test_a_packet_is_what_paho_would_send(retain: bool, expiry_s: int | None, size: int) -> None:
    topic, payload = "edgeagent/v1/höhe/x/r/cam/p", b"\x00{" * (size // 2)
    properties = Properties(PacketTypes.PUBLISH)
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    for protocol, version in (("5", MQTTv5), ("3.1.1", MQTTv311)):
        ours = publish_packet(topic, payload, retain=retain, expiry_s=expiry_s, protocol=protocol)  # type: ignore[arg-type]
        assert ours == _paho(version, topic, payload, retain, properties)


def _paho(version: int, topic: str, payload: bytes, retain: bool, properties: Properties) -> bytes:
    from paho.mqtt.client import Client, MQTTMessageInfo
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2, protocol=version)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client._sock = ours  # the only way to see its bytes without a broker
        given = properties if version == MQTTv5 else None
        client._send_publish(1, topic.encode(), payload, 0, retain, False, MQTTMessageInfo(1), given)
        client.loop_write()
        client._sock = None
        ours.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: theirs.recv(65536), b""))


def test_a_socket_that_is_full_takes_a_beginning_and_then_nothing_until_its_end(ends: Ends) -> None:
    ours, theirs = ends
    wire = Wire(ours, busy=lambda: False)
    packets = [bytes([number]) * 100_000 for number in range(256)]
    sent = [packet for packet in packets if wire.send(packet)]
    assert 0 < len(sent) < len(packets)
    assert wire.rest, "the last one was begun"
    assert not wire.send(b"x")
    got = b""
    while wire.rest:
        got += theirs.recv(65536)
        with wire.lock:
            wire.flush()
    whole = b"".join(sent)
    assert got + received(theirs, len(whole) - len(got)) == whole
    assert wire.send(b"again")


def test_nothing_is_sent_while_the_other_thread_is_at_it_or_has_something_to_send(ends: Ends) -> None:
    busy = [False]
    wire = Wire(ends[0], busy=lambda: busy[0])
    with wire.lock:
        assert not wire.send(b"x")
    busy[0] = True
    assert not wire.send(b"x")
    busy[0] = False
    assert wire.send(b"y")
    assert ends[1].recv(10) == b"y"


def test_a_broken_connection_is_left_to_the_links_thread(ends: Ends) -> None:
    ends[0].shutdown(socket.SHUT_WR)
    wire = Wire(ends[0], busy=lambda: False)
    assert not wire.send(b"x" * 100)
    assert not wire.rest


# the desk's choice of the way


def _line(wire: Wire | None, limit: int = 1000) -> Line:
    return Line("5", ServerLimits(max_packet_bytes=limit), session_present=False, heard_ns=0, wire=wire)


def _result(text: bytes = b"{}", qos: int = 0, tag: int | None = None) -> Outgoing:
    return Outgoing("r/cam/p", text, qos, False, None, tag)


def test_a_message_takes_the_short_way_only_where_nothing_waits(desk: Desk, ends: Ends) -> None:
    assert desk.put(_result()) == Outcome.DROPPED, "nobody is there"
    desk.online(_line(Wire(ends[0], busy=lambda: False)))
    assert desk.put(_result()) == Outcome.ACCEPTED
    assert desk.stats().published == 1
    assert desk.put(_result(qos=1)) == Outcome.ACCEPTED, "waits for the thread"
    assert desk.put(_result(b"later")) == Outcome.ACCEPTED
    assert (desk.stats().published, desk.stats().waiting) == (1, 2), "it overtakes nobody"
    first, second = desk.take(0, room=1), desk.take(0, room=1)
    assert first is not None and second is not None and (first.qos, second.payload) == (1, b"later")
    assert desk.put(_result(tag=5)) == Outcome.ACCEPTED
    assert desk.stats().waiting == 1, "whoever wants to hear of it takes the way that tells"
    desk.offline(lost=True)
    assert desk.put(_result()) == Outcome.DROPPED


def test_what_is_too_large_or_encrypted_takes_the_long_way(desk: Desk, ends: Ends) -> None:
    desk.online(_line(Wire(ends[0], busy=lambda: False), limit=100))
    assert desk.put(_result(b"x" * 200)) == Outcome.TOO_LARGE
    desk.online(_line(None))
    assert desk.put(_result()) == Outcome.ACCEPTED
    assert (desk.stats().published, desk.stats().waiting) == (0, 1)
    desk.close()
    assert desk.put(_result()) == Outcome.DROPPED


def test_many_threads_and_a_slow_reader_never_mix_packets(ends: Ends) -> None:
    ours, theirs = ends
    wire = Wire(ours, busy=lambda: False)
    stop = threading.Event()
    counts = [0] * 4

    def publish(number: int) -> None:
        rng = Random(number)
        while counts[number] < 150:
            size = rng.randrange(1, 9000)
            packet = publish_packet("t", bytes([65 + number]) * size, retain=False, expiry_s=None, protocol="5")
            counts[number] += wire.send(packet)

    def flush() -> None:
        while not stop.is_set():
            with wire.lock:
                wire.flush()

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    flusher = threading.Thread(target=flush)
    for thread in (*threads, flusher):
        thread.start()
    seen = [0] * 4
    while sum(seen) < 600:
        assert received(theirs, 1) == b"\x30"
        length, shift = 0, 0
        while True:
            byte = received(theirs, 1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        payload = received(theirs, length)[4:]
        assert len(set(payload)) == 1, "a packet of one thread in that of another"
        seen[payload[0] - 65] += 1
    for thread in threads:
        thread.join()
    stop.set()
    flusher.join()
    assert seen == [150] * 4
