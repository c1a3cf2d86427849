"""Keeps the agent's one link, and puts another in its place when the broker's settings change.

The old link ends before the new one begins: both have the same client id, and a broker lets one of a name in. What an
ended link still has to say is dropped; its owner says everything that is retained again at the next Connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import anyio.to_thread

from edgeagent.app.link_seat import LinkSeat
from edgeagent.app.wiring import link_settings
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import AckHandle, Connected, LinkEvent, LinkSettings, Lost, Refused
from edgeagent.fleet.topics import Topics

ANSWER_S = 3600.0


class LinkKeeper:
    """`take` is called on the event loop with what the present link tells. `connected`: as it told last."""

    def __init__(
        self,
        config: Config,
        topics: Topics,
        stamp: Stamp,
        clock: Clock,
        rng: Random,
        filters: Mapping[str, int],
    ) -> None:
        self._topics, self._stamp, self._clock, self._rng = topics, stamp, clock, rng
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0
        self._settings = link_settings(config, topics, stamp)
        self._link = self._made(self._settings, filters)
        self.seat = LinkSeat(self._link)
        self.take: Callable[[LinkEvent], None] = lambda event: None
        self.connected = False
        self.trouble = "the link has not been up yet"

    def _made(self, settings: LinkSettings, filters: Mapping[str, int]) -> MqttLink:
        self._number += 1
        number = self._number
        link = MqttLink(settings, lambda event: self._deliver(number, event), self._clock, self._rng)
        link.subscribe(filters)
        return link

    def start(self) -> None:
        """Within the event loop. Raises ConfigError for settings that can never work."""
        self._loop = asyncio.get_running_loop()
        self._link.start()

    async def change(self, config: Config, filters: Mapping[str, int], last_words: tuple[str, bytes]) -> None:
        """Another link from now on. `last_words` are said to a broker that is left for another.

        Raises ConfigError for settings that can never work; where they could be seen to be none before the old link
        was ended, that one goes on.
        """
        settings = link_settings(config, self._topics, self._stamp)
        moves = (settings.host, settings.port) != (self._settings.host, self._settings.port)
        link, old = self._made(settings, filters), self._link
        await anyio.to_thread.run_sync(old.stop, last_words if moves else None)
        self.connected, self.trouble = False, "the new link has not been up yet"
        self._settings, self._link = settings, link
        self.seat.attach(link)
        link.start()

    def acknowledger(self, handle: AckHandle | None) -> Callable[[], None]:
        """What to call once a message that came just now is stored; of no effect when its link is gone by then."""
        return partial(self._link.ack, handle) if handle is not None else lambda: None

    def answer(self, topic: str, payload: bytes, correlation: bytes | None, retain: bool) -> None:
        """An answer for one who has asked: through the link of now, and not remembered beyond it."""
        self._link.publish(topic, payload, qos=1, retain=retain, expiry_s=ANSWER_S, correlation=correlation)

    async def stop(self, last_words: tuple[str, bytes]) -> None:
        await anyio.to_thread.run_sync(self._link.stop, last_words)

    def _deliver(self, number: int, event: LinkEvent) -> None:
        """On the link's thread: hand over to the loop, nothing else."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard, number, event)

    def _heard(self, number: int, event: LinkEvent) -> None:
        if number != self._number:
            return  # the last words of a link that has been replaced
        if isinstance(event, Connected):
            self.connected, self.trouble = True, ""
        elif isinstance(event, Refused | Lost):
            self.connected, self.trouble = False, event.reason
        self.take(event)
