"""A process full of simulated devices: each has its own link and thread, and one loop makes them all speak.

`python -m edgeagent.simulate.fleet_child` reads one JSON line on stdin, the `Share`, and prints JSON lines: how many
devices are connected, how much they have published, what it costs. Devices of the kind `lost` are in a process of their
own, which kills itself once they have spoken: the broker then says `lost` for them, as for real ones.
"""

from __future__ import annotations

import heapq
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Final

from edgeagent.clock import SystemClock
from edgeagent.fleet.link_types import LinkEvent, LinkSettings, TlsSettings
from edgeagent.fleet.url import parse_broker_url
from edgeagent.simulate.fleet_device import SimulatedDevice
from edgeagent.simulate.fleet_values import character
from edgeagent.supervise.lifeline import tie_to_parent

TICK_S: Final = 0.25
REPORT_S: Final = 1.0
STACK_BYTES: Final = 256 * 1024
LAST_WORD_S: Final = 3.0
"""How long the lost ones live after the last has connected."""


@dataclass(frozen=True)
class Share:
    """A process's part of the fleet. `rate`: number messages a second and device; `connects` a second."""

    broker: str
    fleet: str
    numbers: tuple[int, ...]
    rate: float
    connects: float
    session: str
    dies: bool = False

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Share:
        data = json.loads(line)
        return cls(**{**data, "numbers": tuple(data["numbers"])})


class Crowd:
    """All devices of this process. `run` is the loop."""

    def __init__(self, share: Share, stopping: threading.Event) -> None:
        self._share = share
        self._stopping = stopping
        self._events: queue.SimpleQueue[tuple[SimulatedDevice, LinkEvent]] = queue.SimpleQueue()
        broker = parse_broker_url(share.broker, allow_credentials=True)
        base = LinkSettings(
            broker.host,
            broker.port,
            "",
            tls=TlsSettings() if broker.tls else None,
            path=broker.path,
            username=broker.username,
            password=broker.password,
            session_expiry_s=30,
        )
        clock = SystemClock()
        self._devices = [
            SimulatedDevice(character(number), share.fleet, base, share.session, clock, self._deliver)
            for number in share.numbers
        ]
        self._due: list[tuple[float, int, str]] = []
        self._late_s = 0.0

    def _deliver(self, device: SimulatedDevice, event: LinkEvent) -> None:
        self._events.put((device, event))

    def run(self) -> None:
        """Until it is told to stop: starts the devices one after the other, and does what is due."""
        now_s = time.monotonic()
        for place in range(len(self._devices)):
            heapq.heappush(self._due, (now_s + place / self._share.connects, place, "start"))
        heapq.heappush(self._due, (now_s, -1, "report"))
        while not self._stopping.is_set():
            self._hear(self._due[0][0] - time.monotonic())
            now_s = time.monotonic()
            while self._due[0][0] <= now_s:
                due_s, place, what = heapq.heappop(self._due)
                self._late_s = max(self._late_s, now_s - due_s)
                self._do(due_s, place, what)
        self._stop_all()

    def _hear(self, timeout_s: float) -> None:
        try:
            device, event = self._events.get(timeout=max(0.0, min(timeout_s, TICK_S)))
            while True:
                device.hear(event)
                device, event = self._events.get_nowait()
        except queue.Empty:
            pass

    def _do(self, due_s: float, place: int, what: str) -> None:
        if what == "report":
            self._report()
            heapq.heappush(self._due, (due_s + REPORT_S, -1, what))
            return
        device = self._devices[place]
        if what == "start":
            device.start()
            heapq.heappush(self._due, (due_s + TICK_S, place, "tick"))
            heapq.heappush(self._due, (due_s + 1 / self._share.rate, place, "measure"))
        elif what == "tick":
            device.tick()
            heapq.heappush(self._due, (due_s + TICK_S, place, what))
        else:
            if device.connected:
                device.measure()
            heapq.heappush(self._due, (max(due_s, time.monotonic() - 5) + 1 / self._share.rate, place, what))

    def _report(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stats = [device.link.stats() for device in self._devices]
        line = {
            "connected": sum(each.connected for each in stats),
            "published": sum(each.published for each in stats),
            "dropped": sum(each.dropped for each in stats),
            "faults": sum(each.faults for each in stats),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "rss_mb": usage.ru_maxrss / 1024,
            "late_s": round(self._late_s, 3),
        }
        self._late_s = 0.0
        print(json.dumps(line), flush=True)  # noqa: T201
        if self._share.dies and line["connected"] == len(self._devices):
            threading.Timer(LAST_WORD_S, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()

    def _stop_all(self) -> None:
        """In parallel, because each waits for its broker's word."""
        threads = [threading.Thread(target=device.stop) for device in self._devices]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> int:
    tie_to_parent()
    threading.stack_size(STACK_BYTES)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who says SIGTERM
    Crowd(Share.from_line(sys.stdin.readline()), stopping).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
