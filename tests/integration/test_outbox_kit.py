"""What the proofs of the outbox share: a proxy that does to TCP what networks do, a broker that is killed and comes
back, a subscriber with a session, and a device that is commanded. No tests in here."""

from __future__ import annotations

import json
import os
import select
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test_link_kit import Ear

WAIT_S = 30.0
BRANCH = "edgeagent/v1/lab/bench/"
_ABORT = struct.pack("ii", 1, 0)


def ended(thread: threading.Thread) -> None:
    thread.join(WAIT_S)
    assert not thread.is_alive(), f"{thread.name} does not end"


class _Pair:
    """One connection through the proxy. `left` of a direction: bytes that still pass; None: all."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends = {client: server, server: client}
        self.client = client
        self.left: dict[socket.socket, int | None] = {client: None, server: None}
        self.cut_after = False

    def close(self, *, abort: bool) -> None:
        for end in self.ends:
            if abort:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            end.close()


class Proxy:
    """Between device and broker, in a thread of its own. Bytes are never reordered or taken out of the middle of a
    stream, because TCP does not do that either: what a direction loses is everything from some byte on."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._refusing = False
        self._delay_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Nobody gets through, and who is through is cut off."""
        with self._lock:
            self._refusing = True
        self.cut(abort=True)

    def cut(self, *, abort: bool) -> None:
        with self._lock:
            for pair in list(self._pairs):
                self._drop(pair, abort=abort)

    def swallow(self, *, up: int | None, down: int | None, cut: bool) -> None:
        """After so many bytes more, a direction loses everything; with `cut` the connection goes with it.

        What a connection is losing already stays lost: it never goes on after a gap.
        """
        with self._lock:
            for pair in self._pairs:
                for end, limit in zip(pair.ends, (up, down), strict=True):
                    limits = [each for each in (pair.left[end], limit) if each is not None]
                    pair.left[end] = min(limits, default=None)
                pair.cut_after |= cut

    def delay(self, seconds: float) -> None:
        with self._lock:
            self._delay_s = seconds

    def heal(self) -> None:
        """Connections that have lost something are cut, and everything passes again."""
        with self._lock:
            self._refusing, self._delay_s = False, 0.0
            for pair in [pair for pair in self._pairs if any(left is not None for left in pair.left.values())]:
                self._drop(pair, abort=True)

    def close(self) -> None:
        self._done.set()
        ended(self._thread)
        self.cut(abort=True)
        self._server.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._done.is_set():
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    self._serve(key)
            if self._delay_s:
                self._done.wait(self._delay_s)

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._server:
            self._accept()
        elif isinstance(key.data, _Pair) and key.data in self._pairs:
            self._pass(key.data, key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._server.accept()
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self._target), 1.0)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            client.close()
            return
        pair = _Pair(client, server)
        self._pairs.append(pair)
        for end in pair.ends:
            end.setblocking(True)
            end.settimeout(1.0)
            self._selector.register(end, selectors.EVENT_READ, pair)

    def _pass(self, pair: _Pair, source: socket.socket) -> None:
        try:
            data = source.recv(4096)
            left = pair.left[source]
            passing = data if left is None else data[:left]
            if left is not None:
                pair.left[source] = left - len(passing)
            if passing:
                pair.ends[source].sendall(passing)
            ended = not data or (pair.cut_after and len(passing) < len(data))
        except OSError:
            ended = True
        if ended:
            self._drop(pair, abort=False)

    def _drop(self, pair: _Pair, *, abort: bool) -> None:
        for end in pair.ends:
            self._selector.unregister(end)
        self._pairs.remove(pair)
        pair.close(abort=abort)


class Broker:
    """mosquitto with persistence: after an orderly stop it knows sessions, retained and queued messages again."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        options = (
            f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true",
            f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1",
            "max_inflight_messages 0", "max_queued_messages 0", "log_dest stderr", "user root",
        )  # fmt: skip
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join((*options, "")))

    def start(self) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or "mosquitto"
        self._process = subprocess.Popen([program, "-c", str(self._config)], stderr=subprocess.DEVNULL, text=True)
        deadline = time.monotonic() + WAIT_S
        listening, pause = False, threading.Event()
        while not listening:
            assert time.monotonic() < deadline, "mosquitto does not listen"
            assert self._process.poll() is None, "mosquitto has ended"
            with socket.socket() as probe:
                listening = probe.connect_ex(("127.0.0.1", self._port)) == 0
            pause.wait(0 if listening else 0.01)

    def stop(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(WAIT_S)
            self._process = None


class Subscriber:
    """Hears everything of the branch with QoS 1 in a session that outlives its connections (MQTT 3.1.1).

    A client of its own, because of what happens when the broker is killed: what the broker has written before is in
    this socket and is read to the end, even if acknowledging it fails meanwhile.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._changed = threading.Condition()
        self._subscribed = False
        self._socket: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self.heard: list[tuple[str, bytes]] = []

    def connect(self) -> None:
        """Returns when the broker has confirmed the subscription."""
        self._socket = socket.create_connection(("127.0.0.1", self._port), WAIT_S)
        self._socket.settimeout(None)
        client, topic = b"back-end", f"{BRANCH}#".encode()
        self._send(0x10, b"\0\4MQTT\4\0\0\0" + len(client).to_bytes(2, "big") + client)
        self._send(0x82, b"\0\1" + len(topic).to_bytes(2, "big") + topic + b"\1")
        self._reader = threading.Thread(target=self._read, args=(self._socket,), daemon=True)
        self._reader.start()
        assert self.wait(lambda: self._subscribed), "the broker does not confirm the subscription"

    def disconnect(self) -> None:
        """Reads to the end of what a broker that has ended had written; one that lives is left without a word."""
        if self._socket is not None and self._reader is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            ended(self._reader)
            self._socket.close()
        self._subscribed = False

    def _send(self, kind: int, body: bytes) -> None:
        assert self._socket is not None
        assert len(body) < 128
        with suppress(OSError):
            self._socket.sendall(bytes((kind, len(body))) + body)

    def _read(self, broker: socket.socket) -> None:
        with broker.makefile("rb") as stream, suppress(OSError, IndexError):
            while first := stream.read(1):
                length = shift = 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                self._take(first[0], stream.read(length))

    def _take(self, first: int, body: bytes) -> None:
        if first >> 4 == 3:
            end = 2 + int.from_bytes(body[:2], "big")
            topic, rest, qos = body[2:end].decode().removeprefix(BRANCH), body[end:], first >> 1 & 3
            if not first & 1:  # otherwise the broker's memory, which may be older than what it has passed on
                with self._changed:
                    self.heard.append((topic, rest[2 if qos else 0 :]))
                    self._changed.notify_all()
            if qos:
                self._send(0x40, rest[:2])
        elif first >> 4 == 9:
            with self._changed:
                self._subscribed = True
                self._changed.notify_all()

    def wait(self, fits: Callable[[], bool], seconds: float = WAIT_S) -> bool:
        with self._changed:
            return self._changed.wait_for(fits, seconds)


class Nursery:
    """Makes devices (`tests/children/producer.py`): real processes, that need not import everything each time."""

    def __init__(self, log: Path) -> None:
        self._orders, theirs = socket.socketpair()
        here = Path(__file__).resolve().parents[1]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(here.parent), str(here)))}
        with log.open("ab") as errors, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "children.producer"], stdin=theirs, stderr=errors, env=environment
            )

    def start(self, *arguments: int | str) -> Life:
        stdin, to_it = os.pipe()
        from_it, stdout = os.pipe()
        socket.send_fds(self._orders, [json.dumps(arguments).encode()], [stdin, stdout])
        os.close(stdin)
        os.close(stdout)
        pid = int(self._orders.recv(64))
        return Life(os.pidfd_open(pid), to_it, from_it)

    def close(self) -> None:
        self._orders.close()
        self._process.wait(WAIT_S)


@dataclass(frozen=True)
class Life:
    """One process of a device: from a start to its end."""

    pidfd: int
    to_it: int
    from_it: int

    def ended(self) -> None:
        """Waits for the kernel's word that it has ended, and lets go of what belongs to it."""
        assert select.select([self.pidfd], [], [], WAIT_S)[0], "the device does not end"
        for fd in (self.pidfd, self.to_it, self.from_it):
            os.close(fd)


class Device:
    """What it was told and what it has said is remembered over its restarts."""

    def __init__(self, nursery: Nursery, port: int, folder: Path) -> None:
        self._nursery = nursery
        self._port = port
        self._folder = folder
        self._starts = 0
        self._life: Life | None = None
        self._reader: threading.Thread | None = None
        self.kept: set[int] = set()
        self.said = Ear()
        self.said.patience_s = WAIT_S
        self.links: list[tuple[str, float]] = []

    def start(self) -> None:
        self._starts += 1
        self._life = self._nursery.start(self._port, str(self._folder), self._starts)
        self._reader = threading.Thread(target=self._read, args=(self._life.from_it,), daemon=True)
        self._reader.start()
        self.said.wait(lambda line: line == "started")

    def _read(self, pipe: int) -> None:
        with os.fdopen(os.dup(pipe), "r") as lines:
            for line in map(str.strip, lines):
                if line.startswith("kept "):
                    self.kept.add(int(line.split()[1]))
                elif line in ("up", "down"):
                    self.links.append((line, time.monotonic()))
                self.said(line)

    def tell(self, *lines: str) -> None:
        assert self._life is not None
        os.write(self._life.to_it, "".join(f"{line}\n" for line in lines).encode())

    def kill(self) -> None:
        assert self._life is not None
        signal.pidfd_send_signal(self._life.pidfd, signal.SIGKILL)
        self._end()

    def stop(self) -> dict[str, Any]:
        """Stops it in order; returns its last words."""
        self.tell("q")
        last = self.said.wait(lambda line: line.startswith("end "))
        self._end()
        words: dict[str, Any] = json.loads(last.removeprefix("end "))
        return words

    def _end(self) -> None:
        life, self._life = self._life, None
        if life is not None and self._reader is not None:
            ended(self._reader)
            life.ended()

    def close(self) -> None:
        if self._life is not None:
            self.kill()
