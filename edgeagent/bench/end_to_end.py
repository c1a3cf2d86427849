"""Cameras to MQTT with the agent's own parts, each in its process, and a subscriber that counts what comes.

The agent's CPU time is its main thread's and the rest, which is the link's thread.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from pydantic import ValidationError

from edgeagent.bench.agent_child import Job, Pids
from edgeagent.bench.arrivals import Arrivals
from edgeagent.bench.broker import Found, broker_for
from edgeagent.bench.power import Meter, Power
from edgeagent.bench.processor_time import used_by, used_by_main_thread
from edgeagent.bench.subject import Subject
from edgeagent.clock import SystemClock
from edgeagent.errors import ChildError, LinkError
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, Lost, Message, Refused
from edgeagent.fleet.url import Broker
from edgeagent.supervise.lifeline import environment_for_child

FLEET = "bench"
CONNECT_S, START_S, STOP_S = 10.0, 180.0, 5.0
WARM_S = 1.5
TICK_S = 0.5


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far."""

    capture: float
    infer: float
    agent: float
    network: float

    def since(self, before: Spent) -> Spent:
        return Spent(
            *(getattr(self, name) - getattr(before, name) for name in ("capture", "infer", "agent", "network"))
        )


@dataclass(frozen=True)
class EndToEnd:
    """One measurement. `seconds` is how long it really took."""

    broker: str
    cameras: int
    fps: float
    seconds: float
    arrivals: Arrivals
    spent: Spent
    power: Power


def measure_end_to_end(
    subject: Subject,
    cameras: int,
    fps: float,
    seconds: float,
    named: Broker | None,
    meter: Meter,
    max_delay_ms: float = 0.0,
) -> EndToEnd:
    """Raises LinkError without a broker, ChildError when a process ends or the results do not come."""
    with broker_for(named) as found:
        job = _job(subject, cameras, fps, found, max_delay_ms)
        heard: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        with _listening(job, heard):
            _wait_for_broker(heard)
            with _agent(job) as pids:
                _wait_for_all(heard, cameras)
                _discard(heard, WARM_S)
                before, began_s = _spent(pids), time.monotonic()
                with meter.over() as power:
                    arrivals = _collect(heard, began_s + seconds)
                lasted_s, spent = time.monotonic() - began_s, _spent(pids).since(before)
    return EndToEnd(found.name, cameras, fps, lasted_s, arrivals, spent, power)


def _job(subject: Subject, cameras: int, fps: float, found: Found, max_delay_ms: float) -> Job:
    broker = found.broker
    return Job(
        host=broker.host,
        port=broker.port,
        tls=broker.tls,
        path=broker.path,
        username=broker.username,
        password=broker.password,
        protocol=found.protocol,
        fleet=FLEET,
        device=f"bench-{os.getpid()}",
        cameras=cameras,
        fps=fps,
        subject=subject,
        max_delay_ms=max_delay_ms,
    )


@contextmanager
def _listening(job: Job, heard: queue.SimpleQueue[LinkEvent]) -> Iterator[None]:
    rng = Random()  # noqa: S311  jitter
    link = MqttLink(job.link(f"edgeagent-{job.device}-watcher"), heard.put, SystemClock(), rng)
    link.subscribe({f"{job.topics.branch}r/+/+": 0})
    link.start()
    try:
        yield
    finally:
        link.stop()


@contextmanager
def _agent(job: Job) -> Iterator[Pids]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent.bench.agent_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment_for_child(),
        start_new_session=True,
    )
    with process:
        try:
            yield _started(process, job)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _started(process: subprocess.Popen[bytes], job: Job) -> Pids:
    """Raises ChildError when it does not say within START_S that all of it runs."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101  they were asked for
    process.stdin.write(job.model_dump_json().encode() + b"\n")
    process.stdin.flush()
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    try:
        return Pids.model_validate_json(process.stdout.readline() if ready else b"")
    except ValidationError as error:
        raise ChildError(
            f"cameras, engine and broker did not run within {START_S:.0f} s"
            if not ready
            else "the agent's part of the measurement ended before it began",
            mend="see what it said above",
        ) from error


def _spent(pids: Pids) -> Spent:
    agent, main = used_by(pids.agent), used_by_main_thread(pids.agent)
    return Spent(sum(map(used_by, pids.capture)), used_by(pids.infer), main, agent - main)


def _wait_for_broker(heard: queue.SimpleQueue[LinkEvent]) -> None:
    """Raises LinkError with the last reason when no connection comes about within CONNECT_S."""
    until_s, reason = time.monotonic() + CONNECT_S, "it says nothing"
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            event = heard.get(timeout=left_s)
        except queue.Empty:
            break
        if isinstance(event, Connected):
            return
        if isinstance(event, Lost | Refused):
            reason = event.reason
    raise LinkError(f"the broker cannot be used: {reason}", mend="check --broker", retry=True)


def _wait_for_all(heard: queue.SimpleQueue[LinkEvent], pipelines: int) -> None:
    """Until each pipeline has had a result. Raises LinkError when they do not come."""
    seen, until_s = Arrivals(), time.monotonic() + START_S
    while seen.pipelines < pipelines:
        if time.monotonic() > until_s:
            raise LinkError("no results came over MQTT", mend="see that the broker takes QoS 0 from this machine")
        _take(heard, seen)


def _discard(heard: queue.SimpleQueue[LinkEvent], seconds: float) -> None:
    """Let it settle: what is compiled, cached and connected at first is no cost of a frame."""
    _collect(heard, time.monotonic() + seconds)


def _collect(heard: queue.SimpleQueue[LinkEvent], until_s: float) -> Arrivals:
    arrivals = Arrivals()
    while time.monotonic() < until_s:
        _take(heard, arrivals)
    if not arrivals.results:
        raise ChildError("the results stopped coming", mend="see what was said above", retry=True)
    return arrivals


def _take(heard: queue.SimpleQueue[LinkEvent], arrivals: Arrivals) -> None:
    """The next thing heard, if it comes within a tick."""
    try:
        event = heard.get(timeout=TICK_S)
    except queue.Empty:
        return
    if isinstance(event, Message):
        arrivals.add(json.loads(event.payload))
