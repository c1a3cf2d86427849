"""One simulated device of a fleet: the agent's own link, topics and messages, around made-up values.

It connects, says who it is, goes on saying how it is, and answers wishes and commands. For one thread, but `deliver`,
which the link's thread calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Any, Final

from edgeagent import __version__
from edgeagent.clock import Clock
from edgeagent.fleet.answers import ConfigReported, Job
from edgeagent.fleet.envelope import Message, Stamp, encode
from edgeagent.fleet.inbound import filters, parse_inbound
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import Connected, LinkEvent, LinkSettings, Will
from edgeagent.fleet.link_types import Message as Received
from edgeagent.fleet.measurements import GROUPS, CameraMeasurement, Summary
from edgeagent.fleet.states import Alarm, EngineState, Health, Info, Status
from edgeagent.fleet.topics import TopicError, Topics
from edgeagent.simulate import fleet_values
from edgeagent.simulate.fleet_jobs import OBEYS, FleetJobs
from edgeagent.simulate.fleet_settings import FleetSettings, file_layer
from edgeagent.simulate.fleet_values import CAMERA, Character

EXPIRY_S: Final = 10
JOB_EXPIRY_S: Final = 7 * 24 * 3600
BUILDING_S: Final = 240.0
NUMBERS: Final[tuple[str, ...]] = ("summary", "thermal", "power", "cpu", "gpu", "memory", "agent", "camera")
_MADE: Final[Mapping[str, Callable[[Character, float], dict[str, float]]]] = {
    "thermal": fleet_values.thermal,
    "power": fleet_values.power,
    "cpu": fleet_values.cpu,
    "gpu": fleet_values.gpu,
    "memory": fleet_values.memory,
    "agent": fleet_values.agent,
}


class SimulatedDevice:
    """`hear` and `tick` belong to one thread; events go to `deliver` with this device in front."""

    def __init__(
        self,
        who: Character,
        fleet: str,
        base: LinkSettings,
        session: str,
        clock: Clock,
        deliver: Callable[[SimulatedDevice, LinkEvent], None],
    ) -> None:
        self.who = who
        self._clock = clock
        self._topics = Topics(fleet, who.name)
        self._stamp = Stamp(session, clock.wall_ms)
        self._settings = FleetSettings(file_layer(who, fleet))
        self._jobs = FleetJobs(who, self._settings.by_layer)
        self._numbers = cycle(NUMBERS)
        self._frames = 0
        self._percent = -1
        self.connected = False
        lost = Status(**self._stamp.header(self._topics.status), state="lost", reason="the link broke without a word")
        will = Will(self._topics.status, encode(lost), delay_s=2)
        settings = replace(base, client_id=f"edgeagent-{fleet}-{who.name}", will=will)
        self.link = MqttLink(settings, lambda event: deliver(self, event), clock)

    def start(self) -> None:
        self.link.subscribe(dict.fromkeys(filters(self._topics, self.who.groups), 1))
        self.link.start()

    def stop(self) -> None:
        last = Status(**self._stamp.header(self._topics.status), state="stopped", reason="the simulation has ended")
        self.link.stop((self._topics.status, encode(last)))

    @property
    def now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9

    def hear(self, event: LinkEvent) -> None:
        if isinstance(event, Connected):
            self.connected = True
            self._introduce()
        elif isinstance(event, Received):
            self._obey(event)
            if event.ack is not None:
                self.link.ack(event.ack)

    def _obey(self, message: Received) -> None:
        try:
            inbound = parse_inbound(message.topic, self._topics, self.who.groups)
        except TopicError:
            return
        if inbound.kind == "config_desired":
            self._report(self._settings.hear(message.payload, self.now_s))
            return
        wall_ms = self._clock.wall_ms()
        for values in self._jobs.hear(
            inbound.name,
            inbound.scope,
            message.payload,
            retained=message.retain,
            wall_ms=wall_ms,
            now_s=self.now_s,
        ):
            self._job(values)

    def _report(self, values: Mapping[str, Any] | None) -> None:
        if values is not None:
            topic = self._topics.config_reported
            whole = {**self._stamp.header(topic), "since_ts": self._clock.wall_ms(), **values}
            self._keep(topic, ConfigReported.model_validate(whole))

    def _job(self, values: Mapping[str, Any]) -> None:
        topic = self._topics.job(str(values["id"]))
        job = Job.model_validate({**self._stamp.header(topic), **values})
        self.link.publish(topic, encode(job), qos=1, retain=True, expiry_s=JOB_EXPIRY_S)

    def tick(self) -> None:
        """What has become due: the end of a trial, a job's progress, a build's."""
        now_s = self.now_s
        self._report(self._settings.tick(now_s))
        for values in self._jobs.tick(now_s, self._clock.wall_ms()):
            self._job(values)
        if self.who.kind == "building" and (percent := self._build_percent(now_s)) != self._percent:
            self._engines(percent)

    def measure(self) -> None:
        """The next of its numbers, one message."""
        kind = next(self._numbers)
        now_s = self.now_s
        if kind == "summary":
            for pipeline in self.who.pipelines:
                topic = self._topics.summary(CAMERA, pipeline)
                values = fleet_values.summary(self.who, now_s)
                where = {"camera": CAMERA, "pipeline": pipeline}
                self._pass(topic, Summary.model_validate({**self._stamp.header(topic), **where, **values}))
        elif kind == "camera":
            self._camera()
        else:
            topic = self._topics.measurement(kind)
            self._pass(
                topic, GROUPS[kind].model_validate({**self._stamp.header(topic), **_MADE[kind](self.who, now_s)})
            )

    def _camera(self) -> None:
        topic = self._topics.camera_measurement(CAMERA)
        self._frames += 240
        values = {
            "camera": CAMERA,
            "state": "running",
            "fps": 29.9,
            "frames": self._frames,
            "dropped": 0,
            "restarts": 0,
        }
        self._pass(topic, CameraMeasurement.model_validate({**self._stamp.header(topic), **values}))

    def _introduce(self) -> None:
        """Everything that is retained, as after every connection."""
        topics, stamp, who = self._topics, self._stamp, self.who
        name, word, why = fleet_values.component(who)
        state = "ready" if word == "ok" else "degraded"
        reason = f"{name}: {why}" if why else ""
        self._keep(
            topics.status, Status.model_validate({**stamp.header(topics.status), "state": state, "reason": reason})
        )
        self._keep(topics.info, self._info())
        part = {"name": name, "health": word, "reason": why, "since_ts": self._clock.wall_ms()}
        health = {**stamp.header(topics.health), "overall": word, "components": [part]}
        self._keep(topics.health, Health.model_validate(health))
        self._report(self._settings.first())
        self._engines(self._build_percent(self.now_s))
        if who.kind == "hot":
            self._alarm("hot", "the board is less than 8 C below throttling")

    def _info(self) -> Info:
        who = self.who
        module = {key: getattr(who.module, key) for key in ("name", "id", "soc", "memory_mb", "dla_cores")}
        values = {
            **self._stamp.header(self._topics.info),
            "agent_version": __version__,
            "module": module,
            "l4t": "36.4.3",
            "jetpack": "6.2",
            "tensorrt": "10.3.0",
            "cameras": [{"id": CAMERA, "source": "synthetic", "width": 640, "height": 480, "fps": 30.0}],
            "pipelines": [{"id": name, "camera": CAMERA, "model": "yolo11n"} for name in who.pipelines],
            "commands": OBEYS,
            "groups": who.groups,
            "uptime_s": self.now_s,
        }
        return Info.model_validate(values)

    def _build_percent(self, now_s: float) -> int:
        return int((now_s + 40 * self.who.phase) % BUILDING_S / BUILDING_S * 100)

    def _engines(self, percent: int) -> None:
        self._percent = percent
        state = {"building": "building", "broken": "failed"}.get(self.who.kind, "ready")
        for pipeline in self.who.pipelines:
            topic = self._topics.engine(pipeline)
            values = {
                **self._stamp.header(topic),
                "pipeline": pipeline,
                "state": state,
                "percent": percent if state == "building" else 100.0,
                "phase": "choosing tactics" if state == "building" else "",
                "precision": "int8",
                "backend": "tensorrt",
                "accelerator": "gpu" if state == "ready" else None,
            }
            self._keep(topic, EngineState.model_validate(values))

    def _alarm(self, kind: str, text: str) -> None:
        topic = self._topics.alarm(kind)
        header = self._stamp.header(topic)
        self._keep(topic, Alarm(**header, type=kind, severity="warning", first_ts=header["ts"], count=1, text=text))

    def _keep(self, topic: str, message: Message) -> None:
        self.link.publish(topic, encode(message), qos=1, retain=True)

    def _pass(self, topic: str, message: Message) -> None:
        self.link.publish(topic, encode(message), qos=0, retain=False, expiry_s=EXPIRY_S)
