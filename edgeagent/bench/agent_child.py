"""The agent's own parts, put together for a measurement. `python -m edgeagent.bench.agent_child`, its job on stdin.

Cameras, infer child, publisher and link are the agent's, and so is what is said once a second. Left out is what has no
part in a frame's way: config, engine store, builds, board, governor. It ends with its parent, or at SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from random import Random

import anyio
from pydantic import BaseModel, ConfigDict

from edgeagent.app.cameras import Camera
from edgeagent.app.infer_news import InferSettings
from edgeagent.app.infer_row import InferRow
from edgeagent.app.logs import configure_logs
from edgeagent.app.publisher import Publisher
from edgeagent.app.served import Served
from edgeagent.bench.subject import Subject
from edgeagent.camera.spec import SyntheticSpec
from edgeagent.clock import SystemClock
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkEvent, LinkSettings, ProtocolWish, TlsSettings
from edgeagent.fleet.topics import Topics
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.lifeline import tie_to_parent

PIPELINE = "look"
CAMERA_SIZE = (640, 480)


class Job(BaseModel):
    """What the parent wants: its first and only line."""

    model_config = ConfigDict(frozen=True)
    host: str
    port: int
    tls: bool
    path: str | None
    username: str | None
    password: str | None
    protocol: ProtocolWish
    fleet: str
    device: str
    cameras: int
    fps: float
    subject: Subject
    max_delay_ms: float = 0.0

    def link(self, client: str) -> LinkSettings:
        return LinkSettings(
            host=self.host,
            port=self.port,
            client_id=client,
            tls=TlsSettings() if self.tls else None,
            path=self.path,
            username=self.username,
            password=self.password,
            protocol=self.protocol,
            session_expiry_s=0,
        )

    @property
    def topics(self) -> Topics:
        return Topics(self.fleet, self.device)


class Pids(BaseModel):
    """The answer, once all of it runs."""

    agent: int
    infer: int
    capture: list[int]


class StillCamera(Camera):
    """A camera as the agent has it, with a source that costs nothing."""

    def _spec(self) -> ChildSpec:
        return replace(super()._spec(), module="edgeagent.bench.still_camera")


class BenchAgent:
    """N cameras, each with a pipeline on the same engine."""

    def __init__(self, job: Job) -> None:
        clock, rng = SystemClock(), Random()  # noqa: S311  jitter
        subject, topics = job.subject, job.topics
        self._link = MqttLink(job.link(f"edgeagent-{job.device}"), self._heard, clock, rng)
        self._publisher = Publisher(self._link, topics, Stamp("bench-1", clock.wall_ms), clock, results_qos=0)
        size = (subject.width, subject.height)
        self._cameras = [
            StillCamera(f"cam{number}", _source(job.fps, number), [size], self._publisher, clock, rng)
            for number in range(1, job.cameras + 1)
        ]
        self._served = [_served(camera, size, subject) for camera in self._cameras]
        settings = InferSettings(subject.threads, job.max_delay_ms)
        self._infer = InferRow(self._served, settings, self._publisher, clock, rng)

    async def run(self, tell: Callable[[Pids], None]) -> None:
        """Until SIGTERM."""
        self._link.start()
        try:
            async with anyio.create_task_group() as tasks:
                for camera in self._cameras:
                    tasks.start_soon(camera.supervisor.run)
                tasks.start_soon(self._infer.run)
                tasks.start_soon(self._each_second)
                tasks.start_soon(self._tell_when_running, tell)
                with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                    async for _ in signals:
                        tasks.cancel_scope.cancel()
                        break
        finally:
            self._link.stop()
            for camera in self._cameras:
                camera.close()

    async def _each_second(self) -> None:
        while True:
            self._infer.measure()
            for camera in self._cameras:
                self._publisher.camera(camera.name, camera.measure())
            await anyio.sleep(1.0)

    async def _tell_when_running(self, tell: Callable[[Pids], None]) -> None:
        while not (pids := self._pids()):
            await anyio.sleep(0.1)
        tell(pids)

    def _pids(self) -> Pids | None:
        """None while something does not run yet, or does not run any more."""
        desk = self._infer.desk_of(self._served[0].name)
        infer, captures = desk.supervisor.pid if desk else None, [camera.supervisor.pid for camera in self._cameras]
        running = all(served.loaded for served in self._served) and all(
            camera.state.word == "running" for camera in self._cameras
        )
        if not running or infer is None or not self._link.stats().connected:
            return None
        return Pids(agent=os.getpid(), infer=infer, capture=[pid for pid in captures if pid is not None])

    def _heard(self, event: LinkEvent) -> None:
        """Nobody is told: what does not connect shows as results that do not come."""


def _source(fps: float, number: int) -> SyntheticSpec:
    return SyntheticSpec(width=CAMERA_SIZE[0], height=CAMERA_SIZE[1], fps=fps, seed=number)


def _served(camera: Camera, size: tuple[int, int], subject: Subject) -> Served:
    ring = camera.rings[size]
    name = f"{PIPELINE}{camera.name.removeprefix('cam')}"
    settings = PipelineSettings(camera=camera.name, model=subject.model)
    start = subject.pipeline(name, ring.id)
    return Served(name, settings, camera, ring, subject.classes, subject.model, start=start)


def main() -> None:
    tie_to_parent()
    configure_logs("warning")
    job = Job.model_validate_json(sys.stdin.readline())
    anyio.run(BenchAgent(job).run, _tell)


def _tell(pids: Pids) -> None:
    print(pids.model_dump_json(), flush=True)  # noqa: T201  the parent waits for this line


if __name__ == "__main__":
    main()
