"""What a device said, held against the contract: topic, schema, flatness, stable types. No tests in here.

The tests of the whole agent give it every message that they saw; a trouble is one line with its topic.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator

from edgeagent.fleet.envelope import schema_name
from edgeagent.fleet.inbound import parse_inbound
from edgeagent.fleet.messages import json_schemas, model_for
from edgeagent.fleet.topics import Topic, TopicError, Topics, parse_topic

FLAT: Final = {"measurement", "camera_measurement", "summary"}
CLEARED: Final = {"alarm", "job", "engine", "shedding", "config_reported"}
NAMED: Final = {"camera": "camera", "pipeline": "pipeline", "type": "type", "job": "id"}  # level -> the same as a key
PER_TOPIC: Final = 200
"""Validating costs milliseconds, and results come thirty times a second: so many of a topic, at most."""


@cache
def _validators() -> dict[str, Draft202012Validator]:
    return {name: Draft202012Validator(schema) for name, schema in json_schemas().items()}


class WireCheck:
    """Takes messages in the order in which they came; `troubles` has a line for each breach of the contract."""

    def __init__(self) -> None:
        self.troubles: list[str] = []
        self.checked: Counter[str] = Counter()
        self._types: dict[tuple[str, str], str] = {}
        self._seq: dict[tuple[str, str], int] = {}

    def take(self, topic: str, payload: bytes) -> None:
        self.checked[topic] += 1
        if self.checked[topic] > PER_TOPIC or is_inbound(topic):
            return
        try:
            parsed = parse_topic(topic)
        except TopicError as error:
            self._trouble(topic, error.line())
            return
        if payload:
            self._message(topic, parsed, payload)
        elif parsed.kind not in CLEARED:
            self._trouble(topic, "was cleared, which this kind never is")

    def _message(self, topic: str, parsed: Topic, payload: bytes) -> None:
        try:
            wire = json.loads(payload.decode("utf-8"), parse_constant=_not_json)
        except ValueError as error:
            self._trouble(topic, f"is not JSON: {error}")
            return
        wanted = schema_name(model_for(parsed))
        for error in _validators()[wanted].iter_errors(wire):
            self._trouble(topic, f"{wanted}: {error.json_path}: {error.message[:200]}")
        if not isinstance(wire, dict):
            return
        for label, key in NAMED.items():
            if parsed.name(label) and wire.get(key) != parsed.name(label):
                self._trouble(topic, f"says that its {key} is {wire.get(key)!r}")
        if parsed.kind in FLAT:
            self._flat(topic, wire)

    def _flat(self, topic: str, wire: dict[str, Any]) -> None:
        """Every value can be plotted as it is, keeps its type, and comes in order."""
        for key, value in wire.items():
            found = _type(value)
            if found == "nested":
                self._trouble(topic, f"{key} is not flat")
            before = self._types.setdefault((str(wire.get("schema")), key), found)
            if before != found:
                self._trouble(topic, f"{key} was a {before} and is now a {found}")
        run = (topic, str(wire.get("session")))
        seq = wire.get("seq")
        if isinstance(seq, int) and seq <= self._seq.get(run, 0):
            self._trouble(topic, f"number {seq} came after {self._seq[run]}")
        self._seq[run] = seq if isinstance(seq, int) else 0

    def _trouble(self, topic: str, what: str) -> None:
        self.troubles.append(f"{topic}: {what}")


def check_wire(messages: Iterable[tuple[str, bytes]]) -> None:
    """Fails with every breach of the contract, ten at most."""
    check = WireCheck()
    for topic, payload in messages:
        check.take(topic, payload)
    assert not check.troubles, "the wire breaks the contract:\n" + "\n".join(check.troubles[:10])


def is_inbound(topic: str) -> bool:
    """Whether it is a topic on which things are said to devices: tests say a lot there that is wrong on purpose."""
    levels = topic.split("/")
    if len(levels) < 6:
        return False
    try:
        device = "any" if levels[3].startswith("_") else levels[3]
        parse_inbound(topic, Topics(levels[2], device), [levels[4]])
    except TopicError:
        return False
    return True


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "nested"


def _not_json(word: str) -> float:
    raise ValueError(f"{word} is not JSON")
