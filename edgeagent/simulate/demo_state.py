"""What the demo knows of the device: only what came over MQTT, as for any dashboard. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeagent.fleet.envelope import Message
from edgeagent.fleet.measurements import AgentMeasurement, CameraMeasurement, Numbers, Summary
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.states import Alarm, EngineState, Health, Info, Shedding, Status
from edgeagent.health.latency import percentile

LATEST_EVENTS = 6


@dataclass
class Tally:
    """Results as they came in: frame numbers, latencies in ms, arrival times on the monotonic clock."""

    first_s: float | None = None
    last_s: float = 0.0
    first_frame: int = 0
    last_frame: int = 0
    latencies: list[float] = field(default_factory=list)

    def add(self, result: Result, now_s: float) -> None:
        if self.first_s is None:
            self.first_s, self.first_frame = now_s, result.frame
        self.last_s, self.last_frame = now_s, max(self.last_frame, result.frame)
        self.latencies.append(result.lat_ms)

    @property
    def results(self) -> int:
        return len(self.latencies)

    @property
    def frames(self) -> int:
        """Frames captured from the first result's to the last one's."""
        return self.last_frame - self.first_frame + 1 if self.results else 0

    @property
    def fps(self) -> float:
        seconds = 0.0 if self.first_s is None else self.last_s - self.first_s
        return (self.results - 1) / seconds if seconds > 0 else 0.0

    def percentiles(self) -> dict[str, float | None]:
        ordered = sorted(self.latencies)
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        return {name: round(percentile(ordered, share), 2) if ordered else None for name, share in shares.items()}


@dataclass
class DemoState:
    """The latest of everything."""

    status: Status | None = None
    info: Info | None = None
    health: Health | None = None
    engine: EngineState | None = None
    result: Result | None = None
    summary: Summary | None = None
    shedding: Shedding | None = None
    shed: int = 0
    camera: CameraMeasurement | None = None
    agent: AgentMeasurement | None = None
    groups: dict[str, Numbers] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    news: list[Event] = field(default_factory=list)
    topics: dict[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    ended: bool = False
    given_up: Event | None = None
    hottest_c: float | None = None
    least_duty: float | None = None
    slowed_because: list[str] = field(default_factory=list)

    def apply(self, topic: str, message: Message | None, now_s: float) -> None:
        """Take in one message; None is the empty payload that clears an alarm."""
        self.topics[topic] = self.topics.get(topic, 0) + 1
        if message is None:
            self.alarms.pop(topic.rsplit("/", 1)[-1], None)
        elif isinstance(message, Result):
            self.result = message
            self.tally.add(message, now_s)
        elif isinstance(message, Status):
            self.status = message
        elif isinstance(message, Info):
            self.info = message
        elif isinstance(message, Health):
            self.health = message
        elif isinstance(message, EngineState):
            self.engine = message
            self._pace(message)
        elif isinstance(message, Shedding):
            self.shedding = message
        elif isinstance(message, Alarm):
            self.alarms[message.type] = message
        elif isinstance(message, Event):
            self._event(message)
        elif isinstance(message, Numbers):
            self._numbers(message)

    def _numbers(self, numbers: Numbers) -> None:
        if isinstance(numbers, Summary):
            self.summary = numbers
            self.shed += numbers.shed
            return
        if isinstance(numbers, CameraMeasurement):
            self.camera = numbers
            return
        if isinstance(numbers, AgentMeasurement):
            self.agent = numbers
            return
        self.groups[numbers.group] = numbers
        if (celsius := self.number("thermal", "temp_max_c")) is not None:
            self.hottest_c = max(celsius, self.hottest_c or celsius)

    def _pace(self, engine: EngineState) -> None:
        """How slow the build got, and why."""
        if engine.duty is None:
            return
        self.least_duty = min(engine.duty, 1.0 if self.least_duty is None else self.least_duty)
        if engine.duty < 1.0 and engine.reason and engine.reason not in self.slowed_because:
            self.slowed_because = [*self.slowed_because, engine.reason][-LATEST_EVENTS:]

    def _event(self, event: Event) -> None:
        self.ended = self.ended or event.type == "source-ended"
        if event.type == "engine-failed" and event.facts.get("final"):
            self.given_up = event
        self.events = [*self.events, event][-LATEST_EVENTS:]
        self.news.append(event)

    @property
    def steered(self) -> bool:
        """Whether the governor slows a build down now."""
        return self.engine is not None and self.engine.duty is not None and self.engine.duty < 1.0

    @property
    def dropped(self) -> int:
        """Frames that nobody looked at and nobody meant to leave out."""
        return max(0, self.tally.frames - self.tally.results - self.shed)

    def take_news(self) -> list[Event]:
        """The events since this was last asked."""
        news, self.news = self.news, []
        return news

    def number(self, group: str, key: str) -> float | None:
        """A value of the latest measurement of a group, named or extra."""
        message = self.groups.get(group)
        if message is None:
            return None
        value = getattr(message, key, None)
        if value is None:
            value = (message.model_extra or {}).get(key)
        return None if value is None else float(value)
