"""The dashboards' tables over MQTT, on a real agent: switched on and off while it runs. No camera restarts for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from agent_kit import DEVICE, FLEET, Family, agent, plant, virtual_board, watching, write_config
from test_link_kit import free_port, mosquitto, needs_mosquitto, running, settings, subscriber

from edgeagent.fleet.inbound import desired_topic
from edgeagent.fleet.messages import CameraMeasurement, ConfigReported, Summary
from edgeagent.fleet.topics import Topics

pytestmark = needs_mosquitto
TOPIC = f"homeassistant/device/edgeagent-{FLEET}-{DEVICE}/config"


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_they_are_switched_on_and_off_while_it_runs(tmp_path: Path) -> None:
    port, target, family = free_port(), free_port(), Family()
    board = virtual_board(tmp_path)
    config = write_config(tmp_path / "config.toml", port, tmp_path / "state", board)
    desired = desired_topic(Topics(FLEET, DEVICE))
    with plant(board), mosquitto(tmp_path, port), watching(port) as watcher, agent(config, family):
        with running(settings(port, client_id="operator", will=None)) as (link, _), subscriber(port, TOPIC) as home:
            watcher.ever(Summary, lambda summary: summary.fps > 0)

            def wish(version: int, **tables: object) -> None:
                document = {"version": version, "config": tables, "trial_s": 1}
                link.publish(desired, json.dumps(document).encode(), qos=1, retain=True)
                watcher.ever(ConfigReported, lambda said: said.version == version and said.state == "committed")

            wish(1, metrics={"prometheus_port": target}, home_assistant={"discovery": True})
            announced = home.wait(lambda line: line.startswith(TOPIC) and "components" in line).split(" ", 3)
            assert "camera_belt" in json.loads(announced[3])["components"]
            exposed = metrics(target)
            assert f'device="{DEVICE}"' in exposed
            assert 'edgeagent_component_health{component="metrics"} 0.0' in exposed

            wish(2)
            home.wait(lambda line: line.split(" ")[0] == TOPIC and line.endswith(" "))
            with pytest.raises(urllib.error.URLError):
                metrics(target)
            assert watcher.message(CameraMeasurement).restarts == 0
