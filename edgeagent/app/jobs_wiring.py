"""The desk of commands, joined to the agent: what its commands reach, where its messages come from, and where its
answers go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import Life
from edgeagent.app.commands_all import KINDS
from edgeagent.app.config_desk import ConfigDesk
from edgeagent.app.engines import EngineDesk
from edgeagent.app.inbox import Received
from edgeagent.app.job_intake import Arrived
from edgeagent.app.job_store import JobStore
from edgeagent.app.job_words import JobWords
from edgeagent.app.jobs import JobDesk
from edgeagent.app.line import Line
from edgeagent.app.logs import LEVEL, MEMORY
from edgeagent.app.parts import Parts
from edgeagent.app.power import helper_for
from edgeagent.app.publisher import Publisher
from edgeagent.app.teller import Teller
from edgeagent.clock import Clock
from edgeagent.fleet.job_verdict import Arrival
from edgeagent.fleet.link_types import Connected

SETTLED_S = 30.0  # what a broker has kept for us has come by then


class Commands:
    """The agent's side of the desk: hears messages, has its commands done on the parts. For the event loop only."""

    def __init__(self, parts: Parts, config: ConfigDesk, session: str, restart: Callable[[], None]) -> None:
        ground = parts.ground
        self._parts = parts
        self._clock = ground.clock
        self._kept_until_ns = 0
        life = read_life(session, ground.root)
        context = context_of(parts, config, life, restart)
        store = JobStore(ground.state_dir / "jobs.db", ground.clock.wall_ms, partial(_tell_problem, parts.publisher))
        words = JobWords(parts.publisher, parts.keeper.answer, ground.clock)
        self.desk = JobDesk(KINDS, context, store, words, life, ground.clock, lambda: parts.config.remote)

    async def run(self) -> None:
        await self.desk.run()

    def facts(self) -> dict[str, object]:
        """What `info` says of them."""
        return {"commands": self.desk.obeyed(), "groups": list(self._parts.config.device.groups)}

    def connected(self, event: Connected) -> None:
        """There is a connection: for a while the broker may bring what it has kept for us."""
        kept_ns = round(SETTLED_S * 1e9) if event.session_present else 0
        self._kept_until_ns = self._clock.monotonic_ns() + kept_ns

    def hears(self, said: Received) -> None:
        """What was said on a command's topic. An empty payload has taken a retained one off the broker."""
        inbound = said.inbound
        if inbound is None or not said.payload:
            said.acknowledge()
            return
        live = self._clock.monotonic_ns() >= self._kept_until_ns
        arrival = Arrival(said.retain, None if said.expiry_s is None else float(said.expiry_s), live)
        answer = said.response_topic, said.correlation
        self.desk.take(Arrived(inbound.name, inbound.scope, said.payload, arrival, *answer, said.acknowledge))


def context_of(parts: Parts, config: ConfigDesk, life: Life, restart: Callable[[], None]) -> CommandContext:
    """What commands reach of the agent: parts are looked up when they are needed, for they may be replaced."""
    ground, line = parts.ground, parts.line
    return CommandContext(
        publisher=parts.publisher,
        clock=ground.clock,
        life=life,
        helper=helper_for(ground.root, parts.config.power.helper_socket),
        config=lambda: parts.config,
        loaded=lambda: config.loaded,
        config_file=lambda: config.file,
        cameras=lambda: line.cameras.by_name,
        served=lambda: line.served,
        infer=lambda: line.infer,
        engines=lambda: line.engines,
        make_engines=partial(_impatient_engines, line, parts.ground.clock),
        wanted=line.wanted,
        serve=line.serve,
        provide=line.provide,
        power=lambda: ground.power,
        restart=restart,
        logs=MEMORY,
        level=LEVEL,
        config_back=config.go_back,
    )


def _impatient_engines(line: Line, clock: Clock, teller: Teller) -> EngineDesk:
    """A desk for one who waits for the engine; it looks at the board through the eyes of the other one."""
    config, ground = line.config, line.ground
    desk = EngineDesk(
        config.engines, config.registry, ground.state_dir, line.site, teller, clock,
        patient=False, governor=ground.governor, power=ground.power, pacing=config.thermal.pace,
    )  # fmt: skip
    desk.surroundings, desk.on_built = line.engines.surroundings, line.engines.on_built
    return desk


def read_life(session: str, board_root: Path) -> Life:
    """This run of the agent. The boot is the board's: a virtual one reboots by itself."""
    for root in (board_root, Path("/")):
        try:
            text = (root / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            return Life(session, text)
    return Life(session, "unknown")


def _tell_problem(publisher: Publisher, problem: str) -> None:
    publisher.event("jobs-lost", "error", f"{problem}: commands from before now are refused")
