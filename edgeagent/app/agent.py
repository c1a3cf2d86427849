"""The agent's life: a start list, and the same list backwards to stop.

One event loop. The MQTT link has a thread of its own that hands over through one call; everything else that could
block is a child process or a worker thread with an owner that waits for it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal

import anyio
import anyio.abc
import structlog

from edgeagent import __version__
from edgeagent.app.board_dla import DlaQuestion
from edgeagent.app.board_watch import BoardWatch, OwnCost
from edgeagent.app.config_applier import ConfigApplier
from edgeagent.app.config_desk import ConfigDesk
from edgeagent.app.fleet_side import FleetSide
from edgeagent.app.governor import GovernorDesk
from edgeagent.app.gpu_trouble import GpuTrouble
from edgeagent.app.ground import Ground
from edgeagent.app.groups import Crew, first_error
from edgeagent.app.jobs_wiring import Commands
from edgeagent.app.line import Line
from edgeagent.app.models import awaited_models, fetch_models
from edgeagent.app.parts import Parts
from edgeagent.app.power import PowerDesk
from edgeagent.app.service import ServiceDesk
from edgeagent.app.session import next_session, only_agent
from edgeagent.app.wiring import module_facts, pipeline_info
from edgeagent.board.evidence import read_identity
from edgeagent.board.reading import Reading
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.errors import EdgeAgentError
from edgeagent.fleet.messages import schema_names
from edgeagent.power.modes import watts_of
from edgeagent.supervise.systemd import notifier

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

log = structlog.get_logger("agent")

Follows = Literal["nothing", "agent", "process"]
"""What comes after an agent: another one in this process, or this process begun anew."""

SECOND_S = 1.0
SETTLE_S = 3.0  # how long starting may take before `status` stops saying init


class Agent:
    """One device's agent. Raises ConfigError and other operator errors before anything is started."""

    def __init__(self, desk: ConfigDesk, clock: Clock, rng: Random) -> None:
        config = desk.config
        root, self._state_dir = Path(config.device.board_root), Path(config.device.state_dir)
        self._desk = desk
        self._clock = clock
        self._fleet = FleetSide(config, self._state_dir, next_session(self._state_dir), clock, rng)
        self._publisher = self._fleet.publisher
        self._service = ServiceDesk(
            notifier(os.environ, os.getpid()),
            (Path(config.device.run_dir), self._state_dir),
            self._fleet.session,
            self._publisher,
            self._fleet.keeper.is_alive,
        )
        self._ground = self._new_ground(config, root, rng)
        self._board = BoardWatch(
            root, self._state_dir, self._ground.identity.soc, self._publisher, config.power, config.thermal, clock
        )
        self._line = Line(config, self._ground)
        self._parts = Parts(config, self._fleet, self._ground, self._board, self._line)
        self._gpu = GpuTrouble(
            self._publisher, clock, lambda: any(one.running for one in self._line.served), self._ground.power.reboot
        )
        self._commands = Commands(self._parts, desk, self._fleet.session, self._restart)
        self._wire()
        self._cost = OwnCost()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._fetching = Crew()
        self.restart = False  # set when the process is to begin anew
        self.again = False  # set when everything is to be set up anew: a model has come, another id

    def _new_ground(self, config: Config, root: Path, rng: Random) -> Ground:
        identity, publisher, clock = read_identity(root), self._publisher, self._clock
        power = PowerDesk(root, self._state_dir, identity, config.power, publisher, clock)
        governor = GovernorDesk(
            config.thermal,
            clock,
            heat_expected=identity.kind != "not-a-jetson",
            note=publisher.note,
            measure=partial(publisher.measurement, "governor"),
        )
        return Ground(root, self._state_dir, identity, publisher, clock, rng, power, governor)

    def _wire(self) -> None:
        """Who hears of what."""
        ground, line = self._ground, self._line
        self._publisher.on_summary = ground.governor.streams_taken
        ground.governor.read = self._board.quick
        self._board.on_reading = self._look
        self._fleet.inbox.on("config_desired", lambda said: self._desk.take(said.payload, said.acknowledge))
        self._fleet.inbox.on("command", self._commands.hears)
        self._fleet.on_connected = self._commands.connected
        ground.power.on_change = self._publish_info
        ground.power.on_trial = lambda: self._desk.on_trial
        line.on_info = self._publish_info
        line.on_gpu_lost = self._gpu.lost
        self._parts.models_wanted = self._fetch_anew
        self._desk.bind(self._publisher, ConfigApplier(self._parts, self._set_up_anew))
        self._desk.on_reload = self._service.reload

    def _look(self, reading: Reading) -> None:
        power, governor = self._ground.power, self._ground.governor
        power.look(reading)
        self._line.engines.surroundings.look(reading)
        governor.power_cap_w = watts_of(power.view.mode) if power.view.mode else None
        governor.take(reading)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Everything started is stopped, in reverse order, however this ends."""
        self._line.sweep()
        await self._fleet.open()
        reason = "ended by an error"
        try:
            self._publisher.status("init")
            await self._run_tasks()
            reason = "stopped"
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop(reason)

    async def _run_tasks(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self._publish_info()
            tasks.start_soon(self._hear_signals)
            self._parts.start(tasks)
            self._service.started()
            tasks.start_soon(self._each, lambda: self._parts.config.power.sample_interval_s, self._board.sample)
            tasks.start_soon(self._each, lambda: SECOND_S, self._second)
            tasks.start_soon(self._ground.governor.run)
            tasks.start_soon(self._settle)
            self._fetch_anew()
            tasks.start_soon(self._ask_dla)
            tasks.start_soon(self._desk.run)
            tasks.start_soon(self._commands.run)
            tasks.start_soon(self._gpu.run)

    async def _hear_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP:
                    self._desk.reload()
                    continue
                log.info("stopping", signal=number.name)
                self._service.stopping()
                self._publisher.status("stopping", f"received {number.name}")
                await self._stop_parts()
                await self._ground.power.restore()
                self._end()
                return

    async def _stop_parts(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._parts.stop()

    def _end(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    async def _set_up_anew(self, reason: str) -> None:
        """End, for another agent to begin in this process with what `desk.config` is by then."""
        self.again = True
        self._publisher.status("updating", reason)
        await self._stop_parts()
        self._end()

    def _restart(self) -> None:
        self.restart = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _fetch_anew(self) -> None:
        """Look for models that pipelines wait for, whatever was looked for before."""
        if self._tasks is not None:
            self._tasks.start_soon(self._fetching.stop)
            self._fetching = Crew()
            if awaited_models(self._parts.config):
                self._tasks.start_soon(self._fetching.run)
                self._fetching.start_soon(self._fetch_models)

    async def _fetch_models(self) -> None:
        """Until the models that pipelines wait for have come; then everything is set up anew with them."""
        await fetch_models(self._parts.config, self._model_not_fetched)
        if self._tasks is not None:
            self._tasks.start_soon(self._set_up_anew, "a model has come from the registry")

    def _model_not_fetched(self, digest: str, reason: str) -> None:
        self._publisher.event("model-not-fetched", "warning", f"model {digest[:12]}: {reason}", digest=digest)

    async def _stop(self, reason: str) -> None:
        try:
            self._second()
        finally:
            self._board.close()
            await self._fleet.close(reason)
            self._line.cameras.close()
            log.info("stopped", reason=reason)

    async def _settle(self) -> None:
        await anyio.sleep(SETTLE_S)
        self._publisher.started()

    async def _ask_dla(self) -> None:
        """What TensorRT says of the DLA comes seconds after the start: `info` is published again then."""
        question = DlaQuestion(self._ground.identity)
        try:
            self._ground.identity = await anyio.to_thread.run_sync(question.ask, abandon_on_cancel=True)
        finally:
            question.stop()
        found = self._ground.identity.dla
        log.info("dla", declared=found.declared, probed=found.probed, unprobed=found.unprobed)
        self._publish_info()

    async def _each(self, seconds: Callable[[], float], call: Callable[[], None]) -> None:
        """Call every `seconds()`, on a fixed grid: late calls do not push the later ones."""
        due = anyio.current_time()
        while True:
            call()
            due = max(due + seconds(), anyio.current_time())
            await anyio.sleep_until(due)

    def _second(self) -> None:
        self._line.measure()
        self._fleet.second()
        rss_mb, cpu_percent = self._cost.take()
        stats = self._fleet.stats()
        self._service.second(stats)
        values = {
            "rss_mb": rss_mb,
            "cpu_percent": cpu_percent,
            "published": stats.published,
            "results_published": self._publisher.results,
            "link_queue": stats.waiting,
            "link_dropped": stats.dropped,
            "restarts": self._line.restarts,
            **self._fleet.outbox.measure(),
        }
        self._publisher.measurement("agent", values)

    def _publish_info(self) -> None:
        identity = self._ground.identity
        self._publisher.info(
            {
                "agent_version": __version__,
                "module": module_facts(identity),
                "power": asdict(self._ground.power.view),
                "serial": identity.serial or None,
                "l4t": identity.l4t or None,
                "jetpack": identity.jetpack or None,
                "tensorrt": identity.tensorrt or None,
                "cuda": identity.cuda or None,
                "onnxruntime": identity.onnxruntime or None,
                "cameras": [camera.info() for camera in self._line.cameras.by_name.values()],
                "pipelines": [pipeline_info(served) for served in self._line.served],
                "schemas": schema_names(),
                **self._commands.facts(),
                "uptime_s": round(self._clock.monotonic_ns() / 1e9, 1),
            }
        )


def run_agent(desk: ConfigDesk, clock: Clock, rng: Random) -> None:
    """Run the agent of the desk's configuration until it is told to stop. Raises EdgeAgentError when it cannot start,
    and ConfigLostError when it can neither go on nor back."""
    try:
        with ExitStack() as stack:
            stack.enter_context(only_agent(Path(desk.config.device.run_dir)))
            follows: Follows = "agent"
            while follows == "agent":
                follows = anyio.run(_one_agent, desk, clock, rng)
    except BaseExceptionGroup as group:
        raise first_error(group) from group
    if follows == "process":
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  the same command line, with another release if there is one


async def _one_agent(desk: ConfigDesk, clock: Clock, rng: Random) -> Follows:
    """The life of one agent, and what follows it."""
    try:
        agent = Agent(desk, clock, rng)
    except EdgeAgentError as error:
        if desk.could_not_start(error):
            return "agent"
        raise
    await agent.run()
    if agent.restart:
        return "process"
    return "agent" if agent.again else "nothing"
