"""The line: cameras, pipelines, the inference, the engines and what is shed, made from one config.

It is begun with a task group and stopped part by part, in the reverse of the order in which it was begun. How it goes
over to another config while it runs is line_change.py's.

Invariant: `config` is the one whose settings are in force; of each part there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio
import anyio.abc
import structlog

from edgeagent.app.argus import ArgusDesk
from edgeagent.app.backends import Backend, choose_backend
from edgeagent.app.camera_row import CameraRow
from edgeagent.app.cameras import Camera
from edgeagent.app.engine_forms import Site
from edgeagent.app.engine_job import Wanted
from edgeagent.app.engine_look import Ready
from edgeagent.app.engine_publish import publish_engine
from edgeagent.app.engine_troubles import EngineTroubles
from edgeagent.app.engines import EngineDesk
from edgeagent.app.ground import Ground
from edgeagent.app.groups import Crew, Group
from edgeagent.app.infer_news import InferSettings
from edgeagent.app.infer_row import InferRow
from edgeagent.app.lesser_engines import LesserEngines
from edgeagent.app.lineup import Lineup
from edgeagent.app.power import helper_for
from edgeagent.app.served import Served
from edgeagent.app.shared_frames import frames_from
from edgeagent.app.shed_words import ShedWords
from edgeagent.app.shedding import SheddingDesk
from edgeagent.config.schema import Config
from edgeagent.errors import EdgeAgentError, StoreError
from edgeagent.inference.accelerators import Accelerator

log = structlog.get_logger("agent")


def chosen_backend(config: Config) -> tuple[Backend, EdgeAgentError | None]:
    """A backend that is not here costs the pipelines, not the agent: somebody must be able to read why."""
    try:
        return choose_backend(config.engines.backend), None
    except EdgeAgentError as error:
        return "onnxruntime", error


def lineup_of(config: Config) -> Lineup:
    """What of the config can run here. Reads the models' files: for a worker thread once the loop runs."""
    return Lineup(config, chosen_backend(config)[1])


def only_accelerator(site: Site) -> Accelerator | None:
    """Where every engine runs; None where there is a choice."""
    if site.backend == "onnxruntime":
        return "cpu"
    return "gpu" if site.dla.answer == "no" else None


def infer_settings(config: Config) -> InferSettings:
    engines = config.engines
    return InferSettings(engines.infer_threads, engines.max_delay_ms, engines.canary_interval_s)


