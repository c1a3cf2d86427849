"""What the agent says to the world: typed messages onto their topics, and the health book behind `status`.

One place that knows topics, retain flags and qualities of service; the desks call it with plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
from pydantic import ValidationError

from edgeagent.clock import Clock
from edgeagent.fleet.answers import ConfigReported, Job
from edgeagent.fleet.envelope import Header, Message, Stamp, encode
from edgeagent.fleet.link_types import LinkStats, Outcome
from edgeagent.fleet.measurements import GROUPS, CameraMeasurement, Measurement, Summary
from edgeagent.fleet.results import Event, FactValue, encode_result, event_id
from edgeagent.fleet.snapshots import Snapshot
from edgeagent.fleet.states import (
    Alarm,
    ComponentHealth,
    EngineState,
    Health,
    Info,
    Severity,
    Shedding,
    Status,
    StatusWord,
)
from edgeagent.fleet.topics import Topics
from edgeagent.health.book import HealthBook, Word, forget, note, overall

log = structlog.get_logger("publish")

MEASUREMENT_EXPIRY_S = 10
RESULT_EXPIRY_S = 10.0
EVENT_EXPIRY_S = 24 * 3600
JOB_EXPIRY_S = 7 * 24 * 3600


Listener = Callable[[str, Message | None], None]
"""Hears of retained messages and measurements as they are published, and with None of an alarm that is cleared."""


class Link(Protocol):
    """What the publisher needs of a link."""

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None
    ) -> Outcome: ...

    def stats(self) -> LinkStats: ...


class Publisher:
    """Publishes for one device. For the event loop only."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        stamp: Stamp,
        clock: Clock,
        results_qos: int,
        results_expiry_s: float = RESULT_EXPIRY_S,
    ) -> None:
        self._link = link
        self._topics = topics
        self._stamp = stamp
        self._clock = clock
        self._results_qos = results_qos
        self._results_expiry_s = results_expiry_s
        self._book = HealthBook()
        self._retained: dict[str, Message] = {}
        self._alarms: dict[str, Alarm] = {}
        self._state: StatusWord = "init"
        self._doubted: set[str] = set()
        self._quiet: set[str] = set()
        self._runs_at: dict[str, str | None] = {}
        self.results = 0
        self.on_summary: Callable[[str, Mapping[str, object]], None] = lambda pipeline, values: None
        self._listeners: list[tuple[Listener, Callable[[], None]]] = []

    def status(self, state: StatusWord, reason: str = "") -> bytes:
        """Publish the device's state, retained; returns the payload."""
        topic = self._topics.status
        self._state = state
        message = Status(**self._stamp.header(topic), state=state, reason=reason)
        return self._keep(topic, message)

    def last_words(self, reason: str) -> tuple[str, bytes]:
        """The topic and payload that say that the device was stopped on purpose."""
        topic = self._topics.status
        return topic, encode(Status(**self._stamp.header(topic), state="stopped", reason=reason))

    def info(self, values: Mapping[str, object]) -> None:
        topic = self._topics.info
        self._keep(topic, Info.model_validate({**self._stamp.header(topic), **values}))

    def engine(self, pipeline: str, **values: object) -> None:
        topic = self._topics.engine(pipeline)
        always = {**self._stamp.header(topic), "pipeline": pipeline, "accelerator": self._runs_at.get(pipeline)}
        self._keep(topic, EngineState.model_validate({**values, **always}))

    def runs_at(self, pipeline: str, accelerator: str | None) -> None:
        """What computes the pipeline's results, None while nothing does. Where that is news, the state of its engine is
        said again."""
        if self._runs_at.get(pipeline) != accelerator:
            self._runs_at[pipeline] = accelerator
            if (told := self.engine_told(pipeline)) is not None:
                self.engine(pipeline, **told)

    def shedding(self, pipeline: str, **values: object) -> None:
        topic = self._topics.shedding(pipeline)
        self._keep(topic, Shedding.model_validate({**self._stamp.header(topic), "pipeline": pipeline, **values}))

    def engine_told(self, pipeline: str) -> dict[str, object] | None:
        """What was said last of a pipeline's engine, without the header; None: nothing was."""
        told = self._retained.get(self._topics.engine(pipeline))
        header = {"schema_", "session", "seq", "ts", "pipeline"}
        return None if told is None else told.model_dump(exclude=header, exclude_none=True)

    def health_told(self, name: str) -> tuple[Word, str] | None:
        """A component's health and its reason, None where nothing was said of it."""
        found = self._book.components.get(name)
        return None if found is None else (found.health, found.reason)

    def config_reported(self, values: Mapping[str, object]) -> None:
        topic = self._topics.config_reported
        self._keep(topic, ConfigReported.model_validate({**self._stamp.header(topic), **values}))

    def job(self, values: Mapping[str, object]) -> bytes:
        """How a command goes; returns the payload, for whoever else is to have it."""
        topic = self._topics.job(str(values["id"]))
        payload = encode(Job.model_validate({**self._stamp.header(topic), **values}))
        self._link.publish(topic, payload, qos=1, retain=True, expiry_s=JOB_EXPIRY_S)
        return payload

    def job_header(self, job: str) -> tuple[str, Header]:
        """The job's topic, and the header of a message on it that is not to be retained."""
        topic = self._topics.job(job)
        return topic, self._stamp.header(topic)

    def forget_job(self, job: str) -> None:
        """Takes it off the broker: with MQTT 3.1.1 nothing expires there."""
        self._link.publish(self._topics.job(job), b"", qos=1, retain=True)

    def note(self, name: str, health: Word, reason: str = "") -> None:
        """A component's health; a change is published at once, and `status` with it."""
        self._book, changed = note(self._book, name, health, reason, self._clock.wall_ms())
        if changed:
            self._publish_health()

    def standing(self) -> tuple[StatusWord, str, dict[str, dict[str, str]]]:
        """The device's state, the reason that binds, and each component's health and reason."""
        components = {name: {"health": c.health, "reason": c.reason} for name, c in self._book.components.items()}
        return self._state, overall(self._book)[1], components

    def component(self, name: str) -> Word | None:
        found = self._book.components.get(name)
        return found.health if found else None

    def _publish_health(self) -> None:
        word, reason = self._overall()
        components = tuple(
            ComponentHealth(name=name, health=c.health, reason=c.reason, since_ts=c.since_ms)
            for name, c in sorted(self._book.components.items())
        )
        topic = self._topics.health
        self._keep(topic, Health(**self._stamp.header(topic), overall=word, components=components))
        if self._state in ("ready", "degraded"):
            self.status("ready" if word == "ok" else "degraded", reason)

    def _overall(self) -> tuple[Word, str]:
        """Without the link: who hears this hears it over the link, and what was said while there was none is sent
        before what is said now."""
        return overall(HealthBook({name: c for name, c in self._book.components.items() if name != "link"}))

    def started(self) -> None:
        """Everything has had its chance to start: from now on `status` follows the health."""
        word, reason = self._overall()
        self.status("ready" if word == "ok" else "degraded", reason)

    def again(self) -> None:
        """Say everything retained once more: the broker may have forgotten, or a will may have spoken for us."""
        for topic, message in self._retained.items():
            fresh = message.model_copy(update=dict(self._stamp.header(topic)))
            self._retained[topic] = fresh
            self._link.publish(topic, encode(fresh), qos=1, retain=True)
        for _, again in self._listeners:
            again()
        for kind in sorted(self._quiet):  # a broker that came back with an old memory may still have the alarm
            self._link.publish(self._topics.alarm(kind), b"", qos=1, retain=True)

    def status_again(self) -> None:
        """Say the status once more: something else has written over it."""
        topic = self._topics.status
        if (message := self._retained.get(topic)) is not None:
            self._keep(topic, message.model_copy(update=dict(self._stamp.header(topic))))

    def result(self, values: Mapping[str, object], detections: bytes, camera: str, pipeline: str) -> None:
        """`detections` as JSON. Made of checked parts, thirty times a second and camera: not checked again."""
        topic = self._topics.result(camera, pipeline)
        header = self._stamp.header(topic)
        payload = encode_result({**header, "camera": camera, "pipeline": pipeline, **values}, detections)
        outcome = self._link.publish(
            topic, payload, qos=self._results_qos, retain=False, expiry_s=self._results_expiry_s
        )
        if outcome in (Outcome.ACCEPTED, Outcome.QUEUED):
            self.results += 1

    def snapshot(self, camera: str, pipeline: str, values: Mapping[str, object]) -> None:
        topic = self._topics.snapshot(camera, pipeline)
        header = {**self._stamp.header(topic), "camera": camera, "pipeline": pipeline}
        message = Snapshot.model_validate({**header, **values})
        self._link.publish(topic, encode(message), qos=0, retain=False, expiry_s=EVENT_EXPIRY_S)

    def snapshot_topic(self, camera: str, pipeline: str) -> str:
        return self._topics.snapshot(camera, pipeline)

    def summary(self, camera: str, pipeline: str, values: Mapping[str, object]) -> None:
        topic = self._topics.summary(camera, pipeline)
        header = {**self._stamp.header(topic), "camera": camera, "pipeline": pipeline}
        self._pass(topic, Summary.model_validate({**header, **values}))
        self.on_summary(pipeline, values)

    def camera(self, camera: str, values: Mapping[str, object]) -> None:
        topic = self._topics.camera_measurement(camera)
        header = {**self._stamp.header(topic), "camera": camera}
        self._pass(topic, CameraMeasurement.model_validate({**header, **values}))

    def measurement(self, group: str, values: Mapping[str, float]) -> None:
        """Publish a group's readings. One that cannot be (a negative power, a load of 180 %) is left out and logged."""
        topic = self._topics.measurement(group)
        model = GROUPS.get(group, Measurement)
        try:
            self._pass(topic, model.model_validate({**self._stamp.header(topic), **values}))
        except ValidationError as error:
            wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"] and each["loc"][0] in values}
            if wrong - self._doubted:
                log.warning("reading", group=group, impossible=",".join(sorted(wrong)))
                self._doubted |= wrong
            if wrong and len(wrong) < len(values):
                self.measurement(group, {key: value for key, value in values.items() if key not in wrong})

    def event(self, kind: str, severity: Severity, text: str, **facts: FactValue | None) -> None:
        topic = self._topics.event(kind)
        header = self._stamp.header(topic)
        known = {key: value for key, value in facts.items() if value is not None}
        unique = event_id(self._topics.device, kind, header)
        message = Event(**header, id=unique, type=kind, severity=severity, text=text, facts=known)
        self._link.publish(topic, encode(message), qos=1, retain=False, expiry_s=EVENT_EXPIRY_S)

    def alarm(self, kind: str, severity: Severity, text: str) -> None:
        """Raise an alarm, or count it once more when its text changed."""
        old = self._alarms.get(kind)
        if old is not None and old.text == text:
            return
        self._quiet.discard(kind)
        topic = self._topics.alarm(kind)
        header = self._stamp.header(topic)
        first, count = (old.first_ts, old.count + 1) if old else (header["ts"], 1)
        alarm = Alarm(**header, type=kind, severity=severity, first_ts=first, count=count, text=text)
        self._alarms[kind] = alarm
        self._keep(topic, alarm)

    def clear_alarm(self, kind: str) -> None:
        """No such alarm, or no longer. Said once: an earlier session may have left one on the broker."""
        if kind not in self._quiet:
            self._quiet.add(kind)
            self._alarms.pop(kind, None)
            topic = self._topics.alarm(kind)
            self._retained.pop(topic, None)
            self._link.publish(topic, b"", qos=1, retain=True)
            self._tell(topic, None)

    def listen(self, listener: Listener, again: Callable[[], None] = lambda: None) -> None:
        """From now on, and of what is retained at once. `again`: called when all that is retained is said once more."""
        self._listeners.append((listener, again))
        for topic, message in self._retained.items():
            listener(topic, message)

    def unlisten(self, listener: Listener) -> None:
        self._listeners = [each for each in self._listeners if each[0] != listener]

    def _tell(self, topic: str, message: Message | None) -> None:
        for listener, _ in self._listeners:
            listener(topic, message)

    def alarms(self) -> frozenset[str]:
        """The alarms that are raised now."""
        return frozenset(self._alarms)

    def health(self) -> HealthBook:
        return self._book

    def deliver_results(self, qos: int, expiry_s: float) -> None:
        """The quality of service of results from now on, and for how long they are of use."""
        self._results_qos, self._results_expiry_s = qos, expiry_s

    def forget(self, name: str) -> None:
        """A component that is no more: its health counts no longer."""
        self._book, changed = forget(self._book, name)
        if changed:
            self._publish_health()

    def forget_pipeline(self, pipeline: str) -> None:
        """A pipeline that is no more: what the broker keeps of it is taken away."""
        self._runs_at.pop(pipeline, None)
        for component in (f"engine/{pipeline}", f"pipeline/{pipeline}"):
            self.forget(component)
        for topic in (self._topics.engine(pipeline), self._topics.shedding(pipeline)):
            self._retained.pop(topic, None)
            self._link.publish(topic, b"", qos=1, retain=True)

    def _keep(self, topic: str, message: Message) -> bytes:
        self._retained[topic] = message
        payload = encode(message)
        self._link.publish(topic, payload, qos=1, retain=True)
        self._tell(topic, message)
        return payload

    def _pass(self, topic: str, message: Message) -> None:
        self._link.publish(topic, encode(message), qos=0, retain=False, expiry_s=MEASUREMENT_EXPIRY_S)
        self._tell(topic, message)
