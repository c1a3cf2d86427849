"""Node-RED itself with the shipped flow, against a real broker: what it makes of messages, and of a real agent."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_kit import DEVICE, FLEET, Family, agent, plant, virtual_board, watching, write_config
from npm_kit import npm_package
from test_link_kit import Ear, free_port, mosquitto, needs_mosquitto, program, running, settings, subscriber

from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.inbound import parse_command
from edgeagent.fleet.integrations import integration_text
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.messages import encode

pytestmark = [needs_mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]
VERSION = "4.1.15"
SETTINGS = """
module.exports = {
  uiHost: '127.0.0.1', uiPort: Number(process.env.NODE_RED_PORT), flowFile: process.env.NODE_RED_FLOW,
  credentialSecret: false, editorTheme: { tours: false }, telemetry: { enabled: false },
  externalModules: { palette: { allowInstall: false }, modules: { allowInstall: false } },
  logging: { console: { level: 'info' } },
};
"""


class Output(Ear):
    """What mosquitto_sub printed of the flow's outputs, as (topic, value)."""

    patience_s = 60.0

    def next(self, part: str, **wanted: object) -> dict[str, Any]:
        def fits(line: str) -> bool:
            topic, _, rest = line.partition(" ")
            return topic == f"node-red/edgeagent/{part}" and wanted.items() <= payload(rest).items()

        return payload(self.wait(fits).partition(" ")[2])


def payload(rest: str) -> dict[str, Any]:
    return dict(json.loads(rest.split(" ", 2)[2]))


@contextmanager
def node_red(folder: Path, broker: int, device: str = "gate-07", fleet: str = "plant-2") -> Iterator[int]:
    """Running, connected and subscribed when this returns; gives the port of its interface."""
    package, port = npm_package("node-red", VERSION), free_port()
    folder.mkdir()
    (folder / "settings.js").write_text(SETTINGS)
    flow = json.loads(integration_text("node-red"))
    for variable in flow[0]["env"]:
        variable["value"] = {"EDGEAGENT_FLEET": fleet, "EDGEAGENT_DEVICE": device}.get(variable["name"], "doctor")
    (folder / "flow.json").write_text(json.dumps(flow))
    environment = {
        **os.environ,
        "NODE_RED_PORT": str(port),
        "NODE_RED_FLOW": str(folder / "flow.json"),
        "EDGEAGENT_BROKER_HOST": "127.0.0.1",
        "EDGEAGENT_BROKER_PORT": str(broker),
    }
    command = [
        "node",
        str(package / "node_modules/node-red/red.js"),
        "-u",
        str(folder),
        "-s",
        str(folder / "settings.js"),
    ]
    heard = Ear()
    heard.patience_s = 60.0
    with program(command, heard, env=environment):
        heard.wait(lambda line: "Connected to broker" in line)
        yield port
    assert not [line for line in heard.items if "[error]" in line or "[warn] [function" in line]


@contextmanager
def listening(port: int) -> Iterator[Output]:
    with subscriber(port, "node-red/edgeagent/#") as ear:
        output = Output()
        output.items, output._changed = ear.items, ear._changed  # the same lines, with a reader of its own
        yield output


def say(link: MqttLink, topic: str, **changes: object) -> None:
    wire = {**json.loads(encode(examples()[topic])), **changes}
    link.publish(topic, json.dumps(wire).encode(), qos=1, retain=False)


def until_subscribed(link: MqttLink, output: Output) -> None:
    """The flow's subscriptions are in place once a retained status has come through."""
    link.publish(TOPICS.status, encode(examples()[TOPICS.status]), qos=1, retain=True)
    output.next("devices", device="gate-07", state="degraded")


def test_the_flow_tells_who_is_there_alarms_and_slow_pipelines(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, port), listening(port) as output, running(settings(port, will=None)) as (link, _):
        with node_red(tmp_path / "red", port):
            until_subscribed(link, output)
            say(link, TOPICS.status, state="lost", session="3f2a9c1e-3")  # a stale will: not told
            say(link, TOPICS.status, state="lost")
            assert output.next("devices")["state"] == "lost"

            say(link, TOPICS.alarm("hot"))
            raised = output.next("alarms", type="hot")
            assert (raised["state"], raised["severity"]) == ("raised", "warning")
            link.publish(TOPICS.alarm("hot"), b"", qos=1, retain=True)
            assert output.next("alarms", type="hot")["state"] == "cleared"

            summary = TOPICS.summary("yard", "people")
            say(link, summary)
            row = output.next("pipelines")
            assert (row["device"], row["pipeline"], row["fps"], row["lat_p95_ms"]) == ("gate-07", "people", 24.8, 44.9)
            say(link, summary, fps=3.0)
            assert output.next("slow", slow=True)["fps"] == 3.0
            say(link, summary)
            assert output.next("slow")["slow"] is False

            say(link, TOPICS.job("0f6c2d1e-build"))
            assert output.next("jobs", id="0f6c2d1e-build")["percent"] == 41.5


def test_its_command_is_one_that_a_device_understands(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, port), listening(port) as output, running(settings(port, will=None)) as (link, _):
        with subscriber(port, "edgeagent/v1/plant-2/gate-07/cmd/#") as told, node_red(tmp_path / "red", port) as red:
            until_subscribed(link, output)
            request = urllib.request.Request(f"http://127.0.0.1:{red}/inject/edgeagent-inject", method="POST")
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 200
            topic, _qos, retained, body = told.wait(lambda line: "/cmd/" in line and "{" in line).split(" ", 3)
            assert (topic, retained) == ("edgeagent/v1/plant-2/gate-07/cmd/doctor", "0")
            command = parse_command(body.encode())
            assert command.by == "node-red"
            assert command.deadline_ts is not None


def test_it_consumes_a_real_agent(tmp_path: Path) -> None:
    port, family = free_port(), Family()
    board = virtual_board(tmp_path)
    config = write_config(tmp_path / "config.toml", port, tmp_path / "state", board)
    with plant(board), mosquitto(tmp_path, port), listening(port) as output, watching(port):
        with node_red(tmp_path / "red", port, DEVICE, FLEET), agent(config, family):
            assert output.next("devices", state="init")["device"] == DEVICE
            row = output.next("pipelines", pipeline="parts")
            assert row["camera"] == "belt"
            assert row["fps"] >= 0
