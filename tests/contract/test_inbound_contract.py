"""The contract in the other direction: what is said to a device, its schemas and examples, and how they are printed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgeagent.errors import ConfigError
from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.examples import TOPICS
from edgeagent.fleet.inbound import Desired, parse_command, parse_desired, parse_inbound
from edgeagent.fleet.inbound_examples import inbound_examples, patch_wish
from edgeagent.fleet.schemas import all_schemas, command_schema, inbound_schemas, short_name

DESIRED = Draft202012Validator(inbound_schemas()["edgeagent.desired/1"])
COMMAND = Draft202012Validator(inbound_schemas()["edgeagent.command/1"])


@pytest.mark.parametrize("topic", list(inbound_examples()))
def test_every_example_is_understood_and_valid(topic: str) -> None:
    message = inbound_examples()[topic]
    payload = message.model_dump_json(exclude_unset=True).encode()
    kind = parse_inbound(topic, TOPICS, ["entrances"]).kind
    parsed, validator = (
        (parse_desired(payload), DESIRED) if kind == "config_desired" else (parse_command(payload), COMMAND)
    )
    assert parsed == message
    validator.validate(json.loads(payload))


def test_there_is_an_example_for_every_scope() -> None:
    said = [parse_inbound(topic, TOPICS, ["entrances"]) for topic in inbound_examples()]
    assert {(each.kind, each.scope) for each in said} == {
        ("config_desired", "device"),
        ("command", "device"),
        ("command", "all"),
        ("command", "group"),
    }
    assert isinstance(patch_wish(), Desired)


@pytest.mark.parametrize(
    "wish",
    [
        {"version": 1},
        {"version": 1, "config": {}, "patch": {}},
        {"version": 1, "config": {}, "base": 0},
        {"version": 1, "patch": {}},
        {"version": 1, "base": 0},
        {"version": 1, "base": 0, "patch": {}, "config": {}},
        {"version": 0, "config": {}},
        {"version": 1, "config": {}, "other": 1},
        {"version": 1, "config": []},
        {"version": 1, "config": {}, "trial_s": 0},
        {"config": {}},
        {"version": 1, "config": {}},
        {"version": 1, "base": 0, "patch": {}},
    ],
)
def test_schema_and_parser_agree_on_what_a_wish_is(wish: dict[str, Any]) -> None:
    try:
        parse_desired(json.dumps(wish).encode())
    except MessageError:
        assert not DESIRED.is_valid(wish)
    else:
        assert DESIRED.is_valid(wish)


def test_the_command_prints_one_all_and_the_document() -> None:
    code, text = command_schema("measurement.power")
    assert (code, json.loads(text)["$id"]) == (0, "urn:edgeagent:measurement:power:1")
    assert json.loads(command_schema("edgeagent.command/1")[1])["required"] == ["id"]
    every = json.loads(command_schema()[1])
    assert list(every) == list(all_schemas())
    for schema in every.values():
        Draft202012Validator.check_schema(schema)
    assert json.loads(command_schema(asyncapi=True)[1])["asyncapi"] == "3.0.0"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        command_schema("weather")
    assert "measurement.power" in caught.value.line()
    assert short_name("edgeagent.status/1") == "status"
