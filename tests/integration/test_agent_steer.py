"""A steered build as the fleet sees it: a real agent, its helper, a virtual Orin Nano whose heat a test makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agent_kit import Family, Watcher, agent, watching, write_config
from test_agent_power import a_board, helper
from test_link_kit import free_port, mosquitto, needs_mosquitto

from edgeagent.engine.store import EngineStore
from edgeagent.fleet.measurements import GovernorMeasurement
from edgeagent.fleet.results import Event
from edgeagent.fleet.states import EngineState, Health, Info
from edgeagent.simulate.board import VirtualBoard

pytestmark = [needs_mosquitto, pytest.mark.slow, pytest.mark.timeout(240)]
FRAMES = {"calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.0}


@contextmanager
def building(folder: Path, board: VirtualBoard, family: Family, **power: object) -> Iterator[Watcher]:
    """A broker, and an agent that builds an engine on that board."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    settings = {"helper_socket": str(folder / "power.sock"), "sample_interval_s": 0.2, **power}
    config = write_config(
        folder / "config.toml", port, board.root / "var/lib/edgeagent", board.root, power=settings, engines=FRAMES
    )
    with mosquitto(folder, port), watching(port) as watcher, agent(config, family):
        yield watcher


def set_heat(board: VirtualBoard, celsius: float) -> None:
    """What the sensor of the cores shows from now on."""
    for zone in (board.root / "sys/class/thermal").glob("thermal_zone*"):
        if (zone / "type").read_text().strip() == "cpu-thermal":
            (zone / "temp").write_text(f"{round(celsius * 1000)}\n")


def is_ready(state: EngineState) -> bool:
    return state.state == "ready"


def manifests(board: VirtualBoard) -> list[dict]:
    store = EngineStore(board.root / "var/lib/edgeagent/engines")
    return [manifest.model_dump(mode="json") for manifest in store.entries()]


def test_a_build_waits_for_headroom_and_says_so(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    set_heat(board, 95.5)
    with building(tmp_path, board, Family()) as watcher:
        event = watcher.message(Event, lambda e: e.type == "engine-waiting")
        assert event.facts["code"] == "hot" and "cpu-thermal is at 95.5 C" in event.text
        watcher.ever(EngineState, lambda s: s.state == "waiting" and "a build starts below 90 C" in s.reason)
        watcher.ever(Health, lambda h: any(c.name == "governor" and c.health == "degraded" for c in h.components))
        set_heat(board, 50.0)
        watcher.message(EngineState, lambda s: s.state in ("collecting", "building") and s.duty is not None)
        measured = watcher.ever(GovernorMeasurement, lambda m: m.build_duty is not None)
        assert measured.set_point_c == 91.0 and measured.headroom_c > 40
        watcher.message(EngineState, is_ready)
    (manifest,) = manifests(board)
    assert any(step.endswith("(hot)") for step in manifest["build"]["steering"]["before"])


def test_a_build_that_gets_too_hot_stands_still_with_the_reason_and_ends_all_the_same(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    set_heat(board, 50.0)
    with building(tmp_path, board, Family()) as watcher:
        watcher.message(EngineState, lambda s: s.state == "collecting" and s.duty is not None)
        set_heat(board, 97.0)
        paused = watcher.message(Event, lambda e: e.type == "build-paused")
        assert "cpu-thermal is 6.0 C above its set point of 91 C" in paused.text
        state = watcher.ever(EngineState, lambda s: s.duty == 0.0)
        assert state.level in ("hot", "critical") and "at a standstill: cpu-thermal" in state.phase
        assert state.reason.startswith("cpu-thermal is")
        set_heat(board, 50.0)
        watcher.message(EngineState, is_ready)
    (manifest,) = manifests(board)
    steering = manifest["build"]["steering"]
    assert steering["least_headroom_c"] == pytest.approx(2.0) and steering["mean_duty"] < 1
    assert manifest["build"]["paused_s"] > 0 and steering["paced_by"] == ["signals"]


def test_the_fan_goes_up_for_a_build_and_the_operators_intent_comes_back(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    set_heat(board, 50.0)
    with helper(board, tmp_path / "power.sock"), building(tmp_path, board, Family(), intent="balanced") as watcher:
        event = watcher.message(Event, lambda e: e.type == "build-prepared")
        assert "cool" in event.text
        watcher.ever(Info, lambda i: i.power is not None and (i.power.intent, i.power.fan) == ("build", "cool"))
        watcher.message(EngineState, is_ready)
        watcher.message(Info, lambda i: i.power is not None and (i.power.intent, i.power.fan) == ("balanced", "quiet"))
    (manifest,) = manifests(board)
    assert manifest["build"]["steering"]["before"][0].startswith("power intent build: ")


def test_an_agent_killed_in_a_build_brings_the_fan_back_when_it_starts_again(tmp_path: Path) -> None:
    """No intent is set: nobody but the agent knows that the fan was turned up."""
    board, family = a_board(tmp_path), Family()
    set_heat(board, 50.0)
    memory = board.root / "var/lib/edgeagent/power.json"
    with helper(board, tmp_path / "power.sock"):
        with building(tmp_path, board, family) as watcher:
            watcher.message(Event, lambda e: e.type == "build-prepared")
            watcher.message(EngineState, lambda s: s.state in ("collecting", "building") and s.duty is not None)
        assert json.loads(memory.read_text())["found"] is not None
        with building(tmp_path, board, family) as watcher:
            watcher.message(EngineState, is_ready)
            watcher.message(GovernorMeasurement, lambda m: json.loads(memory.read_text())["found"] is None)
