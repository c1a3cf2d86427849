"""A device that does nothing but be there: its status, its will, its inbox. argv: port, protocol, session, will delay.

Ends cleanly on SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from edgeagent.app.inbox import Inbox
from edgeagent.app.link_news import LinkNews
from edgeagent.app.presence import Presence
from edgeagent.app.publisher import Publisher
from edgeagent.clock import SystemClock
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.envelope import Stamp, encode
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkEvent, LinkSettings, Message, Will
from edgeagent.fleet.states import Status
from edgeagent.fleet.topics import Topics


async def main(port: int, protocol: str, session: str, delay_s: int) -> None:
    loop, stop, clock = asyncio.get_running_loop(), asyncio.Event(), SystemClock()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    topics, stamp = Topics("lab", "bench"), Stamp(session, clock.wall_ms)
    lost = Status(**stamp.header(topics.status), state="lost")
    settings = LinkSettings(
        "127.0.0.1", port, "bench", protocol=protocol, will=Will(topics.status, encode(lost), delay_s),  # type: ignore
        lost=Schedule(0.02, 0.1),
    )  # fmt: skip

    def deliver(event: LinkEvent) -> None:
        if isinstance(event, Message):
            inbox.deliver(event, link, loop)
        else:
            loop.call_soon_threadsafe(news.take, event)

    link = MqttLink(settings, deliver, clock)
    publisher = Publisher(link, topics, stamp, clock, results_qos=0)
    news, inbox = LinkNews(publisher), Inbox(topics, ())
    inbox.on("status", Presence(publisher.status_again).take)
    link.subscribe(inbox.filters)
    link.start()
    publisher.started()
    await stop.wait()
    await asyncio.to_thread(link.stop, publisher.last_words("stopped"))


asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
