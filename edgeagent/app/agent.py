"""The agent's life: a start list, and the same list backwards to stop.

One event loop. The MQTT link has a thread of its own that hands over through one call; everything else that could
block is a child process or a worker thread with an owner that waits for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random

import anyio
import anyio.abc
import structlog

from edgeagent import __version__
from edgeagent.app.argus import ArgusDesk
from edgeagent.app.backends import Backend, choose_backend
from edgeagent.app.board_dla import DlaQuestion
from edgeagent.app.board_watch import BoardWatch, OwnCost
from edgeagent.app.cameras import Camera
from edgeagent.app.engine_forms import Site, calibration_name
from edgeagent.app.engine_job import Wanted
from edgeagent.app.engine_look import Ready
from edgeagent.app.engine_publish import publish_engine
from edgeagent.app.engine_troubles import EngineTroubles
from edgeagent.app.engines import EngineDesk
from edgeagent.app.governor import GovernorDesk
from edgeagent.app.groups import Group, first_error
from edgeagent.app.inference import InferDesk, Served
from edgeagent.app.lesser_engines import LesserEngines
from edgeagent.app.lineup import Lineup
from edgeagent.app.link_news import LinkNews
from edgeagent.app.models import awaited_models, fetch_models
from edgeagent.app.power import PowerDesk, helper_for
from edgeagent.app.publisher import Publisher
from edgeagent.app.service import ServiceDesk
from edgeagent.app.session import next_session, only_agent
from edgeagent.app.shed_words import ShedWords
from edgeagent.app.shedding import SheddingDesk
from edgeagent.app.wiring import engine_fingerprint, link_settings, module_facts, pipeline_info
from edgeagent.board.evidence import read_identity
from edgeagent.board.reading import Reading
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.errors import EdgeAgentError, StoreError
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkEvent
from edgeagent.fleet.messages import schema_names
from edgeagent.fleet.topics import Topics
from edgeagent.power.modes import watts_of
from edgeagent.supervise.systemd import notifier

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

log = structlog.get_logger("agent")

SECOND_S = 1.0
SETTLE_S = 3.0  # how long starting may take before `status` stops saying init


class Agent:
    """One device's agent. Raises ConfigError and other operator errors before anything is started."""

    def __init__(self, config: Config, clock: Clock, rng: Random) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._state_dir = Path(config.device.state_dir)
        self._identity = read_identity(Path(config.device.board_root))
        self._session = next_session(self._state_dir)
        self._topics = Topics(config.device.fleet, config.device_id)
        self._stamp = Stamp(self._session, clock.wall_ms)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link = MqttLink(link_settings(config, self._topics, self._stamp), self._deliver, clock, rng)
        self._publisher = Publisher(self._link, self._topics, self._stamp, clock, config.mqtt.results_qos)
        self._heard = LinkNews(self._publisher)
        self._service = ServiceDesk(
            notifier(os.environ, os.getpid()),
            (Path(config.device.run_dir), self._state_dir),
            self._session,
            self._publisher,
            self._link.is_alive,
        )
        self._backend, no_backend = self._chosen_backend()
        self._lineup = Lineup(config, no_backend)
        self._cameras = self._lineup.cameras(self._publisher, clock, rng)
        self._served = self._lineup.pipelines(self._cameras, self._publisher)
        self._argus = ArgusDesk(
            helper_for(Path(config.device.board_root), config.power.helper_socket), self._publisher, clock
        )
        self._infer = InferDesk(
            self._served,
            config.engines.infer_threads,
            self._publisher,
            clock,
            rng,
            max_delay_ms=config.engines.max_delay_ms,
            canary_s=config.engines.canary_interval_s,
        )
        self._power = PowerDesk(
            Path(config.device.board_root), self._state_dir, self._identity, config.power, self._publisher, clock
        )
        self._governor = GovernorDesk(
            config.thermal,
            clock,
            heat_expected=self._identity.kind != "not-a-jetson",
            note=self._publisher.note,
            measure=partial(self._publisher.measurement, "governor"),
        )
        self._publisher.on_summary = self._governor.streams_taken
        self._engines = EngineDesk(
            config.engines,
            config.registry,
            self._state_dir,
            self._site(),
            self._publisher,
            clock,
            governor=self._governor,
            power=self._power,
            pacing=config.thermal.pace,
        )
        self._shedding = self._shedding_desk()
        self._troubles = EngineTroubles(self._engines, self._infer, self._publisher, self._provide)
        self._board = BoardWatch(
            Path(config.device.board_root),
            self._state_dir,
            self._identity.soc,
            self._publisher,
            config.power,
            config.thermal,
            clock,
        )
        self._governor.read = self._board.quick
        self._board.on_reading = self._look
        self._cost = OwnCost()
        self._tasks: anyio.abc.TaskGroup | None = None
        self.again = False  # set when everything is to be set up anew: a model has come

    def _chosen_backend(self) -> tuple[Backend, EdgeAgentError | None]:
        """A backend that is not here costs the pipelines, not the agent: somebody must be able to read why."""
        try:
            return choose_backend(self._config.engines.backend), None
        except EdgeAgentError as error:
            return "onnxruntime", error

    def _site(self) -> Site:
        """The device as engines see it."""
        root = Path(self._config.device.board_root)
        return Site(self._backend, engine_fingerprint(self._identity, self._backend, root), self._identity.dla)

    def _shedding_desk(self) -> SheddingDesk:
        """Subscribed to the governor from the start."""
        desk = SheddingDesk(
            self._served,
            self._infer,
            LesserEngines(self._engines.store, self._config.engines, self._site(), self._wanted),
            self._power,
            self._governor.streams,
            ShedWords(self._publisher, self._clock),
            self._clock,
            sample_s=self._config.power.sample_interval_s,
            calm_s=self._config.thermal.restore_after_s,
            plugins=self._config.engines.plugins,
        )
        self._governor.subscribe(desk.take)
        return desk

    def _look(self, reading: Reading) -> None:
        self._power.look(reading)
        self._engines.surroundings.look(reading)
        self._governor.power_cap_w = watts_of(self._power.view.mode) if self._power.view.mode else None
        self._governor.take(reading)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Everything started is stopped, in reverse order, however this ends."""
        self._loop = asyncio.get_running_loop()
        self._sweep()
        self._link.start()
        reason = "ended by an error"
        try:
            self._publisher.status("init")
            await self._run_tasks()
            reason = "stopped"
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop(reason)

    def _sweep(self) -> None:
        try:
            self._engines.sweep(set(self._config.pipelines))
        except StoreError as error:
            log.error("store", reason=error.line())  # every engine that is wanted will say so on MQTT

    async def _run_tasks(self) -> None:
        for camera in self._cameras.values():
            camera.on_change = self._publish_info
            camera.on_argus_trouble = self._argus.ask
        self._power.on_change = self._publish_info
        self._shedding.on_engine = self._publish_info
        self._infer.on_loaded = lambda served: self._begin_when_ready(served.camera)
        self._infer.on_idle = self._governor.streams.forget
        self._engines.on_built = self._publish_engine
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self._troubles.watch(tasks)
            self._publish_info()
            for name, error in self._lineup.refused.items():
                self._engines.refuse(name, error)
            groups = self._groups()
            tasks.start_soon(self._stop_on_signal, groups, tasks.cancel_scope)
            for group in groups:
                tasks.start_soon(group.run)
            self._service.started()
            tasks.start_soon(self._each, self._config.power.sample_interval_s, self._board.sample)
            tasks.start_soon(self._each, SECOND_S, self._second)
            tasks.start_soon(self._governor.run)
            tasks.start_soon(self._settle)
            if awaited_models(self._config):
                tasks.start_soon(self._fetch_models, groups, tasks.cancel_scope)
            tasks.start_soon(self._ask_dla)

    def _groups(self) -> list[Group]:
        """The start list: power, cameras, inference, engines. Stopped in the opposite order."""
        power, cameras, inference, engines = Group(), Group(), Group(), Group()
        power.add(self._power.run)
        for camera in self._cameras.values():
            cameras.add(camera.run)
        cameras.add(self._argus.run)
        if self._served:
            inference.add(self._infer.supervisor.run)
            inference.add(self._shedding.run)
        for served in self._served:
            engines.add(partial(self._provide, served))
        return [power, cameras, inference, engines]

    async def _stop_on_signal(self, groups: list[Group], scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("stopping", signal=number.name)
                self._service.stopping()
                self._publisher.status("stopping", f"received {number.name}")
                await self._stop_groups(groups)
                await self._power.restore()
                scope.cancel()
                return

    @staticmethod
    async def _stop_groups(groups: list[Group]) -> None:
        for group in reversed(groups):
            await group.stop()

    async def _fetch_models(self, groups: list[Group], scope: anyio.CancelScope) -> None:
        """Until the models that pipelines wait for have come; then everything is set up anew with them."""
        await fetch_models(self._config, self._model_not_fetched)
        self.again = True
        self._publisher.status("updating", "a model has come from the registry")
        await self._stop_groups(groups)
        scope.cancel()

    def _model_not_fetched(self, digest: str, reason: str) -> None:
        self._publisher.event("model-not-fetched", "warning", f"model {digest[:12]}: {reason}", digest=digest)

    async def _stop(self, reason: str) -> None:
        try:
            self._second()
        finally:
            self._board.close()
            await anyio.to_thread.run_sync(self._link.stop, self._publisher.last_words(reason))
            for camera in self._cameras.values():
                camera.close()
            log.info("stopped", reason=reason)

    async def _settle(self) -> None:
        await anyio.sleep(SETTLE_S)
        self._publisher.started()

    async def _ask_dla(self) -> None:
        """What TensorRT says of the DLA comes seconds after the start: `info` is published again then."""
        question = DlaQuestion(self._identity)
        try:
            self._identity = await anyio.to_thread.run_sync(question.ask, abandon_on_cancel=True)
        finally:
            question.stop()
        found = self._identity.dla
        log.info("dla", declared=found.declared, probed=found.probed, unprobed=found.unprobed)
        self._publish_info()

    async def _each(self, seconds: float, call: Callable[[], None]) -> None:
        """Call every `seconds`, on a fixed grid: late calls do not push the later ones."""
        due = anyio.current_time()
        while True:
            call()
            due = max(due + seconds, anyio.current_time())
            await anyio.sleep_until(due)

    def _wanted(self, served: Served, model: str) -> Wanted:
        """The wish for an engine of that model, the pipeline's own or another, for this pipeline. Raises ModelError."""
        trouble, bundle = self._lineup.broken.get(model) or (None, self._lineup.bundle(model))
        size = bundle.spec.input
        images = self._config.engines.calibration_images
        name = calibration_name(images, served.camera.name, served.camera.source, size.width, size.height)
        return Wanted(
            pipeline=served.name,
            model=self._lineup.model_path(model),
            bundle=bundle,
            calibration=self._state_dir / "calibration" / name,
            ring_fd=served.ring.fd,
            images=images,
            trouble=trouble,
        )

    async def _provide(self, served: Served) -> None:
        """Until the pipeline has its engine, or will not get one until something changes."""
        wish = partial(self._wanted, served, served.model)
        wanted = await anyio.to_thread.run_sync(wish)  # it may look through thousands of pictures
        if not await self._engines.provide(wanted, self._serve):
            self._given_up(served)

    def _given_up(self, served: Served) -> None:
        served.given_up = True
        self._begin_when_ready(served.camera)

    def _publish_engine(self, key: str) -> None:
        if self._tasks is not None and self._config.registry.publish:
            self._tasks.start_soon(publish_engine, key, self._config, self._publisher)

    async def _serve(self, wanted: Wanted, ready: Ready) -> None:
        await self._shedding.serve(wanted.pipeline, ready)
        self._troubles.serves(ready.entry.manifest.key)

    def _begin_when_ready(self, camera: Camera) -> None:
        """When every pipeline of a camera that will be served is served, a file played once may begin."""
        waiting = [s for s in self._served if s.camera is camera and not s.given_up]
        if self._tasks and camera.once and waiting and all(s.loaded for s in waiting):
            self._tasks.start_soon(camera.begin)

    def _second(self) -> None:
        self._infer.measure()
        for camera in self._cameras.values():
            self._publisher.camera(camera.name, camera.measure())
            if camera.told_end():
                text = f"camera {camera.name} has come to the end of its file"
                self._publisher.event("source-ended", "info", text, camera=camera.name, frames=camera.state.frames)
        self._publish_own_cost()

    def _publish_own_cost(self) -> None:
        rss_mb, cpu_percent = self._cost.take()
        stats = self._link.stats()
        self._service.second(stats)
        supervisors = [self._infer.supervisor, *(camera.supervisor for camera in self._cameras.values())]
        values = {
            "rss_mb": rss_mb,
            "cpu_percent": cpu_percent,
            "published": stats.published,
            "results_published": self._publisher.results,
            "link_queue": stats.waiting,
            "link_dropped": stats.dropped,
            "restarts": sum(supervisor.restarts for supervisor in supervisors),
        }
        self._publisher.measurement("agent", values)

    def _publish_info(self) -> None:
        identity = self._identity
        self._publisher.info(
            {
                "agent_version": __version__,
                "module": module_facts(identity),
                "power": asdict(self._power.view),
                "serial": identity.serial or None,
                "l4t": identity.l4t or None,
                "jetpack": identity.jetpack or None,
                "tensorrt": identity.tensorrt or None,
                "cuda": identity.cuda or None,
                "onnxruntime": identity.onnxruntime or None,
                "cameras": [camera.info() for camera in self._cameras.values()],
                "pipelines": [pipeline_info(served) for served in self._served],
                "schemas": schema_names(),
                "uptime_s": round(self._clock.monotonic_ns() / 1e9, 1),
            }
        )

    def _deliver(self, event: LinkEvent) -> None:
        """On the link's thread: hand over to the loop, nothing else."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard.take, event)


def run_agent(config: Config, clock: Clock, rng: Random) -> None:
    """Run the agent of this configuration until it is told to stop. Raises EdgeAgentError when it cannot start."""
    try:
        with ExitStack() as stack:
            stack.enter_context(only_agent(Path(config.device.run_dir)))
            again = True
            while again:
                agent = Agent(config, clock, rng)
                anyio.run(agent.run)
                again = agent.again
    except BaseExceptionGroup as group:
        raise first_error(group) from group