class Line:
    """For the event loop only. `on_info` is called when `info` would say something else."""

    def __init__(self, config: Config, ground: Ground) -> None:
        self.config = config
        self.ground = ground
        self.lineup = lineup_of(config)
        self.cameras = CameraRow(ground, self.lineup.cameras())
        self.served = self.lineup.pipelines(self.cameras.by_name, ground.publisher)
        self.argus = ArgusDesk(helper_for(ground.root, config.power.helper_socket), ground.publisher, ground.clock)
        self.infer = InferRow(self.served, infer_settings(config), ground.publisher, ground.clock, ground.rng)
        self.on_info: Callable[[], None] = lambda: None
        self.on_gpu_lost: Callable[[str, str], None] = lambda text, by: None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._providing: dict[str, anyio.CancelScope] = {}
        self.make_engines()
        self.make_shedding()
        self.inference, self.shedder = Group(), Group()

    # parts that are made anew for other settings

    def make_engines(self) -> None:
        """The engine desk and what follows its work."""
        config, ground = self.config, self.ground
        self.engines = EngineDesk(
            config.engines,
            config.registry,
            ground.state_dir,
            ground.site(chosen_backend(config)[0]),
            ground.publisher,
            ground.clock,
            governor=ground.governor,
            power=ground.power,
            pacing=config.thermal.pace,
        )
        self.engines.on_built = self._publish_engine
        self.engines.on_failed = lambda code, text: self.on_gpu_lost(text, "build") if code == "gpu_lost" else None
        self.infer.keep(only_accelerator(self.site))
        self.infer.dla_cores = self.site.dla.cores or 1
        self.crew = Crew()
        self.troubles = EngineTroubles(self.engines, self.infer, ground.publisher, self.provide)

    def make_shedding(self) -> None:
        """Subscribed to the governor from the start."""
        config, ground = self.config, self.ground
        site = ground.site(chosen_backend(config)[0])
        self.shedding = SheddingDesk(
            self.served,
            self.infer,
            LesserEngines(self.engines.store, config.engines, site, self.wanted),
            ground.power,
            ground.governor.streams,
            ShedWords(ground.publisher, ground.clock),
            ground.clock,
            sample_s=config.power.sample_interval_s,
            calm_s=config.thermal.restore_after_s,
            plugins=config.engines.plugins,
        )
        self.shedding.on_engine = self._tell_info
        self._unsubscribe = ground.governor.subscribe(self.shedding.take)

    @property
    def site(self) -> Site:
        """The device as engines see it."""
        return self.ground.site(chosen_backend(self.config)[0])

    # life

    def sweep(self) -> None:
        try:
            self.engines.sweep(set(self.config.pipelines))
        except StoreError as error:
            log.error("store", reason=error.line())  # every engine that is wanted will say so on MQTT

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Cameras, inference, engines."""
        self._tasks = tasks
        self.cameras.on_change = self._tell_info
        self.cameras.on_argus_trouble = self.argus.ask
        self.infer.news.loaded = self._loaded
        self.infer.news.gpu_lost = self.on_gpu_lost
        self.infer.news.idle = self.ground.governor.streams.forget
        self.cameras.start(tasks)
        self._argus_group = Group()
        self._argus_group.add(self.argus.run)
        tasks.start_soon(self._argus_group.run)
        self.begin_inference()
        self.begin_shedding()
        self.begin_engines()

    def begin_inference(self) -> None:
        self.inference = Group()
        if self._tasks is not None and self.served:
            self.inference.add(self.infer.run)
            self._tasks.start_soon(self.inference.run)

    async def stop_inference(self) -> None:
        if self.inference.begun:
            await self.inference.stop()

    def begin_shedding(self) -> None:
        self.shedder = Group()
        if self._tasks is not None and self.served:
            self.shedder.add(self.shedding.run)
            self._tasks.start_soon(self.shedder.run)

    async def stop_shedding(self) -> None:
        if self.shedder.begun:
            await self.shedder.stop()
        self._unsubscribe()

    def begin_engines(self) -> None:
        """With a crew that is not begun yet."""
        if self._tasks is not None:
            self.troubles.watch(self.crew)
            self._tasks.start_soon(self.crew.run)
            self.refuse()
            for one in self.served:
                self.crew.start_soon(self.provide, one)

    def refuse(self) -> None:
        """Tell of the pipelines that cannot run."""
        for name, error in self.lineup.refused.items():
            self.engines.refuse(name, error)

    async def stop(self) -> None:
        """Engines, inference, cameras."""
        await self.crew.stop()
        await self.stop_shedding()
        await self.stop_inference()
        await self._argus_group.stop()
        await self.cameras.stop()

    # engines

    async def provide(self, served: Served) -> None:
        """Until the pipeline has its engine, or will not get one until something changes."""
        if not any(one is served for one in self.served):
            return
        if (other := self._providing.get(served.name)) is not None:
            other.cancel()  # the newest counts
        with anyio.CancelScope() as scope:
            self._providing[served.name], served.given_up = scope, False
            wish = partial(self.wanted, served, served.model)
            wanted = await anyio.to_thread.run_sync(wish)  # it may look through thousands of pictures
            if not await self.engines.provide(wanted, self.serve):
                served.given_up = True
                self._begin_when_ready(served.camera)
        if self._providing.get(served.name) is scope:
            del self._providing[served.name]

    def is_providing(self, pipeline: str) -> bool:
        """Whether an engine is being looked for or made for it."""
        return pipeline in self._providing

    def wanted(self, served: Served, model: str) -> Wanted:
        """The wish for an engine of that model, the pipeline's own or another, for this pipeline. Raises ModelError."""
        trouble, bundle = self.lineup.broken.get(model) or (None, self.lineup.bundle(model))
        frames = frames_from(served, self.served, self.config, model)
        return Wanted(
            pipeline=served.name,
            model=self.lineup.model_path(model),
            bundle=bundle,
            calibration=self.ground.state_dir / "calibration" / frames.name,
            ring_fd=frames.ring_fd,
            images=self.config.engines.calibration_images,
            trouble=trouble,
            max_batch=self.config.models[model].max_batch,
            placement=served.settings.placement,
            other_rings=frames.others,
        )

    async def serve(self, wanted: Wanted, ready: Ready) -> None:
        """Let the pipeline run on that engine."""
        await self.shedding.serve(wanted.pipeline, ready)
        self.troubles.serves(ready.entry.manifest.key)

    def _publish_engine(self, key: str) -> None:
        if self._tasks is not None and self.config.registry.publish:
            self._tasks.start_soon(publish_engine, key, self.config, self.ground.publisher)

    def _loaded(self, served: Served) -> None:
        self._tell_place(served)
        self._begin_when_ready(served.camera)

    def _begin_when_ready(self, camera: Camera) -> None:
        """When every pipeline of a camera that will be served is served, a file played once may begin."""
        waiting = [s for s in self.served if s.camera is camera and not s.given_up]
        if self._tasks and camera.once and waiting and all(s.loaded for s in waiting):
            self._tasks.start_soon(camera.begin)

    # telling

    def _tell_place(self, served: Served) -> None:
        self.ground.publisher.runs_at(served.name, None if served.running is None else served.serves_at)

    def _tell_info(self) -> None:
        self.on_info()

    def measure(self) -> None:
        """Once a second."""
        publisher = self.ground.publisher
        self.infer.measure()
        for served in self.served:
            self._tell_place(served)
        for camera in self.cameras.by_name.values():
            publisher.camera(camera.name, camera.measure())
            if camera.told_end():
                text = f"camera {camera.name} has come to the end of its file"
                publisher.event("source-ended", "info", text, camera=camera.name, frames=camera.state.frames)

    @property
    def restarts(self) -> int:
        return self.infer.restarts + sum(one.restarts for one in self.cameras.by_name.values())
