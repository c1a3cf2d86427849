"""Messages: headers, the wire's rules, what is refused, and the way back from topic and payload."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.messages import (
    Detection,
    EngineState,
    Event,
    Header,
    Measurement,
    MessageError,
    Stamp,
    Status,
    ThermalMeasurement,
    encode,
    event_id,
    measurement_key,
    parse_message,
)
from edgeagent.fleet.topics import TopicError, parse_topic

HEADER: Header = {"session": "3f2a9c1e-4", "seq": 1, "ts": 1_760_000_000_000}


def test_sequence_numbers_count_by_topic_from_one() -> None:
    stamp = Stamp("b-1", lambda: 42)
    assert [stamp.header("x")["seq"], stamp.header("x")["seq"], stamp.header("y")["seq"]] == [1, 2, 1]
    assert stamp.header("x") == {"session": "b-1", "seq": 3, "ts": 42}


def test_the_wire_has_no_null_and_no_underscore_names() -> None:
    state = EngineState(**HEADER, pipeline="people", state="waiting", precision="int8", backend="tensorrt")
    wire = json.loads(encode(state))
    assert wire["schema"] == "edgeagent.engine/1"
    assert "schema_" not in wire
    assert None not in wire.values()
    assert "eta_s" not in wire


def test_a_detection_is_rounded_for_the_wire() -> None:
    detection = Detection.rounded("person", 0, 0.91349, (812.04, 300.26, 901.55, -0.04))
    assert detection.score == 0.913
    assert detection.box == (812.0, 300.3, 901.6, 0.0)
    assert json.loads(encode_part(detection))["class"] == "person"


def test_a_detection_names_its_track_and_regions_only_where_it_has_them() -> None:
    box = (1.0, 2.0, 3.0, 4.0)
    plain = json.loads(Detection.rounded("a", 0, 0.5, box).model_dump_json(by_alias=True, exclude_none=True))
    full = Detection.rounded("a", 0, 0.5, box, 17, ("lane-1",))
    assert set(plain) == {"class", "class_id", "score", "box"}, "as before there was tracking"
    assert json.loads(encode_part(full)) == {**plain, "track": 17, "regions": ["lane-1"]}
    assert Detection.rounded("a", 0, 0.5, box, 0, ()).track is None


def encode_part(detection: Detection) -> str:
    return detection.model_dump_json(by_alias=True)


@pytest.mark.parametrize("topic", list(examples()))
def test_what_is_encoded_is_parsed_again(topic: str) -> None:
    message = examples()[topic]
    assert parse_message(topic, encode(message)) == message
    assert parse_message(parse_topic(topic), encode(message)) == message


def test_an_empty_payload_is_a_cleared_topic() -> None:
    assert parse_message(TOPICS.alarm("hot"), b"") is None


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"not json", "Invalid JSON"),
        (b"[]", "object"),
        (b'{"schema":"edgeagent.status/2","session":"a-1","seq":1,"ts":1,"state":"ready"}', "schema"),
        (b'{"session":"a-1","seq":1,"ts":1,"state":"ready"}', "schema"),
        (b'{"schema":"edgeagent.status/1","session":"a-1","seq":1,"ts":1,"state":"asleep"}', "state"),
        (b'{"schema":"edgeagent.status/1","session":"A 1","seq":1,"ts":1,"state":"ready"}', "session"),
    ],
)
def test_a_payload_that_is_not_the_topics_message_is_refused(payload: bytes, says: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_message(TOPICS.status, payload)
    assert says in caught.value.line()
    assert caught.value.facts["topic"] == TOPICS.status


def test_unknown_keys_are_ignored() -> None:
    payload = b'{"schema":"edgeagent.status/1","session":"a-1","seq":1,"ts":1,"state":"ready","mood":"good"}'
    assert isinstance(parse_message(TOPICS.status, payload), Status)


def test_a_topic_that_is_not_ours_is_refused() -> None:
    with pytest.raises(TopicError):
        parse_message("zigbee2mqtt/lamp", b"{}")


def test_messages_are_frozen() -> None:
    status = Status(**HEADER, state="ready")
    with pytest.raises(ValidationError):
        status.state = "lost"  # type: ignore[misc]


@pytest.mark.parametrize(
    "extra",
    [{"Temp": 1.0}, {"1st": 1.0}, {"a b": 1.0}, {"x": float("nan")}, {"x": float("inf")}, {"x": "5"}, {"x": None}],
)
def test_a_measurement_takes_plain_keys_and_finite_numbers_only(extra: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Measurement.model_validate({**HEADER, **extra})


def test_a_measurements_numbers_keep_their_type() -> None:
    message = Measurement.model_validate({**HEADER, "a": 1, "b": 1.0, "c": True})
    assert encode(message).endswith(b'"a":1,"b":1.0,"c":true}')


def test_named_fields_of_a_group_are_required() -> None:
    with pytest.raises(ValidationError, match="temp_max_c"):
        ThermalMeasurement.model_validate({**HEADER, "temp_cpu_c": 50.0})


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (("power", "VDD_GPU_SOC", "w"), "power_vdd_gpu_soc_w"),
        (("temp", "CPU-therm", "c"), "temp_cpu_therm_c"),
        (("power", "VDD IN", "w"), "power_vdd_in_w"),
    ],
)
def test_keys_are_made_from_the_boards_names(parts: tuple[str, ...], key: str) -> None:
    assert measurement_key(*parts) == key


def test_an_event_leaves_out_facts_without_a_value() -> None:
    event = Event(
        **HEADER,
        id=event_id("gate-07", "engine-failed", HEADER),
        type="engine-failed",
        severity="info",
        text="ready",
        facts={"key": None, "n": 1, "ok": True, "s": 1.5, "t": "x"},  # type: ignore[dict-item]
    )
    wire = json.loads(encode(event))
    assert wire["id"] == "gate-07.3f2a9c1e-4.engine-failed.1"
    assert wire["facts"] == {"n": 1, "ok": True, "s": 1.5, "t": "x"}
