"""What Home Assistant is told: which entities there are, what each is made of, and how one goes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from edgeagent.app.discovery import MAX_REMOVED, Book, discovery_payload, discovery_topic, observe
from edgeagent.fleet.envelope import Message
from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.measurements import PowerMeasurement
from edgeagent.fleet.messages import json_schemas, model_for
from edgeagent.fleet.states import CameraInfo, Info, PipelineInfo
from edgeagent.fleet.topics import Topics, parse_topic

INFO = examples()[TOPICS.info]
assert isinstance(INFO, Info)
EXPIRE_S = 30
# By Home Assistant's documentation of its MQTT sensors and binary sensors: the options that we use, and their units.
OPTIONS = {"platform", "unique_id", "name", "state_topic", "value_template", "device_class", "expire_after"}
SENSOR_OPTIONS = OPTIONS | {"unit_of_measurement", "state_class"}
UNITS = {"temperature": {"°C"}, "power": {"W"}, "duration": {"ms"}, "data_size": {"MiB"}}


def seen(*messages: tuple[str, Message | None], book: Book | None = None) -> Book:
    book = book or Book()
    for topic, message in messages:
        book = observe(book, parse_topic(topic), message, EXPIRE_S)
    return book


def everything() -> Book:
    return seen(*examples().items())


def document(book: Book, topics: Topics = TOPICS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(discovery_payload(book, topics, INFO))
    return found


def test_the_message_says_what_the_device_is_and_when_it_is_there() -> None:
    said = document(everything())
    assert discovery_topic("homeassistant", TOPICS) == "homeassistant/device/edgeagent-plant-2-gate-07/config"
    assert said["device"]["identifiers"] == ["edgeagent-plant-2-gate-07"]
    assert said["device"]["model"] == "Jetson Orin Nano 8GB"
    assert said["availability"][0]["topic"] == TOPICS.status
    assert said["origin"]["name"] == "edgeagent"


def test_every_entity_keeps_to_the_documented_options() -> None:
    components = document(everything())["components"]
    assert len(components) == 11
    for component in components.values():
        allowed = SENSOR_OPTIONS if component["platform"] == "sensor" else OPTIONS
        assert set(component) <= allowed
        kind = component.get("device_class")
        assert component["platform"] == "sensor" or kind == "problem"
        assert component.get("unit_of_measurement") in UNITS.get(kind, {"%", "1/s", None})
    identities = [component["unique_id"] for component in components.values()]
    assert len(set(identities)) == len(identities)


def test_identities_are_fixed_and_differ_between_devices() -> None:
    here, there = document(everything()), document(everything(), Topics("plant-2", "gate-08"))
    assert here["components"]["power_power_total_w"]["unique_id"] == "edgeagent-plant-2-gate-07-power_power_total_w"
    ours, theirs = ({c["unique_id"] for c in said["components"].values()} for said in (here, there))
    assert not ours & theirs


@pytest.mark.parametrize("component", document(everything())["components"].values(), ids=lambda c: c["unique_id"])
def test_every_template_reads_a_field_that_there_is(component: dict[str, Any]) -> None:
    topic = parse_topic(component["state_topic"])
    fields = re.findall(r"value_json\.(\w+)", component["value_template"])
    properties = json_schemas()[str(model_for(topic).model_fields["schema_"].default)]["properties"]
    assert set(fields) <= set(properties)
    assert fields or topic.kind == "alarm"
    if component["platform"] == "sensor":
        assert properties[fields[0]]["type"] in ("number", "integer")


def test_a_board_without_a_sensor_has_none_here() -> None:
    message = PowerMeasurement.model_validate({"session": "a-1", "seq": 1, "ts": 0, "power_vdd_in_w": 3.0})
    assert seen((TOPICS.measurement("power"), message)).entities == {}


def test_an_alarm_is_known_from_its_first_word_even_when_that_clears_it() -> None:
    book = seen((TOPICS.alarm("hot"), None))
    assert list(book.entities) == ["alarm_hot"]


def test_what_tells_nothing_new_leaves_the_very_same_book() -> None:
    book = everything()
    assert all(observe(book, parse_topic(topic), message, EXPIRE_S) is book for topic, message in examples().items())


def without_camera() -> Info:
    return INFO.model_copy(update={"cameras": (), "pipelines": ()})


def test_a_camera_that_goes_takes_its_pipelines_along_and_leaves_the_platform_alone() -> None:
    book = seen((TOPICS.info, without_camera()), book=everything())
    components = document(book)["components"]
    gone = {"camera_yard", "pipeline_yard_people_fps", "pipeline_yard_people_lat_p95_ms"}
    assert {key for key, component in components.items() if list(component) == ["platform"]} == gone
    assert "thermal_temp_max_c" in book.entities
    back = seen(*examples().items(), book=book)
    assert back.removed == {}
    assert document(back) == document(everything())


def test_a_pipeline_that_goes_leaves_its_camera() -> None:
    book = seen((TOPICS.info, INFO.model_copy(update={"pipelines": ()})), book=everything())
    assert set(book.removed) == {"pipeline_yard_people_fps", "pipeline_yard_people_lat_p95_ms"}


def test_a_pipeline_that_moves_to_another_camera_is_another_one() -> None:
    moved = INFO.model_copy(
        update={
            "cameras": (CameraInfo(id="yard", source="rtsp"), CameraInfo(id="gate", source="rtsp")),
            "pipelines": (PipelineInfo(id="people", camera="gate", model="yolo11n"),),
        }
    )
    book = seen((TOPICS.info, moved), book=everything())
    assert set(book.removed) == {"pipeline_yard_people_fps", "pipeline_yard_people_lat_p95_ms"}


def test_what_was_removed_is_bounded() -> None:
    book = Book(removed={f"old_{number}": "sensor" for number in range(MAX_REMOVED)})
    book = seen((TOPICS.info, without_camera()), book=Book(everything().entities, book.removed))
    assert len(book.removed) == MAX_REMOVED
    assert "camera_yard" in book.removed
