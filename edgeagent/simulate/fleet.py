"""`edgeagent simulate fleet`: a thousand devices on one machine, to try consoles, dashboards and brokers with.

They speak the real protocol through the agent's own link, messages and parsers; what they measure is made up
(`fleet_values.py`), and nothing is really set or done (`fleet_settings.py`, `fleet_jobs.py`).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edgeagent.errors import ChildError
from edgeagent.fleet.topics import check_id
from edgeagent.fleet.url import parse_broker_url
from edgeagent.simulate.fleet_child import Share
from edgeagent.simulate.fleet_values import character
from edgeagent.supervise.lifeline import environment_for_child

STOP_S: Final = 30.0
TELL_S: Final = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class FleetOptions:
    """`rate`: number messages a second and device; `connects`: devices a second, of the whole fleet."""

    devices: int
    broker: str
    fleet: str
    rate: float
    per_process: int = 250
    connects: float = 100.0
    seconds: float | None = None


@dataclass
class _Child:
    process: subprocess.Popen[str]
    dies: bool
    latest: dict[str, float] = field(default_factory=dict)

    def read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101  it was asked for
        for line in self.process.stdout:
            self.latest = json.loads(line)


def shares(options: FleetOptions) -> list[Share]:
    """Who goes into which process; the lost ones apart, because their process dies. Pure but for the session."""
    session = f"{uuid.uuid4().hex[:8]}-1"
    numbers = range(options.devices)
    lost = tuple(n for n in numbers if character(n).kind == "lost")
    living = [n for n in numbers if character(n).kind != "lost"]
    heaps = [tuple(living[i : i + options.per_process]) for i in range(0, len(living), options.per_process)]
    rate = max(0.5, options.connects / max(1, len(heaps)))
    made = [Share(options.broker, options.fleet, heap, options.rate, rate, session) for heap in heaps]
    return made + ([Share(options.broker, options.fleet, lost, options.rate, rate, session, dies=True)] if lost else [])


def run_fleet(options: FleetOptions, say: Say) -> int:
    """Until Ctrl-C or for so many seconds. Raises ChildError when a process ends that should not."""
    parse_broker_url(options.broker, allow_credentials=True)
    check_id(options.fleet, "fleet")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    children = [_start(share) for share in shares(options)]
    try:
        _watch(children, options, say)
    finally:
        _stop(children)
    return 0


def _start(share: Share) -> _Child:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent.simulate.fleet_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment_for_child(),
    )
    assert process.stdin is not None  # noqa: S101
    process.stdin.write(share.to_line())  # not in the arguments: the address may have a password
    process.stdin.close()
    child = _Child(process, share.dies)
    threading.Thread(target=child.read, daemon=True).start()
    return child


def _watch(children: list[_Child], options: FleetOptions, say: Say) -> None:
    started_s = told_s = time.monotonic()
    published = 0.0
    while options.seconds is None or time.monotonic() - started_s < options.seconds:
        time.sleep(0.2)
        for child in children:
            if not child.dies and child.process.poll() is not None:
                raise ChildError("a process of simulated devices has ended", mend="its own words are above")
        now_s = time.monotonic()
        if now_s - told_s >= TELL_S:
            total = sum(child.latest.get("published", 0.0) for child in children)
            say(_line(children, options, (total - published) / (now_s - told_s), now_s - started_s))
            published, told_s = total, now_s


def _line(children: list[_Child], options: FleetOptions, rate: float, since_s: float) -> str:
    def total(key: str) -> float:
        return sum(child.latest.get(key, 0.0) for child in children)

    alive = sum(child.latest.get("connected", 0.0) for child in children if child.process.poll() is None)
    late = max((child.latest.get("late_s", 0.0) for child in children), default=0.0)
    return (
        f"{since_s:.0f} s: {alive:.0f} of {options.devices} connected, {rate:.0f} messages/s, "
        f"{total('dropped'):.0f} dropped, {total('faults'):.0f} faults, {total('cpu_s'):.1f} s CPU, "
        f"{total('rss_mb'):.0f} MB in {len(children)} processes, at most {late:.2f} s late"
    )


def _stop(children: list[_Child]) -> None:
    for child in children:
        child.process.terminate()
    for child in children:
        try:
            child.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        if child.process.stdout is not None:
            child.process.stdout.close()
