"""Messages of a device, as they come over MQTT. No tests in here."""

from __future__ import annotations

from typing import Any

from edgeagent.console.device import Device
from edgeagent.console.fleet_book import FleetBook
from edgeagent.fleet.answers import ConfigReported, Job
from edgeagent.fleet.envelope import Message, encode
from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.measurements import PowerMeasurement, Summary, ThermalMeasurement
from edgeagent.fleet.states import Alarm, EngineState, Status
from edgeagent.fleet.topics import Topics

NOW_S = 100.0
SESSION = "boot-2"
OLD_SESSION = "boot-1"


def header(session: str = SESSION, ts: int = 2000) -> dict[str, Any]:
    return {"session": session, "seq": 1, "ts": ts}


def status(state: str, session: str = SESSION, reason: str = "", ts: int = 2000) -> Status:
    return Status.model_validate({**header(session, ts), "state": state, "reason": reason})


def summary(fps: float, pipeline: str = "people") -> Summary:
    return Summary(
        **header(), camera="yard", pipeline=pipeline, interval_s=1, fps=fps, results=1, detections=0, dropped=0,
        lat_p95_ms=40,
    )  # fmt: skip


def thermal(temp_c: float) -> ThermalMeasurement:
    return ThermalMeasurement(**header(), temp_max_c=temp_c, headroom_c=97 - temp_c)


def power(watts: float) -> PowerMeasurement:
    return PowerMeasurement(**header(), power_total_w=watts)


def engine(state: str, pipeline: str = "people", percent: float = 0.0) -> EngineState:
    values = {"pipeline": pipeline, "state": state, "percent": percent, "precision": "int8", "backend": "tensorrt"}
    return EngineState.model_validate({**header(), **values})


def alarm(kind: str, severity: str = "warning", text: str = "look at it") -> Alarm:
    return Alarm.model_validate(
        {**header(), "type": kind, "severity": severity, "first_ts": 1, "count": 1, "text": text}
    )


def reported(version: int, state: str, **more: Any) -> ConfigReported:
    values = {"version": version, "state": state, "ack": 200, "in_force": 0, "hash": "0" * 64, "since_ts": 1, **more}
    return ConfigReported.model_validate({**header(), **values})


def job(state: str, **more: Any) -> Job:
    return Job.model_validate({**header(), "id": "j-1", "name": "build", "state": state, "accepted_ts": 1, **more})


def topics(name: str = "gate-07", fleet: str = "plant-2") -> Topics:
    return Topics(fleet, name)


class Reader:
    """A book that messages of one device after the other go into."""

    def __init__(self) -> None:
        self.book = FleetBook()

    def take(
        self, topic: str, message: Message | bytes, now_s: float = NOW_S, *, retained: bool = False
    ) -> Device | None:
        payload = message if isinstance(message, bytes) else encode(message)
        return self.book.take(topic, payload, now_s, retained=retained)

    def device(self, name: str = "gate-07") -> Device:
        return self.book.devices[f"plant-2/{name}"]


def example_book() -> Reader:
    """The device of the documentation's examples, live."""
    reader = Reader()
    for topic, message in examples().items():
        reader.take(topic, message)
    assert TOPICS.device == "gate-07"
    return reader
