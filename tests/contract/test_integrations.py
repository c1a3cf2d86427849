"""The shipped files for other programs, field by field against the schemas. What runs is tried in tests/integration."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from npm_kit import npm_package
from telegraf_kit import Consumer, Point, consumers, fits

from edgeagent.errors import ConfigError
from edgeagent.fleet.delivery import DELIVERY
from edgeagent.fleet.examples import examples
from edgeagent.fleet.integrations import FILES, command_integration, integration_text
from edgeagent.fleet.messages import encode, json_schemas, model_for
from edgeagent.fleet.topics import parse_topic

CHILDREN = Path(__file__).parents[1] / "children"
CONSUMERS = list(consumers(integration_text("telegraf")))
GRAFANA = json.loads(integration_text("grafana"))
NODE_RED = json.loads(integration_text("node-red"))
SCHEMAS = json_schemas()
SHOWN = [(topic, message) for topic, message in examples().items() if any(c.takes(topic) for c in CONSUMERS)]


def schema_on(topic: str) -> dict[str, Any]:
    """Of what a topic with placeholders or wildcards carries; of several, the first example's."""
    bare = re.sub(r"\$\{\w+\}", "+", topic)
    found = next(name for name in examples() if fits(bare, name))
    return SCHEMAS[str(model_for(parse_topic(found)).model_fields["schema_"].default)]


def test_every_file_is_printed() -> None:
    assert command_integration() == (0, "\n".join(FILES))
    assert all(command_integration(name)[1] for name in FILES)
    with pytest.raises(ConfigError, match="there is no integration"):
        command_integration("splunk")


# Telegraf


@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.topics[0])
def test_telegraf_names_only_keys_that_are_always_there(consumer: Consumer) -> None:
    wanted = consumer.object
    for topic in consumer.topics:
        schema = schema_on(topic)
        named = {*wanted.get("excluded_keys", ()), *wanted.get("included_keys", ()), *wanted.get("tags", ())}
        assert named <= set(schema["properties"])
        assert named <= set(schema["required"]) | {k for k, v in schema["properties"].items() if "default" in v}
        if "timestamp_key" in wanted:
            assert schema["properties"][wanted["timestamp_key"]]["type"] == "integer"
        assert all(schema["properties"][tag]["type"] == "string" for tag in wanted.get("tags", ()))


def test_telegraf_listens_with_the_quality_that_is_published() -> None:
    for consumer in CONSUMERS:
        topic = next(name for name, _ in SHOWN if consumer.takes(name))
        delivery = DELIVERY[parse_topic(topic).kind]
        assert consumer.table["qos"] == delivery.qos
        assert consumer.table.get("persistent_session", False) == (delivery.qos == 1)
    names = [consumer.table["client_id"] for consumer in CONSUMERS]
    assert len(set(names)) == len(names)


def points() -> list[Point]:
    return [c.point(topic, encode(message)) for topic, message in SHOWN for c in CONSUMERS if c.takes(topic)]


def test_telegraf_takes_each_message_once() -> None:
    assert len(points()) == len(SHOWN)
    kinds = {parse_topic(topic).kind for topic, _ in SHOWN}
    assert kinds == {"measurement", "camera_measurement", "summary", "status", "health", "event"}


def test_telegraf_makes_flat_points_with_the_same_tags_for_a_measurement() -> None:
    for (topic, message), point in zip(SHOWN, points(), strict=True):
        parsed = parse_topic(topic)
        assert (point.tags["fleet"], point.tags["device"]) == (parsed.fleet, parsed.device)
        assert point.measurement.startswith("edgeagent_")
        assert point.fields, topic
        assert point.at_ms == (None if parsed.kind == "status" else message.ts)
        assert not set(point.tags) & set(point.fields)


def test_telegraf_keeps_every_number_of_measurements_and_summaries() -> None:
    for (topic, message), point in zip(SHOWN, points(), strict=True):
        if parse_topic(topic).kind in ("measurement", "camera_measurement", "summary"):
            numbers = {k for k, v in json.loads(encode(message)).items() if isinstance(v, int | float)}
            assert numbers - {"seq", "ts"} <= set(point.fields)


# Grafana

PANELS = [panel for panel in GRAFANA["panels"] if panel["type"] != "row"]
LIVE = [panel for panel in PANELS if panel["datasource"]["uid"] == "${ds_live}"]
HISTORY = [(panel, target["query"]) for panel in PANELS for target in panel["targets"] if "query" in target]
PLOTTED = ("number", "integer")


def fields_shown(panel: dict[str, Any]) -> list[str]:
    if panel["type"] == "stat":
        return [panel["options"]["reduceOptions"]["fields"].removeprefix("/^").removesuffix("$/")]
    names = panel["transformations"][0]["options"]["include"]["names"]
    assert names[0] == "Time"
    return list(names[1:])


