"""What publishing costs: CPU time of a process that publishes results at a steady pace, its network thread included.

Needs no configuration: it starts mosquitto on a free port where that is installed, and otherwise a sink of its own that
accepts and discards. With a certificate the same over TLS, which needs mosquitto.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from edgeagent.errors import LinkError
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, LinkSettings, TlsSettings
from edgeagent.fleet.messages import Detection, Stamp
from edgeagent.fleet.results import encode_result
from edgeagent.fleet.topics import Topics

_CONNACK_V5: Final = bytes.fromhex("2003000000")
_TOPICS: Final = Topics("bench", "bench")


class Sink:
    """A broker that says yes to CONNECT and discards the rest; `cpu_s` is what it has cost, to be left out."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.cpu_s = 0.0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._server.accept()
            with client:
                client.recv(65536)
                client.sendall(_CONNACK_V5)
                while client.recv(65536):
                    self.cpu_s = time.thread_time()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@dataclass(frozen=True)
class Certificate:
    """What the broker shows, and what the link trusts, as PEM files."""

    cert_file: str
    key_file: str


@contextmanager
def _broker(*, sink_only: bool, certificate: Certificate | None) -> Iterator[tuple[str, int, Callable[[], float]]]:
    """Name, port and the CPU seconds that it has taken from this process."""
    program = None if sink_only else shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None and certificate is not None:
        raise LinkError("TLS is measured against mosquitto, which is not installed")
    if program is None:
        sink = Sink()
        try:
            yield "sink", sink.port, lambda: sink.cpu_s
        finally:
            sink.close()
        return
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
        config = Path(folder) / "mosquitto.conf"
        tls = "" if certificate is None else f"certfile {certificate.cert_file}\nkeyfile {certificate.key_file}\n"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nuser root\n{tls}")
        probe.close()
        with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
            try:
                yield "mosquitto", port, lambda: 0.0
            finally:
                process.terminate()


def sample_detections(count: int) -> bytes:
    """The JSON that a pipeline's detections come as."""
    parts = [
        Detection.rounded("person", 0, 0.913422, (812.0442 + index, 300.2633, 901.534 + index, 655.0))
        for index in range(count)
    ]
    return TypeAdapter(list[Detection]).dump_json(parts, by_alias=True, exclude_none=True)


def sample_result(stamp: Stamp, topic: str, detections: bytes) -> bytes:
    """A result as the agent makes it of a pipeline's detections."""
    values = {
        "camera": "cam",
        "pipeline": "people",
        "frame": 4711,
        "capture_ts": 1_760_000_000_000,
        "lat_ms": 37.6,
        "width": 1920,
        "height": 1080,
        "model": "yolo11n",
        "engine": "5b1f0c7a9d3e",
    }
    return encode_result({**stamp.header(topic), **values}, detections)


def measure_publish_cost(
    messages: int = 2000,
    rate_hz: float = 200.0,
    detections: int = 20,
    *,
    sink_only: bool = False,
    certificate: Certificate | None = None,
    qos: int = 0,
) -> dict[str, float | str]:
    """Encodes and publishes results at `rate_hz` over MQTT 5; the whole process's CPU time, by message.

    Takes messages / rate_hz seconds. With `sink_only` mosquitto is not looked for. Raises LinkError when no connection
    to the broker comes about within 20 s, and for a certificate without mosquitto.
    """
    stamp = Stamp("bench-1", lambda: time.time_ns() // 1_000_000)
    topic = _TOPICS.result("cam", "people")
    made = sample_detections(detections)
    with ExitStack() as stack:
        name, port, foreign_cpu_s = stack.enter_context(_broker(sink_only=sink_only, certificate=certificate))
        link = _connected(port, certificate)
        stack.callback(link.stop)
        spent_s = _paced(lambda: _publish(link, topic, stamp, made, qos), messages, rate_hz, foreign_cpu_s)
        stats = link.stats()
    return {
        "broker": name,
        "messages": messages,
        "tls": certificate is not None,
        "qos": qos,
        "rate_hz": rate_hz,
        "detections": detections,
        "payload_bytes": len(sample_result(stamp, topic, made)),
        "cpu_us_per_message": round(spent_s / messages * 1e6, 1),
        "core_percent": round(spent_s / messages * rate_hz * 100, 3),
        "core_percent_at_30_hz": round(spent_s / messages * 30 * 100, 3),
        "encode_us": _mean_us(lambda: sample_result(stamp, topic, made)),
        "published": stats.published,
        "dropped": stats.dropped,
    }


def _connected(port: int, certificate: Certificate | None) -> MqttLink:
    up = threading.Event()

    def deliver(event: LinkEvent) -> None:
        if isinstance(event, Connected):
            up.set()

    tls = None if certificate is None else TlsSettings(certificate.cert_file)
    link = MqttLink(LinkSettings("127.0.0.1", port, "bench", tls, protocol="5", lost=Schedule(0.05, 0.2)), deliver)
    link.start()
    if not up.wait(20.0):
        link.stop()
        raise LinkError("the benchmark's broker did not answer", retry=True)
    return link


def _publish(link: MqttLink, topic: str, stamp: Stamp, detections: bytes, qos: int) -> None:
    link.publish(topic, sample_result(stamp, topic, detections), qos=qos, retain=False, expiry_s=10.0)


def _paced(action: Callable[[], None], times: int, rate_hz: float, foreign_cpu_s: Callable[[], float]) -> float:
    """CPU seconds of this process for `times` actions at a steady pace, the pacing included."""
    action()  # the first one pays for caches
    began_s, foreign_s, due_s = time.process_time(), foreign_cpu_s(), time.monotonic()
    for _ in range(times):
        action()
        due_s += 1.0 / rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))
    return time.process_time() - began_s - (foreign_cpu_s() - foreign_s)


def _mean_us(action: Callable[[], object], times: int = 500) -> float:
    began_s = time.process_time()
    for _ in range(times):
        action()
    return round((time.process_time() - began_s) / times * 1e6, 1)
