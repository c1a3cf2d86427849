"""The agent's side towards the fleet: the link, what comes in over it, what waits to go out, and who publishes.

The parts know each other here only. For the event loop; what the link's thread tells is handed over by the keeper.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from edgeagent.app.dashboards import Dashboards
from edgeagent.app.home_assistant import topics_of_others
from edgeagent.app.inbox import Inbox
from edgeagent.app.link_keeper import LinkKeeper
from edgeagent.app.link_news import LinkNews
from edgeagent.app.outbox_desk import OutboxDesk
from edgeagent.app.presence import Presence
from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import Connected, LinkEvent, LinkStats
from edgeagent.fleet.outbox import Outbox
from edgeagent.fleet.sender import Sender
from edgeagent.fleet.topics import Topics


class FleetSide:
    """`on_connected` is called when the broker has accepted, before anything is said again."""

    def __init__(self, config: Config, state_dir: Path, session: str, clock: Clock, rng: Random) -> None:
        topics, stamp = Topics(config.device.fleet, config.device_id), Stamp(session, clock.wall_ms)
        self.session = session
        self.inbox = Inbox(topics, config.device.groups, topics_of_others(config))
        self.keeper = LinkKeeper(config, topics, stamp, clock, rng, self.inbox)
        outbox = Outbox(state_dir / "outbox.db", session.partition("-")[0], clock)
        self.sender = Sender(self.keeper.link, outbox, clock, config.outbox.max_bytes)
        mqtt = config.mqtt
        self.publisher = Publisher(self.sender, topics, stamp, clock, mqtt.results_qos, mqtt.results_expiry_s)
        self.outbox = OutboxDesk(outbox, self.sender, self.publisher, clock)
        self.dashboards = Dashboards(config, self.publisher, self.sender, topics, clock)
        self.on_connected: Callable[[Connected], None] = lambda event: None
        self._news = LinkNews(self.publisher)
        self.keeper.on_link = self.sender.attach
        self.keeper.take = self._heard
        self.inbox.on("status", Presence(self.publisher.status_again).take)
        self.inbox.on("other", lambda said: self.dashboards.take(said.topic, said.payload))

    async def open(self) -> None:
        """What an earlier run left comes first; then the link is begun."""
        await self.outbox.open()
        self.keeper.start()
        self.dashboards.start()

    async def close(self, reason: str) -> None:
        """With last words; what does not get out any more is kept."""
        self.dashboards.stop()
        await self.keeper.stop(self.publisher.last_words(reason))
        await self.outbox.close()

    async def change(self, config: Config) -> None:
        """Another link. Raises ConfigError for one that can never work."""
        self.publisher.deliver_results(config.mqtt.results_qos, config.mqtt.results_expiry_s)
        await self.keeper.change(config, self.publisher.last_words("it was set to another broker"))

    def second(self) -> None:
        """Once a second."""
        self.dashboards.tick()
        self.outbox.second()

    def stats(self) -> LinkStats:
        return self.sender.stats()

    def _heard(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            self.on_connected(event)
        self._news.take(event)  # first: after a connection the status goes before the backlog
        self.sender.take(event)
