"""The publisher over a link that only remembers: what goes onto which topic, and what never gets in the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import LinkStats, Outcome
from edgeagent.fleet.topics import Topics
from edgeagent.inference.result_line import detections_json, quoted


class Memory:
    """Takes every message and keeps it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int, bool]] = []
        self.outcome = Outcome.ACCEPTED

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        self.sent.append((topic.removeprefix("edgeagent/v1/lab/one/"), payload, qos, retain))
        return self.outcome

    def stats(self) -> LinkStats:
        raise AssertionError("nobody asked for counters")

    def last(self, topic: str) -> dict[str, Any]:
        found = [json.loads(payload) for name, payload, _, _ in self.sent if name == topic and payload]
        last: dict[str, Any] = found[-1]
        return last


@pytest.fixture
def link() -> Memory:
    return Memory()


@pytest.fixture
def publisher(link: Memory) -> Publisher:
    clock = ManualClock()
    return Publisher(link, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, results_qos=0)


def test_where_a_pipeline_runs_goes_along_with_its_engine_s_state(publisher: Publisher, link: Memory) -> None:
    publisher.runs_at("people", "gpu")
    assert link.sent == [], "nothing was said of its engine yet"
    publisher.engine("people", state="ready", precision="int8", backend="tensorrt", placement="dla")
    assert link.last("engine/people")["accelerator"] == "gpu"
    publisher.runs_at("people", "dla1")
    moved = link.last("engine/people")
    assert (moved["accelerator"], moved["state"], moved["placement"]) == ("dla1", "ready", "dla")
    publisher.runs_at("people", "dla1")
    assert len(link.sent) == 2, "it is said again only where it is news"
    told = publisher.engine_told("people")
    publisher.runs_at("people", None)
    assert told and "accelerator" not in link.last("engine/people")
    publisher.engine("people", **told)
    assert "accelerator" not in link.last("engine/people"), "what was said before says nothing of now"
    publisher.forget_pipeline("people")
    publisher.engine("people", state="wanted", precision="int8", backend="tensorrt")
    assert "accelerator" not in link.last("engine/people")


def test_an_impossible_reading_is_left_out_and_the_rest_is_sent(publisher: Publisher, link: Memory) -> None:
    publisher.measurement("power", {"power_total_w": -3.0, "power_vdd_in_w": 4.5})
    sent = link.last("m/power")
    assert "power_total_w" not in sent
    assert sent["power_vdd_in_w"] == 4.5


def test_a_group_that_has_nothing_possible_is_not_sent(publisher: Publisher, link: Memory) -> None:
    publisher.measurement("cpu", {"percent": float("nan")})
    publisher.measurement("thermal", {"temp_cpu_c": 40.0})
    assert link.sent == []


def test_the_status_follows_the_health_once_started(publisher: Publisher, link: Memory) -> None:
    publisher.status("init")
    publisher.note("camera/door", "failed", "unplugged")
    assert link.last("status")["state"] == "init"
    publisher.started()
    assert link.last("status")["state"] == "degraded"
    assert "unplugged" in link.last("status")["reason"]
    publisher.note("camera/door", "ok")
    assert link.last("status")["state"] == "ready"


def test_a_health_that_does_not_change_is_not_said_again(publisher: Publisher, link: Memory) -> None:
    publisher.note("link", "ok")
    before = len(link.sent)
    publisher.note("link", "ok")
    assert len(link.sent) == before


def test_everything_retained_is_said_again_after_a_connection(publisher: Publisher, link: Memory) -> None:
    publisher.status("ready")
    publisher.alarm("hot", "warning", "the board is hot")
    publisher.engine("parts", state="wanted", precision="int8", backend="onnxruntime")
    link.sent.clear()
    publisher.again()
    assert {topic for topic, _, _, _ in link.sent} == {"status", "a/hot", "engine/parts"}
    assert all(qos == 1 and retain for _, _, qos, retain in link.sent)
    assert link.last("status")["seq"] == 2


def test_an_alarm_counts_and_is_cleared_with_an_empty_payload(publisher: Publisher, link: Memory) -> None:
    publisher.alarm("hot", "warning", "warm")
    publisher.alarm("hot", "warning", "warm")
    publisher.alarm("hot", "error", "throttling")
    assert link.last("a/hot")["count"] == 2
    publisher.clear_alarm("hot")
    publisher.clear_alarm("hot")
    assert [payload for topic, payload, _, _ in link.sent if topic == "a/hot"][-1] == b""
    assert [topic for topic, payload, _, _ in link.sent if payload == b""] == ["a/hot"]
    link.sent.clear()
    publisher.again()
    assert link.sent == [("a/hot", b"", 1, True)]


def test_only_results_that_left_are_counted(publisher: Publisher, link: Memory) -> None:
    values = {
        "frame": 7, "capture_ts": 1, "lat_ms": 2.5, "width": 640, "height": 480, "model": "conveyor", "engine": "e",
    }  # fmt: skip
    detections = detections_json([(0, 0.91234, 1.26, 2.0, 3.0, 4.0)], quoted(["bolt"]))
    publisher.result(values, detections, "belt", "parts")
    link.outcome = Outcome.DROPPED
    publisher.result(values, detections, "belt", "parts")
    assert publisher.results == 1
    sent = link.last("r/belt/parts")
    assert sent["detections"] == [{"class": "bolt", "class_id": 0, "score": 0.912, "box": [1.3, 2.0, 3.0, 4.0]}]
    assert (sent["camera"], sent["pipeline"], sent["frame"], sent["schema"]) == (
        "belt",
        "parts",
        7,
        "edgeagent.result/1",
    )


def test_events_have_an_id_of_their_own(publisher: Publisher, link: Memory) -> None:
    publisher.event("camera-failed", "warning", "gone", camera="door", code=None)
    publisher.event("camera-failed", "warning", "gone", camera="door")
    ids = [json.loads(payload)["id"] for _, payload, _, _ in link.sent]
    assert len(set(ids)) == 2
    assert json.loads(link.sent[0][1])["facts"] == {"camera": "door"}
