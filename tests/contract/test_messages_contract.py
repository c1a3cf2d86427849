"""The contract with consumers: schemas, examples, topics and the documentation agree with each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from edgeagent.board.catalogue import find_module
from edgeagent.fleet.examples import examples
from edgeagent.fleet.messages import MODELS, encode, json_schemas, model_for, schema_names
from edgeagent.fleet.reference import with_reference
from edgeagent.fleet.states import Info, Module
from edgeagent.fleet.topics import KINDS, parse_topic, topic_shapes

SCHEMAS = json_schemas()
EXAMPLES = examples()
DOCUMENT = Path(__file__).parents[2] / "docs" / "mqtt.md"


def test_schema_names_are_unique_and_versioned() -> None:
    assert len(set(schema_names())) == len(schema_names()) == len(SCHEMAS) == len(MODELS)
    assert all(name.startswith("edgeagent.") and name.endswith("/1") for name in schema_names())


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_every_schema_is_one_and_has_an_example(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert name in {message.schema_ for message in EXAMPLES.values()}


@pytest.mark.parametrize("topic", list(EXAMPLES))
def test_every_example_is_valid_for_its_schema(topic: str) -> None:
    wire = json.loads(encode(EXAMPLES[topic]))
    Draft202012Validator(SCHEMAS[wire["schema"]]).validate(wire)
    assert type(EXAMPLES[topic]) is model_for(parse_topic(topic))


def test_the_module_of_the_example_is_named_as_the_agent_names_it() -> None:
    (told,) = (message.module for message in EXAMPLES.values() if isinstance(message, Info))
    known = find_module(told.id)
    assert known is not None
    words = (known.name, known.soc, known.compute_capability, known.dla_cores)
    assert (told.name, told.soc, told.compute_capability, told.dla_cores) == words
    assert f"such as {known.soc};" in str(Module.model_fields["soc"].description)


def test_every_kind_of_topic_has_an_example() -> None:
    assert {parse_topic(topic).kind for topic in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("topic", list(EXAMPLES))
def test_every_header_field_is_required_and_no_type_is_null(topic: str) -> None:
    schema = SCHEMAS[EXAMPLES[topic].schema_]
    assert {"schema", "session", "seq", "ts"} <= set(schema["required"])
    assert '"null"' not in json.dumps(schema)


@pytest.mark.parametrize("bad", [{"temp_x_c": "warm"}, {"temp_x_c": None}, {"Temp": 1.0}, {"temp_x_c": [1.0]}])
def test_the_schema_of_a_measurement_is_strict_about_extra_keys(bad: dict[str, object]) -> None:
    wire = json.loads(encode(next(m for m in EXAMPLES.values() if m.schema_ == "edgeagent.measurement.thermal/1")))
    validator = Draft202012Validator(SCHEMAS[wire["schema"]])
    assert validator.is_valid(wire)
    assert not validator.is_valid({**wire, **bad})


def test_measurements_are_flat_and_every_value_can_be_plotted() -> None:
    for topic, message in EXAMPLES.items():
        if parse_topic(topic).kind in {"measurement", "camera_measurement", "summary"}:
            assert all(isinstance(value, (str, int, float, bool)) for value in json.loads(encode(message)).values())


def test_the_document_is_up_to_date() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert with_reference(document) == document, "renew it: python -m edgeagent.fleet.reference docs/mqtt.md"


def test_the_document_has_a_row_for_every_kind_of_topic() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").split("## Topics")[1].split("## What holds")[0]
    for shape in topic_shapes().values():
        assert f"| `{shape}` |" in table
