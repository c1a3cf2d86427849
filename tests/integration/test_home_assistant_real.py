"""Home Assistant itself finds a real agent over MQTT discovery, follows its changes, and loses it again.

Needs an interpreter that can import homeassistant 2024.12 or later (with paho-mqtt), named by
EDGEAGENT_HOMEASSISTANT_PYTHON: it wants a Python of its own, and brings a hundred packages.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_kit import DEVICE, FLEET, WAIT_S, Family, agent, plant, virtual_board, write_config
from test_link_kit import Ear, free_port, mosquitto, needs_mosquitto

PYTHON = os.environ.get("EDGEAGENT_HOMEASSISTANT_PYTHON", "")
CHILD = Path(__file__).parents[1] / "children" / "home_assistant.py"
pytestmark = [
    needs_mosquitto,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PYTHON, reason="EDGEAGENT_HOMEASSISTANT_PYTHON names no interpreter with homeassistant"),
]


class Shown(Ear):
    """What Home Assistant shows: `state` waits for an entity's state that fits."""

    patience_s = WAIT_S

    def ever(self, entity: str, *wanted: str | None) -> dict[str, Any]:
        """A state that it had, or will have: one of `wanted`, or any number. Order between entities is not promised."""
        self._next = 0
        return self.from_now(entity, *wanted)

    def from_now(self, entity: str, *wanted: str | None) -> dict[str, Any]:
        """The same, after what was waited for or marked last."""
        return dict(self.wait(lambda said: said.get("entity") == entity and _fits(said["state"], wanted)))

    @property
    def registry(self) -> list[str]:
        """The entities that it knew at its end."""
        return next(said["registry"] for said in reversed(self.items) if "registry" in said)

    def mark(self) -> None:
        self._next = len(self.items)


def _fits(state: str | None, wanted: tuple[str | None, ...]) -> bool:
    return state in wanted if wanted else _is_number(state)


def _is_number(state: str | None) -> bool:
    try:
        return state is not None and float(state) == float(state)
    except ValueError:
        return False


@contextmanager
def home_assistant(folder: Path, broker: int) -> Iterator[Shown]:
    """Running and listening; at its end it tells what it knew."""
    folder.mkdir(exist_ok=True)
    shown = Shown()
    command = [PYTHON, str(CHILD), str(folder), str(broker), str(free_port())]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    output = process.stdout
    assert output is not None
    reader = threading.Thread(target=lambda: [shown(json.loads(line)) for line in output if line.startswith("{")])
    reader.start()
    try:
        shown.wait(lambda said: said.get("ready", False))
        yield shown
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(WAIT_S)
        reader.join(WAIT_S)
        output.close()


def test_home_assistant_finds_follows_and_loses_a_device(tmp_path: Path) -> None:
    port, family = free_port(), Family()
    board = virtual_board(tmp_path)
    state = tmp_path / "state"
    tables: dict[str, Any] = {"home_assistant": {"discovery": True}}
    config = write_config(tmp_path / "config.toml", port, state, board, **tables)
    with plant(board), mosquitto(tmp_path, port), home_assistant(tmp_path / "ha", port) as shown:
        with agent(config, family) as process:
            assert shown.ever("sensor.bench_1_temperature")["unit"] == "°C"
            assert shown.ever("sensor.bench_1_parts_on_belt_results")["name"] == "bench-1 parts on belt: results"
            shown.ever("binary_sensor.bench_1_camera_belt", "off")
            shown.ever("binary_sensor.bench_1_alarm_hot", "off")
            shown.mark()
            process.terminate()
            shown.from_now("sensor.bench_1_temperature", "unavailable")
            process.wait(WAIT_S)

        moved = config.read_text().replace("[cameras.belt]", "[cameras.gate]").replace('"belt"', '"gate"')
        config.write_text(moved)
        shown.mark()
        with agent(config, family):
            shown.from_now("binary_sensor.bench_1_camera_belt", None)
            shown.ever("binary_sensor.bench_1_camera_gate", "off")

        config.write_text(moved.replace("discovery = true", "discovery = false"))
        shown.mark()
        with agent(config, family):
            shown.from_now("sensor.bench_1_temperature", None)
    assert [each for each in shown.registry if each.startswith(f"edgeagent-{FLEET}-{DEVICE}-")] == []


def test_one_that_starts_later_finds_all_that_there_is(tmp_path: Path) -> None:
    port, family = free_port(), Family()
    board = virtual_board(tmp_path)
    tables: dict[str, Any] = {"home_assistant": {"discovery": True}}
    config = write_config(tmp_path / "config.toml", port, tmp_path / "state", board, **tables)
    with plant(board), mosquitto(tmp_path, port), agent(config, family):
        for _ in range(2):  # the second time it has a memory of its own
            with home_assistant(tmp_path / "ha", port) as shown:
                shown.ever("sensor.bench_1_temperature")
                shown.ever("binary_sensor.bench_1_alarm_hot", "off")
            assert f"edgeagent-{FLEET}-{DEVICE}-thermal_temp_max_c" in shown.registry
