"""The AsyncAPI document: it is current, its references lead somewhere, the official parser takes it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from npm_kit import npm_package

from edgeagent.fleet.asyncapi import asyncapi_document, text
from edgeagent.fleet.examples import TOPICS
from edgeagent.fleet.inbound import command_topic, filters
from edgeagent.fleet.messages import schema_names
from edgeagent.fleet.schemas import INBOUND
from edgeagent.fleet.topics import topic_shapes

COMMITTED = Path(__file__).parents[2] / "docs" / "asyncapi.json"
DOCUMENT = asyncapi_document()
PARSER = """
const { Parser } = require('@asyncapi/parser');
new Parser().parse(require('fs').readFileSync(process.argv[1], 'utf8')).then(({ document, diagnostics }) => {
  const errors = diagnostics.filter((d) => d.severity <= 1).map((d) => `${d.path.join('.')}: ${d.message}`);
  const channels = document ? document.channels().all().length : 0;
  console.log(JSON.stringify({ errors, channels }));
});
"""


def test_the_committed_document_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text(), "python -m edgeagent.fleet.asyncapi docs/asyncapi.json"


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for inner in value.values() for each in references(inner)]
    return [each for inner in value for each in references(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("reference", sorted(set(references(DOCUMENT))))
def test_every_reference_leads_somewhere(reference: str) -> None:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]


def test_every_schema_and_every_topic_is_in_it() -> None:
    names = {message["name"] for message in DOCUMENT["components"]["messages"].values()}
    assert names == {*schema_names(), *INBOUND}
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert len(addresses) == len(topic_shapes()) + 4
    for wanted in (*filters(TOPICS, ["entrances"]), command_topic("plant-2", "build", device="gate-07")):
        assert any(_fits(address, wanted) for address in addresses), wanted


def _fits(address: str, topic: str) -> bool:
    ours, theirs = address.split("/"), topic.split("/")
    return len(ours) == len(theirs) and all(a.startswith("{") or a == b for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", list(DOCUMENT["components"]["messages"]))
def test_every_example_is_valid_in_the_older_dialect_too(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    Draft7Validator.check_schema(DOCUMENT["components"]["schemas"][name])
    assert message["examples"]
    for example in message["examples"]:
        Draft7Validator(schema).validate(example["payload"])


def test_the_official_parser_finds_no_fault() -> None:
    folder = npm_package("@asyncapi/parser", "3.6.6")
    command = ["node", "-e", PARSER, str(COMMITTED)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {"errors": [], "channels": len(DOCUMENT["channels"])}
