"""A stand-in for what the shipped file uses of Telegraf: mqtt_consumer with topic_parsing and json_v2 objects.

Written from Telegraf's documentation; it refuses options that it does not know, so that a new one is looked at first.
No tests in here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONSUMER = {
    "servers",
    "topics",
    "username",
    "password",
    "client_id",
    "qos",
    "persistent_session",
    "topic_tag",
    "name_prefix",
    "name_override",
    "data_format",
    "topic_parsing",
    "json_v2",
}
OBJECT = {"path", "timestamp_key", "timestamp_format", "excluded_keys", "included_keys", "tags"}


@dataclass(frozen=True)
class Point:
    """One line of InfluxDB. `at_ms` is None where Telegraf takes the time of arrival."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | bool | str]
    at_ms: int | None


@dataclass(frozen=True)
class Consumer:
    """One input of the file."""

    table: dict[str, Any]

    @property
    def topics(self) -> list[str]:
        return list(self.table["topics"])

    @property
    def object(self) -> dict[str, Any]:
        return dict(self.table["json_v2"][0]["object"][0])

    def takes(self, topic: str) -> bool:
        return any(fits(wanted, topic) for wanted in self.topics)

    def point(self, topic: str, payload: bytes) -> Point:
        rule, wanted = self.table["topic_parsing"][0], self.object
        assert fits(rule["topic"], topic), f"{topic} is subscribed to, but its levels are not parsed"
        places = dict(zip(rule["tags"].split("/"), topic.split("/"), strict=True))
        tags = {name: level for name, level in places.items() if name not in ("_", "")}
        name = self.table.get("name_override", "")
        if "measurement" in rule:
            name = self.table["name_prefix"] + topic.split("/")[rule["measurement"].split("/").index("measurement")]
        at_ms, fields = None, {}
        for key, value in json.loads(payload).items():
            if key in wanted.get("excluded_keys", ()) or not self._includes(key):
                continue
            if key == wanted.get("timestamp_key"):
                assert wanted["timestamp_format"] == "unix_ms"
                at_ms = value
            elif key in wanted.get("tags", ()):
                tags[key] = str(value)
            else:
                assert isinstance(value, int | float | str), (
                    f"{topic}: {key} is not flat: Telegraf would make more of it"
                )
                fields[key] = value if isinstance(value, bool | str) else float(value)
        return Point(name, tags, fields, at_ms)

    def _includes(self, key: str) -> bool:
        included = self.object.get("included_keys", [])
        return not included or key in (*included, *self.object.get("tags", []))


def fits(wanted: str, topic: str) -> bool:
    ours, theirs = wanted.split("/"), topic.split("/")
    return len(ours) == len(theirs) and all(a in ("+", b) for a, b in zip(ours, theirs, strict=True))


def consumers(text: str) -> Iterator[Consumer]:
    for table in tomllib.loads(text)["inputs"]["mqtt_consumer"]:
        assert set(table) <= CONSUMER, set(table) - CONSUMER
        assert [len(table[key]) for key in ("topic_parsing", "json_v2")] == [1, 1]
        objects = table["json_v2"][0]["object"]
        assert len(objects) == 1
        assert set(objects[0]) <= OBJECT, set(objects[0]) - OBJECT
        assert objects[0]["path"] == "@this"
        yield Consumer(table)