@pytest.mark.parametrize("panel", LIVE, ids=lambda panel: panel["title"])
def test_grafana_live_panels_show_fields_that_are_sent(panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    assert "+" not in target["topic"]
    assert "#" not in target["topic"]
    properties = schema_on(target["topic"])["properties"]
    for field in fields_shown(panel):
        assert field in properties, field
        if panel["type"] == "timeseries":
            assert properties[field]["type"] in PLOTTED
        assert unit_fits(field, panel["fieldConfig"]["defaults"]["unit"])


@pytest.mark.parametrize(
    ("panel", "query"), HISTORY, ids=lambda value: value["title"] if isinstance(value, dict) else ""
)
def test_grafana_history_asks_for_what_telegraf_writes(panel: dict[str, Any], query: str) -> None:
    (measurement,) = re.findall(r'r\._measurement == "(\w+)"', query)
    fields = re.findall(r'r\._field == "(\w+)"', query)
    written = [point for point in points() if point.measurement == measurement]
    assert written, measurement
    columns = re.findall(r'"(\w+)"', re.findall(r"keep\(columns: \[(.*?)\]\)", query)[0])
    for point in written:
        assert {"fleet", "device", *(c for c in columns if not c.startswith("_"))} <= set(point.tags)
    (topic,) = {topic for (topic, _), point in zip(SHOWN, points(), strict=True) if point.measurement == measurement}
    for field in fields:
        kind = schema_on(topic)["properties"][field]["type"]
        assert kind in PLOTTED or panel["type"] in ("state-timeline", "table"), field
        assert unit_fits(field, panel["fieldConfig"]["defaults"]["unit"])
    if "fn: mean" in query:
        assert all(schema_on(topic)["properties"][field]["type"] in PLOTTED for field in fields)


UNITS = {"_c": "celsius", "_w": "watt", "_ms": "ms", "_mb": "mbytes", "percent": "percent"}


def unit_fits(field: str, unit: str) -> bool:
    return unit == next((wanted for end, wanted in UNITS.items() if field.endswith(end)), "none")


def test_grafana_variables_are_defined_before_they_are_used() -> None:
    known: set[str] = set()
    for variable in GRAFANA["templating"]["list"]:
        used = set(re.findall(r"\$\{(\w+)\}", json.dumps(variable)))
        assert used <= known, variable["name"]
        known.add(variable["name"])
    text = json.dumps(GRAFANA["panels"]).replace("${__field.labels", "")
    assert set(re.findall(r"\$\{([a-z]\w+)\}", text)) <= known
    assert {"fleet", "device"} <= known


def as_grafana_sends_it(query: str) -> str:
    """With its variables filled in, and the panel's time range."""
    filled = re.sub(r"\$\{(\w+)\}", r"\1", query)
    imports, _, rest = filled.rpartition('schema"\n') if filled.startswith("import") else ("", "", filled)
    head = f'{imports}schema"\n' if imports else ""
    return f"{head}option v = {{timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 10s}}\n{rest}"


def test_every_query_is_flux_by_the_language_s_own_parser(tmp_path: Path) -> None:
    package = npm_package("@influxdata/flux-lsp-browser", "0.8.40") / "node_modules/@influxdata/flux-lsp-browser"
    variables = [variable["query"] for variable in GRAFANA["templating"]["list"] if variable["type"] == "query"]
    queries = [as_grafana_sends_it(query) for query in ([query for _, query in HISTORY] + variables)]
    broken = [query[:-1] for query in queries]  # without its last bracket: the parser is awake
    command = ["node", str(CHILDREN / "flux_check.mjs"), str(package), str(tmp_path)]
    asked = json.dumps(queries + broken)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [True] * len(queries) + [False] * len(broken)


def test_grafana_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in GRAFANA["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in GRAFANA["panels"]]
    assert len(set(ids)) == len(ids)


# Node-RED


def test_node_red_subscribes_to_topics_that_there_are_and_wires_lead_somewhere() -> None:
    nodes = {node["id"]: node for node in NODE_RED}
    assert len(nodes) == len(NODE_RED)
    for node in NODE_RED:
        assert all(target in nodes for output in node.get("wires", ()) for target in output)
        if node["type"] == "mqtt in":
            topic = next(name for name in examples() if fits(node["topic"], name))
            assert node["qos"] == str(DELIVERY[parse_topic(topic).kind].qos)


@pytest.mark.parametrize("node", [n for n in NODE_RED if n["type"] == "function"], ids=lambda node: node["name"])
def test_node_red_functions_use_keys_that_there_are(node: dict[str, Any]) -> None:
    source = next((n for n in NODE_RED if n["type"] == "mqtt in" and node["id"] in n["wires"][0]), None)
    if source is None:
        return  # it makes a command
    properties = schema_on(source["topic"])["properties"]
    code = node["func"].split('msg.topic = "";')[0]
    used = set(re.findall(r"msg\.payload\.(\w+)", code))
    taken = re.search(r"const \{([^}]*)\} = msg\.payload", code)
    used |= set(re.findall(r"\w+", taken.group(1))) if taken else set()
    assert used
    assert used <= set(properties)
