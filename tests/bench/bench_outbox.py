# ruff: noqa: E402  # the tests' kit is found by the path
"""What the outbox writes to the disk: bytes and syncs an hour, idle and with one event a second; what a burst costs.

    python tests/bench/bench_outbox.py [--seconds 120] [--json]

Each scenario is a process of its own with the real publisher, sender, outbox and link, a real mosquitto (but for
`offline`), under strace, which counts what SQLite and the outbox ask of the kernel. `write_bytes` is what the kernel
says that the process has caused to be written (/proc/self/io); the file system's own journal comes on top of that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "integration")]

from edgeagent.app.outbox_desk import OutboxDesk
from edgeagent.app.publisher import Publisher
from edgeagent.clock import SystemClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, LinkSettings
from edgeagent.fleet.outbox import Outbox
from edgeagent.fleet.sender import Sender
from edgeagent.fleet.topics import Topics

SCENARIOS = {"idle": (0.0, True), "online": (1.0, True), "offline": (1.0, False)}
BURST = 5000
BURST_PER_S = 500.0
TEXT = "camera door gives no frames: the source does not answer, and is tried again in 20 seconds"


class Bench:
    """One device, in this process."""

    def __init__(self, port: int, folder: Path) -> None:
        clock, topics = SystemClock(), Topics("bench", "bench")
        self.loop = asyncio.get_running_loop()
        self.link = MqttLink(LinkSettings("127.0.0.1", port, "bench", protocol="5"), self.deliver)
        self.outbox = Outbox(folder / "outbox.db", "boot1", clock)
        self.sender = Sender(self.link, self.outbox, clock, 32 << 20)
        self.publisher = Publisher(self.sender, topics, Stamp("boot1-1", clock.wall_ms), clock, results_qos=0)
        self.desk = OutboxDesk(self.outbox, self.sender, self.publisher, clock)
        self.up = asyncio.Event()

    def deliver(self, event: LinkEvent) -> None:
        self.loop.call_soon_threadsafe(self.hear, event)

    def hear(self, event: LinkEvent) -> None:
        self.sender.take(event)
        if isinstance(event, Connected):
            self.up.set()

    def event(self, number: int) -> None:
        self.publisher.event("camera-failed", "warning", TEXT, camera="door", restarts=number)

    async def run(self, rate: float, seconds: float, *, online: bool) -> dict[str, float]:
        await self.desk.open()
        if online:
            self.link.start()
            await self.up.wait()
        await asyncio.sleep(7.0)  # what starting costs is over: the cleared alarms are said and deleted
        mark("begin")
        began, cpu_s, events = own_write_bytes(), time.process_time(), 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if rate:
                events += 1
                self.event(events)
            self.desk.second()
            await asyncio.sleep(1.0)
        mark("end")
        values = {
            "events": events,
            "write_bytes": own_write_bytes() - began,
            "cpu_ms": (time.process_time() - cpu_s) * 1e3,
            "waiting": self.sender.waiting().waiting,
        }
        await asyncio.to_thread(self.link.stop)
        await self.desk.close()
        return values

    async def burst(self) -> dict[str, float]:
        """Events at a pace, without a connection, and then all of them delivered."""
        await self.desk.open()
        due, began, cpu_s, latest = time.monotonic(), time.monotonic(), time.process_time(), 0.0
        for number in range(BURST):
            self.event(number)
            due += 1.0 / BURST_PER_S
            latest = max(latest, time.monotonic() - due)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.wrap_future(self.sender.committed())
        produced_s, view = time.monotonic() - began, self.outbox.view()
        cpu_us = (time.process_time() - cpu_s) / BURST * 1e6
        await asyncio.wrap_future(self.sender.flush())
        self.link.start()
        await self.up.wait()
        began = time.monotonic()
        while self.sender.waiting().waiting:
            await asyncio.sleep(0.01)
        drained_s = time.monotonic() - began
        await asyncio.to_thread(self.link.stop)
        await self.desk.close()
        return {
            "events": BURST,
            "produced_s": round(produced_s, 2),
            "cpu_us_per_event": round(cpu_us, 1),
            "loop_late_ms": round(latest * 1e3, 1),
            "commits": view.commits,
            "syncs": view.syncs,
            "drained_s": round(drained_s, 2),
        }


def own_write_bytes() -> int:
    return int(re.findall(r"^write_bytes: (\d+)", Path("/proc/self/io").read_text(), re.M)[0])


def mark(text: str) -> None:
    """For the one who reads strace's output: a file of that name is not there."""
    Path(f"/mark-{text}").exists()


def child(scenario: str, seconds: float, port: int, folder: str) -> None:
    async def go() -> dict[str, float]:
        bench = Bench(port, Path(folder))
        if scenario == "burst":
            return await bench.burst()
        rate, online = SCENARIOS[scenario]
        return await bench.run(rate, seconds, online=online)

    print(json.dumps(asyncio.run(go())))


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    from test_link_kit import free_port, mosquitto

    port = free_port()
    with mosquitto(folder, port):
        yield port


def measure(scenario: str, seconds: float) -> dict[str, float | str]:
    offline = scenario == "offline"
    with tempfile.TemporaryDirectory() as name, nullcontext(1) if offline else broker(Path(name)) as port:
        trace = Path(name) / "trace"
        calls = "trace=fsync,fdatasync,pwrite64,stat,newfstatat"
        strace = ["strace", "-f", "-qq", "-e", calls, "-o", str(trace)] if shutil.which("strace") else []
        command = [*strace, sys.executable, __file__, "--child", scenario, str(seconds), str(port), name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        values: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
        if strace and scenario != "burst":
            values |= counted(trace.read_text(), seconds)
    return {"scenario": scenario, **values}


def counted(trace: str, seconds: float) -> dict[str, float]:
    _, _, rest = trace.partition("/mark-begin")
    middle, _, _ = rest.partition("/mark-end")
    syncs = len(re.findall(r"\b(?:fsync|fdatasync)\(", middle))
    written = sum(int(size) for size in re.findall(r"pwrite64\(.*= (\d+)$", middle, re.M))
    hours = seconds / 3600
    return {"syncs_per_hour": round(syncs / hours, 1), "asked_kib_per_hour": round(written / 1024 / hours, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=4)
    wanted = parser.parse_args()
    if wanted.child:
        child(wanted.child[0], float(wanted.child[1]), int(wanted.child[2]), wanted.child[3])
        return
    for scenario in (*SCENARIOS, "burst"):
        values = measure(scenario, wanted.seconds)
        if "write_bytes" in values:
            values["write_kib_per_hour"] = round(float(values["write_bytes"]) / 1024 / wanted.seconds * 3600, 1)
        print(json.dumps(values) if wanted.json else "  ".join(f"{key} {value}" for key, value in values.items()))


if __name__ == "__main__":
    main()
