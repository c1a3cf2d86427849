"""What is said about commands: each answer on the job's own topic, and where the command asked for it, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.fleet.answers import Job
from edgeagent.fleet.envelope import encode
from edgeagent.fleet.job_record import JobRecord

log = structlog.get_logger("command")

EVERY_S = 1.0  # between two words of progress
EVENT_EVERY_S = 10.0  # between two events about commands that could not be answered

Reply = Callable[[str, bytes, bytes | None, bool], None]
"""Publishes an answer beside the job's topic, QoS 1: topic, payload, correlation data, retained or not."""


class JobWords:
    """For the event loop only."""

    def __init__(self, publisher: Publisher, reply: Reply, clock: Clock) -> None:
        self._publisher = publisher
        self._reply = reply
        self._clock = clock
        self._unanswered = 0
        self._event_ns = -round(EVENT_EVERY_S * 1e9)

    def say(self, record: JobRecord, *, phase: str = "", percent: float | None = None) -> None:
        payload = self._publisher.job(record.answer(phase=phase, percent=percent))
        if record.reply_to:
            self._reply(record.reply_to, payload, record.correlation, False)
        if not phase:
            log.info(
                "command", name=record.name, id=record.id, state=record.state, code=record.code, reason=record.reason
            )

    def say_beside(self, record: JobRecord) -> None:
        """An answer that is not retained: the id is another command's, or nobody would take it off the broker later."""
        topic, header = self._publisher.job_header(record.id)
        payload = encode(Job.model_validate({**header, **record.answer()}))
        self._reply(topic, payload, None, False)
        if record.reply_to:
            self._reply(record.reply_to, payload, record.correlation, False)
        log.warning("command", name=record.name, id=record.id, state=record.state, code=record.code)

    def unanswerable(self, name: str, code: str, reason: str) -> None:
        """A command that names no job: nobody can be answered, so an event tells of it, not for each of a flood."""
        self._unanswered += 1
        log.warning("command", name=name, state="refused", code=code, reason=reason)
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._event_ns >= EVENT_EVERY_S * 1e9:
            self._event_ns = now_ns
            text = f"a command {name} was refused: {reason}"
            self._publisher.event("command-refused", "warning", text, code=code, count=self._unanswered)
            self._unanswered = 0

    def forget(self, job: str) -> None:
        self._publisher.forget_job(job)


@dataclass
class Telling:
    """One running command's progress: the newest word, at most so often."""

    words: JobWords
    record: JobRecord
    _changed: anyio.Event = field(default_factory=anyio.Event)
    _phase: str = ""
    _percent: float | None = None

    def __call__(self, phase: str, percent: float | None = None) -> None:
        known = None if percent is None else min(100.0, max(0.0, round(percent, 1)))
        if (phase, known) != (self._phase, self._percent):
            self._phase, self._percent = phase[:200], known
            self._changed.set()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            self.words.say(self.record, phase=self._phase or "running", percent=self._percent)
            await anyio.sleep(EVERY_S)
