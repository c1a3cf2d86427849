"""MQTT over WebSocket: against mosquitto's own listener, and against a scripted end that is slow to read."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from pathlib import Path

import pytest
from test_certificates_kit import Authority
from test_link_kit import (
    EVENT,
    RESULT,
    STATUS,
    Ear,
    free_port,
    mosquitto,
    needs_mosquitto,
    running,
    settings,
    subscriber,
)
from test_link_scripted import ACCEPTED, CONNECT, PUBLISH, Peer, scripted

from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, Lost, Message, Published, Subscribed, TlsSettings

# paho lets go of a socket whose handshake failed without closing it
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def websocket_listener(port: int, *more: str) -> tuple[str, ...]:
    return (f"listener {port}", "protocol websockets", "user root", *more)


@needs_mosquitto
@BOTH
def test_messages_of_all_sizes_pass(tmp_path: Path, protocol: str) -> None:
    plain, port = free_port(), free_port()
    wanted = settings(port, path="/mqtt", protocol=protocol)
    with mosquitto(tmp_path, plain, *websocket_listener(port)), subscriber(plain) as seen:
        with running(wanted) as (link, heard):
            assert heard.event(Connected).broker == f"ws://127.0.0.1:{port}/mqtt"
            for number in range(60):
                link.publish(EVENT, b"%02d" % number + b"e" * 2000 * number, qos=1, retain=False, tag=number)
                link.publish(RESULT, b"%02d" % number, qos=0, retain=False)
            for number in range(60):
                assert heard.event(Published).tag == number
            seen.wait(lambda line: line.startswith(f"{EVENT} 1 0 59"))
            assert sum(line.startswith(RESULT) for line in seen.items) == 60
        events = [line.split()[-1] for line in seen.items if line.startswith(EVENT)]
        assert events == [f"{number:02}" + "e" * 2000 * number for number in range(60)]


@needs_mosquitto
@BOTH
def test_what_comes_in_is_whole_and_acknowledged(tmp_path: Path, protocol: str) -> None:
    plain, port = free_port(), free_port()
    with mosquitto(tmp_path, plain, *websocket_listener(port)):
        with running(settings(port, path="/", protocol=protocol)) as (link, heard):
            link.subscribe({EVENT: 1})
            heard.event(Subscribed)
            with running(settings(plain, client_id="operator", will=None)) as (operator, _):
                for number in range(30):
                    operator.publish(EVENT, b"%02d" % number + b"e" * 100 * number, qos=1, retain=False)
                operator.publish(EVENT, b"30" + b"e" * 3000, qos=1, retain=False)
                for number in range(31):
                    message = heard.event(Message)
                    assert message.payload == b"%02d" % number + b"e" * 100 * number
                    assert message.ack is not None
                    link.ack(message.ack)


@needs_mosquitto
def test_a_broker_that_restarts_is_found_again(tmp_path: Path) -> None:
    plain, port = free_port(), free_port()
    with running(settings(port, path="/mqtt")) as (link, heard):
        for number in range(2):
            with mosquitto(tmp_path, plain, *websocket_listener(port)):
                heard.event(Connected)
                link.publish(EVENT, b"event", qos=1, retain=False, tag=number)
                assert heard.event(Published).tag == number
            assert heard.wait(lambda item: isinstance(item, Lost) and item.was_connected)


@needs_mosquitto
def test_websocket_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    pair = authority.issue("broker")
    plain, port = free_port(), free_port()
    listener = websocket_listener(port, f"certfile {pair.cert}", f"keyfile {pair.key}")
    wanted = settings(port, path="/mqtt", tls=TlsSettings(str(authority.ca)))
    tmp_path.chmod(0o755)
    with mosquitto(tmp_path, plain, *listener), subscriber(plain) as seen:
        with running(wanted) as (link, heard):
            assert heard.event(Connected).broker == f"wss://127.0.0.1:{port}/mqtt"
            link.subscribe({STATUS: 1})
            heard.event(Subscribed)
            for number in range(30):
                link.publish(EVENT, b"%02d" % number + b"e" * 4000 * number, qos=1, retain=False, tag=number)
            for number in range(30):
                assert heard.event(Published).tag == number
            link.publish(STATUS, b"s" * 100_000, qos=1, retain=True)
            assert heard.event(Message).payload == b"s" * 100_000
        events = [line.split()[-1] for line in seen.items if line.startswith(EVENT)]
        assert events == [f"{number:02}" + "e" * 4000 * number for number in range(30)]


def test_what_answers_plain_http_is_no_broker() -> None:
    def web_server(peer: Peer) -> None:
        peer.sock.recv(4096)
        peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        peer.sock.close()

    with scripted(web_server) as (port, _), running(settings(port, path="/mqtt")) as (_, heard):
        lost = heard.event(Lost)
        assert (lost.kind, "WebSocket" in lost.reason) == ("unreachable", True)


class WebPeer(Peer):
    """The broker's end of a WebSocket: what is in its frames, as one stream."""

    def shake_hands(self) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += self.sock.recv(1)
        key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        lines = (b"HTTP/1.1 101 Switching", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: ")
        self.sock.sendall(b"\r\n".join(lines) + accept + b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        self.sock.sendall(bytes((0x82, len(data))) + data)

    def packet(self) -> tuple[int, int, bytes]:
        """One frame, which holds one packet: paho sends them so."""
        head = self._exactly(2)
        assert head[0] == 0x82
        length = head[1] & 0x7F
        length = int.from_bytes(self._exactly(2), "big") if length == 126 else length
        length = int.from_bytes(self._exactly(8), "big") if length == 127 else length
        mask = self._exactly(4)
        data = self._exactly(length)
        whole = int.from_bytes(data, "big") ^ int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        data = whole.to_bytes(length, "big")
        body = 1
        while data[body] & 0x80:
            body += 1
        return data[0] >> 4, data[0] & 0x0F, data[body + 1 :]

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            assert more, "closed in the middle of a frame"
            data += more
        return data


def test_a_slow_reader_gets_every_packet_whole() -> None:
    """The socket is full most of the time, so frames go out in parts: the case in which paho alone loses packets."""
    ready, got = threading.Event(), Ear()

    def slow(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        web = WebPeer(peer.sock)
        web.shake_hands()
        assert web.packet()[0] == CONNECT
        web.send(ACCEPTED)
        ready.wait(20)
        while (packet := web.packet())[0] == PUBLISH:
            _, flags, body = packet
            rest = body[2 + int.from_bytes(body[:2], "big") :]
            if flags & 6:
                web.send(bytes((0x40, 3)) + rest[:2] + b"\0")
            got(rest[3:] if flags & 6 else rest[1:])

    with scripted(slow) as (port, _), running(settings(port, path="/mqtt")) as (link, heard):
        heard.event(Connected)
        for number in range(90):
            link.publish(RESULT, b"%d " % (10 + number) * 40_000, qos=0, retain=False)
        wait_until_stuck(link)
        assert link.stats().waiting > 0, "the socket was never full"
        ready.set()
        link.publish(EVENT, b"100 ", qos=1, retain=False, tag=1)
        assert heard.event(Published).ok
        got.wait(lambda payload: payload.startswith(b"99 "))
    results = [bytes(payload) for payload in got.items if payload != b"100 "]
    assert results == [b"%d " % (10 + number) * 40_000 for number in range(90)]


def wait_until_stuck(link: MqttLink) -> None:
    """Until nothing more goes out."""
    pause, before = threading.Event(), -1
    while (now := link.stats().published) != before:
        before = now
        pause.wait(0.2)
