"""The console's ear on a whole fleet: a link whose messages go into a mailbox, and the questions to the broker.

One kind of topic is asked for at a time, because a broker drops what it cannot push into a socket at once: the next
question follows the answer to the last one, which comes behind the messages that the broker keeps. Afterwards one kind
after the other is asked for again, so that what got lost nevertheless is mended within a minute or so.
"""

from __future__ import annotations

import threading
from typing import Final

from edgeagent.console.broker import Address
from edgeagent.console.fleet_book import KINDS
from edgeagent.console.mailbox import Letter, Mailbox
from edgeagent.console.operator_link import client_id, why_not
from edgeagent.errors import LinkError
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, Lost, Message, Refused, Subscribed
from edgeagent.fleet.topics import ROOT, topic_shapes

NUMBERS: Final = ("m/thermal", "m/power", "s/+/+")
AGAIN_S: Final = 10.0
CONNECT_S: Final = 15.0


def fleet_filters(fleet: str | None) -> tuple[str, ...]:
    """What a table needs, of one fleet or of all: the states first. Results and pictures are left where they are."""
    branch = f"{ROOT}/{fleet or '+'}/+/"
    shapes = topic_shapes()
    states = ("/".join("+" if level[0] == "<" else level for level in shapes[kind].split("/")) for kind in KINDS)
    return tuple(branch + shape for shape in (*states, *NUMBERS))


class FleetEar:
    """Connects once, then keeps the connection up. `mind` has to be called every now and then."""

    def __init__(self, address: Address, fleet: str | None) -> None:
        self._address = address
        self._filters = fleet_filters(fleet)
        self._told = threading.Event()
        self._link = MqttLink(address.link_settings(client_id()), self._deliver)
        self._asked = 0
        self._asked_s = 0.0
        self._answered = 0
        self._connected = False
        self.mailbox = Mailbox()
        self.failure: LinkError | None = None
        """Why there is no connection now."""
        self.refused: tuple[str, str] | None = None
        """A filter that the broker does not grant, and why."""

    def start(self) -> None:
        """Returns when the broker has accepted. Raises LinkError when it does not."""
        self._link.start()
        self._told.wait(CONNECT_S)
        if self._connected:
            return
        self.stop()
        raise self.failure or LinkError(
            f"the broker {self._address.broker} does not answer", retry=True, code="broker-unreachable"
        )

    def stop(self) -> None:
        self._link.stop()

    def mind(self, now_s: float) -> None:
        """The next question, once it is due."""
        first_round = self._asked < len(self._filters)
        if self._answered >= self._asked if first_round else now_s - self._asked_s >= AGAIN_S:
            place = self._asked if first_round else self._asked % len(KINDS)
            self._link.subscribe({self._filters[place]: 0})
            self._asked += 1
            self._asked_s = now_s

    @property
    def settled(self) -> bool:
        """Whether the broker has answered every question once."""
        return self._answered >= len(self._filters)

    def _deliver(self, event: LinkEvent) -> None:
        """On the link's thread."""
        if isinstance(event, Message):
            self.mailbox.put(Letter(event.topic, event.payload, event.retain))
        elif isinstance(event, Connected):
            self._connected, self.failure = True, None
            self._told.set()
        elif isinstance(event, Refused) or (isinstance(event, Lost) and event.retry_in_s > 0):
            self.failure = why_not(self._address, event)
            self._told.set()
        elif isinstance(event, Subscribed):
            self._answered += len(event.granted) + len(event.refused)
            self.refused = event.refused[0] if event.refused else self.refused
