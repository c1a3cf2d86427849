"""Keeps the agent's one link, and puts another in its place when the broker's settings change.

The old link ends before the new one begins: both have the same client id, and a broker lets one of a name in. Whoever
publishes is told of the new one (`on_link`) before it begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import anyio.to_thread

from edgeagent.app.home_assistant import topics_of_others
from edgeagent.app.inbox import Inbox
from edgeagent.app.wiring import link_settings
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, LinkSettings, Lost, Message, Refused
from edgeagent.fleet.topics import Topics

ANSWER_S = 3600.0


class LinkKeeper:
    """What comes in goes to the inbox; `take` is called on the event loop with what else the present link tells.

    `connected`: as it told last; `waits`: it has not told anything yet; `trouble`: why it is not connected.
    """

    def __init__(
        self,
        config: Config,
        topics: Topics,
        stamp: Stamp,
        clock: Clock,
        rng: Random,
        inbox: Inbox,
    ) -> None:
        self._topics, self._stamp, self._clock, self._rng = topics, stamp, clock, rng
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0
        self._settings = link_settings(config, topics, stamp)
        self._inbox = inbox
        self._link = self._made(self._settings)
        self.on_link: Callable[[MqttLink], None] = lambda link: None
        self.take: Callable[[LinkEvent], None] = lambda event: None
        self.connected, self.waits, self.trouble = False, True, ""

    def _made(self, settings: LinkSettings) -> MqttLink:
        self._number += 1
        number = self._number
        link = MqttLink(settings, lambda event: self._deliver(number, link, event), self._clock, self._rng)
        link.subscribe(self._inbox.filters)
        return link

    @property
    def link(self) -> MqttLink:
        return self._link

    def start(self) -> None:
        """Within the event loop. Raises ConfigError for settings that can never work."""
        self._loop = asyncio.get_running_loop()
        self._link.start()

    async def change(self, config: Config, last_words: tuple[str, bytes]) -> None:
        """Another link from now on. `last_words` are said to a broker that is left for another.

        Raises ConfigError for settings that can never work; where they could be seen to be none before the old link
        was ended, that one goes on.
        """
        settings = link_settings(config, self._topics, self._stamp)
        moves = (settings.host, settings.port) != (self._settings.host, self._settings.port)
        self._inbox.listen_to(config.device.groups, topics_of_others(config))
        link, old = self._made(settings), self._link
        await anyio.to_thread.run_sync(old.stop, last_words if moves else None)
        self.connected, self.waits, self.trouble = False, True, ""
        self._settings, self._link = settings, link
        self.on_link(link)
        link.start()

    def answer(self, topic: str, payload: bytes, correlation: bytes | None, retain: bool) -> None:
        """An answer for one who has asked: through the link of now, and not remembered beyond it."""
        self._link.publish(topic, payload, qos=1, retain=retain, expiry_s=ANSWER_S, correlation=correlation)

    async def stop(self, last_words: tuple[str, bytes]) -> None:
        await anyio.to_thread.run_sync(self._link.stop, last_words)

    def _deliver(self, number: int, link: MqttLink, event: LinkEvent) -> None:
        """On the link's thread: hand over to the loop, nothing else."""
        if self._loop is None or self._loop.is_closed():
            return
        if isinstance(event, Message):
            self._inbox.deliver(event, link, self._loop)
        else:
            self._loop.call_soon_threadsafe(self._heard, number, event)

    def _heard(self, number: int, event: LinkEvent) -> None:
        if number != self._number:
            return  # the last words of a link that has been replaced
        if isinstance(event, Connected):
            self.connected, self.waits, self.trouble = True, False, ""
        elif isinstance(event, Refused | Lost):
            self.connected, self.waits, self.trouble = False, False, event.reason
        self.take(event)
