"""Telling Home Assistant of this device over MQTT discovery, and taking it back. Off unless the config says so.

What was announced is in a file of the state directory: after a restart the entities are the same at once, those of a
camera that has gone meanwhile are taken back, and so is everything when discovery was switched off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from edgeagent.app.discovery import Book, Entity, discovery_payload, discovery_topic, observe
from edgeagent.app.publisher import Link
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.durable import replace_file
from edgeagent.fleet.envelope import Message
from edgeagent.fleet.states import Info
from edgeagent.fleet.topics import Topics, parse_topic

log = structlog.get_logger("home_assistant")

FILE: Final = "home-assistant.json"
GATHER_S: Final = 2.0  # entities come in a burst: one message for all of them
REPEAT_CLEARED_S: Final = 5.0  # after that Home Assistant has subscribed to what it was told of
LEAST_EXPIRE_S: Final = 30


class Announced(BaseModel):
    """The file: what Home Assistant knows, and under which topic."""

    model_config = ConfigDict(frozen=True)

    topic: str
    entities: tuple[Entity, ...] = ()
    removed: dict[str, str] = {}


def birth_topic(config: Config) -> str:
    """Where Home Assistant says that it has started."""
    return f"{config.home_assistant.prefix}/status"


def topics_of_others(config: Config) -> tuple[str, ...]:
    """What the inbox is to listen to beside what is said to the device."""
    return (birth_topic(config),) if config.home_assistant.discovery else ()


class HomeAssistant:
    """For the event loop only. `hear` on every message that is published, `tick` about once a second."""

    def __init__(self, config: Config, link: Link, topics: Topics, state_dir: Path, clock: Clock) -> None:
        self._wanted = config.home_assistant.discovery
        self.birth_topic = birth_topic(config)
        self._topic = discovery_topic(config.home_assistant.prefix, topics)
        self._expire_s = max(LEAST_EXPIRE_S, round(3 * config.power.sample_interval_s))
        self._link = link
        self._topics = topics
        self._path = state_dir / FILE
        self._clock = clock
        self._info: Info | None = None
        self._raised: dict[str, bool] = {}  # alarm's topic -> whether it is raised
        self._changed_ns: int | None = None
        self._clear_ns: int | None = None
        self._said = b""
        self._known = self._load()
        self._withdrawing = self._withdraw_old()
        mine = self._known if self._wanted and self._known and self._known.topic == self._topic else None
        self._book = Book({each.key: each for each in mine.entities}, dict(mine.removed)) if mine else Book()

    def hear(self, topic: str, message: Message | None) -> None:
        """A message as it is published; None for an alarm that is cleared."""
        if not self._wanted:
            return
        parsed = parse_topic(topic)
        if isinstance(message, Info):
            self._info = message
            self._note_change()  # it may name another release; the same payload is not sent twice
        if parsed.kind == "alarm":
            self._raised[topic] = message is not None
        book = observe(self._book, parsed, message, self._expire_s)
        if book is not self._book:
            self._book = book
            self._note_change()

    def again(self) -> None:
        """Home Assistant has started, or the broker is another or has lost what it kept: all is said once more."""
        if self._wanted:
            self._said = b""
            self._note_change()

    def tick(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._withdrawing and self._all_sent():
            self._withdrawing = False
            self._forget()
        if self._changed_ns is not None and now_ns - self._changed_ns >= GATHER_S * 1e9 and self._info:
            self._changed_ns = None
            self._announce(self._info)
        if self._clear_ns is not None and now_ns >= self._clear_ns:
            self._clear_ns = None
            self._repeat_cleared()

    def _note_change(self) -> None:
        if self._changed_ns is None:
            self._changed_ns = self._clock.monotonic_ns()

    def _announce(self, info: Info) -> None:
        payload = discovery_payload(self._book, self._topics, info)
        if payload == self._said:
            return
        self._said = payload
        self._save()  # before it is sent: what may be known is what has to be taken back
        self._link.publish(self._topic, payload, qos=1, retain=True)
        self._clear_ns = self._clock.monotonic_ns() + round(REPEAT_CLEARED_S * 1e9)
        log.info("home_assistant", announced=len(self._book.entities), removed=len(self._book.removed))

    def _repeat_cleared(self) -> None:
        """A cleared alarm leaves nothing on the broker, so Home Assistant would not know that it is off."""
        for topic, raised in self._raised.items():
            if not raised:
                self._link.publish(topic, b"", qos=1, retain=True)

    def _withdraw_old(self) -> bool:
        """What an earlier config announced and this one does not. The file goes once that is sent."""
        if self._known is None or (self._wanted and self._known.topic == self._topic):
            return False
        self._link.publish(self._known.topic, b"", qos=1, retain=True)
        return not self._wanted

    def _all_sent(self) -> bool:
        stats = self._link.stats()
        return stats.connected and not stats.waiting and not stats.in_flight

    def _load(self) -> Announced | None:
        try:
            return Announced.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("home_assistant", file=str(self._path), reason=f"set aside: {type(error).__name__}")
            return None

    def _save(self) -> None:
        """Written when something new is announced, which is rare."""
        announced = Announced(
            topic=self._topic, entities=tuple(self._book.entities.values()), removed=dict(self._book.removed)
        )
        if announced == self._known:
            return
        try:
            replace_file(self._path, announced.model_dump_json().encode())
            self._known = announced
        except OSError as error:
            log.warning("home_assistant", file=str(self._path), reason=(error.strerror or str(error)).lower())

    def _forget(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
            self._known = None
        except OSError as error:
            log.warning("home_assistant", file=str(self._path), reason=(error.strerror or str(error)).lower())
