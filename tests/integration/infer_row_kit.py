"""Infer children of several accelerators over a camera's rings, as the agent has them. No tests in here.

The children are real, and so are the rings. Their engines are ONNX Runtime's whatever the accelerator is called; the
link keeps what is published.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import numpy as np
from test_plans_kit import frame_of

from edgeagent.app.cameras import Camera
from edgeagent.app.infer_news import InferSettings
from edgeagent.app.infer_row import InferRow
from edgeagent.app.publisher import Publisher
from edgeagent.app.rings import Ring
from edgeagent.app.served import Served
from edgeagent.camera.ring import RingWriter
from edgeagent.camera.spec import SourceSpec, SyntheticSpec
from edgeagent.clock import SystemClock
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import LinkStats, Outcome
from edgeagent.fleet.topics import Topics
from edgeagent.inference.accelerators import ACCELERATORS, Accelerator
from edgeagent.vision.letterbox import fit_letterbox

SIZE = (64, 64)
SAME = fit_letterbox(64, 64, 64, 64)
WAIT_S = 60.0
LOOK_S = 0.05
CORES: Mapping[str, int] = {"dla0": 0, "dla1": 1}


class Keeper:
    """A link that keeps everything, and tells when there is something new."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self._new = anyio.Event()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        said = json.loads(payload) if payload else None
        kind = topic.removeprefix("edgeagent/v1/lab/one/")
        if kind.startswith("r/"):
            self.results.append(said)
        elif kind.startswith("e/"):
            self.events.append(said)
        self.last[kind] = said
        self.tick()
        return Outcome.ACCEPTED

    def stats(self) -> LinkStats:
        raise AssertionError("nobody asked for counters")

    def tick(self) -> None:
        self._new.set()
        self._new = anyio.Event()

    async def until(self, fits: Callable[[], object]) -> None:
        """Not all that happens is published, so it is looked at now and then, too."""
        with anyio.fail_after(WAIT_S):
            while not fits():
                with anyio.move_on_after(LOOK_S):
                    await self._new.wait()


class Stage:
    """A camera, the pipelines that look at it, and the children that serve them. For one event loop."""

    def __init__(self, *pipelines: str, source: SourceSpec | None = None, **settings: Any) -> None:
        self.said, clock = Keeper(), SystemClock()
        self.publisher = Publisher(self.said, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, 0)
        self.camera = Camera("belt", source or SyntheticSpec(), [SIZE], self.publisher, clock, Random(1))
        look = PipelineSettings(camera="belt", model="parts", **{"min_score": 0.0, **settings})
        self.served = {name: Served(name, look, self.camera, self.ring, ["a", "b", "c"], "parts") for name in pipelines}
        self.row = InferRow(list(self.served.values()), InferSettings(1), self.publisher, clock, Random(2))
        self.told: list[tuple[str, ...]] = []
        self.running = anyio.CancelScope()
        self.begin: Callable[[], None] = lambda: None
        news = self.row.news
        news.loaded = lambda served: self._tell("loaded", served.name)
        news.idle = lambda pipeline: self._tell("idle", pipeline)
        news.load_failed = lambda served, engine, text: self._tell("load_failed", served.name, engine)
        news.run_failed = lambda served, engine, text: self._tell("run_failed", served.name, engine)
        news.crash = lambda engine, text: self._tell("crash", engine)
        news.gpu_lost = lambda text, by: self._tell("gpu_lost", by)

    @property
    def ring(self) -> Ring:
        return self.camera.rings[SIZE]

    def _tell(self, *words: str) -> None:
        self.told.append(words)
        self.said.tick()

    async def serve(self, pipeline: str, plan: str, where: Accelerator, *, wait: bool = True) -> None:
        """Let the pipeline run on that plan there; its key is the file's name."""
        key = Path(plan).name
        placement = "dla" if where in CORES else where
        manifest: Any = SimpleNamespace(key=key, backend="onnxruntime", placement=placement, network=None)
        await self.row.serve(pipeline, manifest, plan, dla_core=CORES.get(where, 0))
        if wait:
            await self.until_runs(pipeline, key)

    async def until_runs(self, pipeline: str, key: str) -> None:
        served = self.served[pipeline]
        await self.said.until(
            lambda: served.loaded and served.leaves is None and served.running and served.running.engine == key
        )

    async def again(self) -> None:
        """End all children, and begin anew with the same pipelines, as after a change of settings."""
        self.running.cancel()
        await self.said.until(lambda: all(self.pid(where) is None for where in ACCELERATORS))
        for served in self.served.values():
            served.loaded, served.running = False, None
        self.row.change(list(self.served.values()), InferSettings(1, 2.0))
        self.begin()

    def pid(self, where: Accelerator) -> int | None:
        return self.row.desks[where].supervisor.pid

    def kill(self, where: Accelerator, sig: signal.Signals = signal.SIGKILL) -> None:
        pid = self.pid(where)
        assert pid is not None
        os.kill(pid, sig)

    def health(self) -> dict[str, str]:
        """The infer children's, by accelerator."""
        components = self.publisher.health().components
        return {n.removeprefix("infer/"): c.health for n, c in components.items() if n.startswith("infer/")}

    def frames(self, pipeline: str) -> list[int]:
        return [result["frame"] for result in self.said.results if result["pipeline"] == pipeline]

    def engines(self, pipeline: str) -> list[str]:
        """Those that its results come from, in order."""
        keys = [result["engine"] for result in self.said.results if result["pipeline"] == pipeline]
        return [key for number, key in enumerate(keys) if number == 0 or keys[number - 1] != key]

    async def until_seen(self, frame: int, *pipelines: str) -> None:
        await self.said.until(lambda: all(frame in self.frames(name)[-50:] for name in pipelines or self.served))


class Writer:
    """The camera's part, one frame at a time."""

    def __init__(self, ring: Ring) -> None:
        self.ends = RingWriter(ring.fd, ring.wake_fds)
        self._clock = SystemClock()

    def put(self, byte: int = 10) -> int:
        np.copyto(self.ends.start(), frame_of(byte))
        return self.ends.publish(self._clock.monotonic_ns(), self._clock.wall_ms(), SAME)


@contextlib.asynccontextmanager
async def on_stage(stage: Stage, *, captures: bool = False) -> AsyncIterator[Writer]:
    """The children run in here; `captures`: so does the camera's capture."""
    writer = Writer(stage.ring)
    try:
        async with anyio.create_task_group() as tasks:
            stage.begin = lambda: tasks.start_soon(_run, stage)
            stage.begin()
            if captures:
                tasks.start_soon(stage.camera.run)
            yield writer
            tasks.cancel_scope.cancel()
    finally:
        writer.ends.close()
        stage.camera.close()


async def _run(stage: Stage) -> None:
    with anyio.CancelScope() as stage.running:
        await stage.row.run()
