"""The parts that an agent is made of while it runs, and which of them have to be replaced for another config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import anyio.abc

from edgeagent.app.board_watch import BoardWatch
from edgeagent.app.fleet_side import FleetSide
from edgeagent.app.ground import Ground
from edgeagent.app.groups import Group
from edgeagent.app.line import Line
from edgeagent.app.line_change import change_line
from edgeagent.app.lineup import Lineup
from edgeagent.app.link_keeper import LinkKeeper
from edgeagent.app.publisher import Publisher
from edgeagent.config.changes import Changes, changes_between
from edgeagent.config.schema import Config


@dataclass
class Parts:
    """`config` is what they are set to. `models_wanted` is called when other models may be missing."""

    config: Config
    fleet: FleetSide
    ground: Ground
    board: BoardWatch
    line: Line
    models_wanted: Callable[[], None] = lambda: None
    tasks: anyio.abc.TaskGroup | None = None
    power_group: Group = field(default_factory=Group)

    @property
    def publisher(self) -> Publisher:
        return self.fleet.publisher

    @property
    def keeper(self) -> LinkKeeper:
        return self.fleet.keeper

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Power first: what an engine depends on is set by it."""
        self.tasks = tasks
        self._begin_power()
        self.line.start(tasks)

    def _begin_power(self) -> None:
        self.power_group = Group()
        self.power_group.add(self.ground.power.run)
        if self.tasks is not None:
            self.tasks.start_soon(self.power_group.run)

    async def stop(self) -> None:
        await self.line.stop()
        await self.power_group.stop()

    async def change(self, config: Config, lineup: Lineup) -> list[str]:
        """Bring another config into force that does not concern the agent as a whole. What was started anew for it.

        Raises ConfigError for a link that can never work. What had been changed by then stays so: the caller goes back
        by the same way.
        """
        changes = changes_between(self.config, config)
        self.config = config
        restarted = []
        if changes.has("link"):
            await self.fleet.change(config)
            restarted.append("link")
        restarted += await self._change_board(config, changes)
        restarted += await change_line(self.line, config, lineup, changes)
        self.models_wanted()
        return restarted

    async def _change_board(self, config: Config, changes: Changes) -> list[str]:
        self.fleet.sender.resize(config.outbox.max_bytes)
        self.ground.governor.change(config.thermal)
        self.board.change(config.power, config.thermal)
        self.fleet.dashboards.apply(config)
        if not changes.has("power"):
            return []
        await self.power_group.stop()
        self.ground.power.change(config.power)
        self._begin_power()
        return ["power"]
