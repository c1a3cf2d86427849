"""A thousand simulated devices, one mosquitto, one `fleet watch`: messages a second, CPU, and how soon it shows things.

    python tests/bench/bench_fleet.py [--devices 1000] [--rate 4] [--seconds 30]

Everything runs on this machine: the devices too, which cost more than broker and console together. `shown` is the time
from publishing a status to its text on the (pseudo) terminal, `typed` from a key to its effect there, `quit` from q to
the end of the process. The load average says what else the machine had to do.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.fleet.envelope import Stamp, encode
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkSettings
from edgeagent.fleet.states import Status
from edgeagent.fleet.topics import Topics

COLUMNS, LINES = 180, 50
PROBE = Topics("default", "aaa-probe")  # the first in the list
TICKS = os.sysconf("SC_CLK_TCK")


class Terminal:
    """`fleet watch` on a pseudo terminal; what it writes is searched for marks."""

    def __init__(self, broker: str) -> None:
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
            os.execvp(sys.executable, [sys.executable, "-m", "edgeagent", "fleet", "watch", "--broker", broker])
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._text = b""
        self.written = 0
        self.ended_s = 0.0
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._file, 65536)
            except OSError:
                data = b""
            with self._news:
                self._text = (self._text + data)[-400_000:]
                self.written += len(data)
                self._news.notify_all()
            if not data:
                break

    def press(self, key: str) -> None:
        with self._news:
            self._text = b""
        os.write(self._file, key.encode())

    def wait_for(self, mark: str, patience_s: float = 30.0) -> float:
        """When it was there, on the monotonic clock."""
        with self._news:
            if not self._news.wait_for(lambda: mark.encode() in self._text, patience_s):
                raise SystemExit(f"{mark!r} was not shown within {patience_s} s: {self._text[-2000:]!r}")
            return time.monotonic()

    def rate(self) -> float:
        with self._news:
            found = re.findall(rb"(\d+) messages/s", self._text)
        return float(found[-1]) if found else 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sent(port: int) -> tuple[int, int]:
    """Messages that the broker has received and sent, by its own count."""
    counts = []
    for name in ("received", "sent"):
        topic = f"$SYS/broker/publish/messages/{name}"
        command = ["mosquitto_sub", "-p", str(port), "-t", topic, "-C", "1", "-W", "20"]
        counts.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return counts[0], counts[1]


def probe(link: MqttLink, stamp: Stamp, terminal: Terminal, number: int) -> float:
    mark = f"mark{number:04d}x"
    status = Status(**stamp.header(PROBE.status), state="degraded", reason=mark)
    before_s = time.monotonic()
    link.publish(PROBE.status, encode(status), qos=1, retain=True)
    return terminal.wait_for(mark) - before_s


def typed(terminal: Terminal) -> float:
    before_s = time.monotonic()
    terminal.press("/")
    shown_s = terminal.wait_for("Enter ends, Esc forgets it") - before_s
    terminal.press("\x1b")
    return shown_s


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median_s": round(statistics.median(ordered), 3), "worst_s": round(ordered[-1], 3), "count": len(ordered)}


def measure(
    port: int, options: argparse.Namespace, broker_pid: int, simulation: subprocess.Popen[str]
) -> dict[str, object]:
    address = f"mqtt://127.0.0.1:{port}"
    terminal = Terminal(address)
    terminal.wait_for("messages/s")
    stamp = Stamp("bench-1", SystemClock().wall_ms)
    link = MqttLink(LinkSettings("127.0.0.1", port, "bench-probe"), lambda event: None)
    link.start()
    time.sleep(10)  # the retained states of all devices have been read
    sys.stderr.write(f"load {os.getloadavg()}\n")
    pids = {"mosquitto": [broker_pid], "watch": [terminal.pid], "devices": children(simulation.pid)}
    counted, before = sent(port), {name: sum(map(cpu_s, each)) for name, each in pids.items()}
    since_s, shown, keys, number = time.monotonic(), [], [], 0
    while time.monotonic() - since_s < options.seconds:
        shown.append(probe(link, stamp, terminal, number))
        keys.append(typed(terminal))
        number += 1
        time.sleep(0.37)  # out of step with the drawing
    seconds = time.monotonic() - since_s
    used = {name: round(100 * (sum(map(cpu_s, each)) - before[name]) / seconds, 1) for name, each in pids.items()}
    memory = {name: round(sum(map(rss_mb, each)), 1) for name, each in pids.items()}
    rate, counted_then = terminal.rate(), sent(port)
    link.publish(PROBE.status, b"", qos=1, retain=True)
    before_s = time.monotonic()
    terminal.press("q")
    os.waitpid(terminal.pid, 0)
    quit_s = time.monotonic() - before_s
    link.stop()
    span_s = time.monotonic() - since_s
    return {
        "devices": options.devices,
        "asked_messages_per_s": options.devices * options.rate,
        "broker_received_per_s": round((counted_then[0] - counted[0]) / span_s),
        "broker_sent_per_s": round((counted_then[1] - counted[1]) / span_s),
        "watch_messages_per_s": rate,
        "cpu_percent_of_a_core": used,
        "rss_mb": memory,
        "shown": spread(shown),
        "typed": spread(keys),
        "quit_s": round(quit_s, 3),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\nsys_interval 1\n")
        broker = subprocess.Popen([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)])
        command = ["simulate", "fleet", "--devices", str(options.devices), "--rate", str(options.rate)]
        address = ["--broker", f"mqtt://127.0.0.1:{port}"]
        time.sleep(0.5)
        simulation = subprocess.Popen(
            [sys.executable, "-m", "edgeagent", *command, *address], stdout=subprocess.PIPE, text=True
        )
        try:
            for line in simulation.stdout or ():
                sys.stderr.write(line)
                if int(line.split(": ")[1].split()[0]) >= 0.96 * options.devices and float(line.split()[0]) > 15:
                    break
            threading.Thread(target=lambda: [sys.stderr.write(line) for line in simulation.stdout or ()]).start()
            print(json.dumps(measure(port, options, broker.pid, simulation), indent=1))
        finally:
            simulation.terminate()
            simulation.wait(60)
            broker.terminate()
            broker.wait(10)


if __name__ == "__main__":
    main()
