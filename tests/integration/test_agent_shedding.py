"""A hot virtual board under a whole agent: pipelines give up what their ladders say, and get it back."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_kit import Family, Watcher, agent, watching, write_config
from test_agent_power import helper
from test_link_kit import free_port, mosquitto, needs_mosquitto

from edgeagent.fleet.measurements import CameraMeasurement, Summary
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.states import EngineState, Health, Info, Shedding
from edgeagent.simulate.board import VirtualBoard, make_board

pytestmark = [needs_mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]

SMALL = {"source": {"type": "synthetic", "width": 320, "height": 240, "fps": 10.0}}
TWO: dict[str, Mapping[str, Any]] = {
    "cameras__belt": SMALL,
    "cameras__door": SMALL,
    "pipelines__parts": {"camera": "belt", "model": "conveyor", "critical": True},
    "pipelines__people": {"camera": "door", "model": "conveyor"},
    "engines": {"precision": "fp32", "calibration_interval_s": 0.0, "calibration_frames": 16, "holdout_frames": 4},
    "power": {"sample_interval_s": 0.5},
    "thermal": {"restore_after_s": 5.0},
}
HELL, WINTER = {"ambient_c": 110, "cpu": 1.0, "gpu": 1.0}, {"ambient_c": 0, "cpu": 0.0, "gpu": 0.0}


@contextmanager
def quick_plant(board: VirtualBoard) -> Iterator[None]:
    """The board's heat, twenty times as fast as it would be."""
    command = [sys.executable, "-m", "edgeagent.simulate.plant_child", "--root", str(board.root), "--accelerate", "20"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.terminate()


def weather(board: VirtualBoard, load: Mapping[str, float]) -> None:
    fresh = board.root / "load.new"
    fresh.write_text(json.dumps(load))
    fresh.rename(board.root / "load.json")


@contextmanager
def running(folder: Path, state: Path, **tables: Mapping[str, Any]) -> Iterator[tuple[Watcher, Family, VirtualBoard]]:
    folder.mkdir(exist_ok=True)
    port, family = free_port(), Family()
    board = make_board("orin-nano", folder / "board", seed=1)
    (board.root / "proc/uptime").write_text("4000.00 4000.00\n")
    weather(board, WINTER)
    config = write_config(folder / "config.toml", port, state, board.root, **{**TWO, **tables})
    with quick_plant(board), mosquitto(folder, port), watching(port) as watcher, agent(config, family):
        watcher.patience_s = 150.0  # the governor allows more again slowly
        yield watcher, family, board


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a device that has its engine. Copied by each test, changed by none."""
    place = tmp_path_factory.mktemp("built")
    with running(place, place / "state") as (watcher, _, _):
        watcher.ever(Result, lambda r: r.pipeline == "parts")
        watcher.ever(Result, lambda r: r.pipeline == "people")
    return place / "state"


@pytest.fixture
def state(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "state"))


def both_serve(watcher: Watcher) -> None:
    for name in ("parts", "people"):
        watcher.ever(Result, lambda r, name=name: r.pipeline == name)


def step(kind: str, pipeline: str, text: str):
    return lambda e: e.type == kind and e.facts["pipeline"] == pipeline and e.facts["step"] == text


LADDER = [
    ("people", "rate 50%"),
    ("people", "rate 25%"),
    ("people", "pause"),
    ("parts", "rate 50%"),
    ("parts", "rate 25%"),
]


def gaps(results: list[Result]) -> list[int]:
    return [after.frame - before.frame for before, after in itertools.pairwise(results)]


def test_heat_takes_from_the_others_first_and_leaves_the_critical_one_its_floor(tmp_path: Path, state: Path) -> None:
    with running(tmp_path / "run", state) as (watcher, family, board):
        both_serve(watcher)
        weather(board, HELL)
        paused = watcher.ever(Shedding, lambda s: s.pipeline == "people" and s.state == "paused")
        floor = watcher.ever(Shedding, lambda s: s.pipeline == "parts" and s.share_percent == 25.0)
        watcher.ever(Health, lambda h: any(c.name == "pipeline/parts" and c.health == "degraded" for c in h.components))
        quiet = watcher.ever(Summary, lambda s: s.pipeline == "people" and s.ts > paused.ts + 3000)
        slow = watcher.ever(CameraMeasurement, lambda c: c.camera == "door" and c.ts > paused.ts + 3000)
        low = [watcher.message(Result, lambda r: r.pipeline == "parts" and r.ts > floor.ts + 2000) for _ in range(4)]
        os.kill(family.pid_of("infer_child"), signal.SIGKILL)
        watcher.message(Event, lambda e: e.type == "infer-failed")
        again = [watcher.message(Result, lambda r: r.pipeline == "parts") for _ in range(4)]
        weather(board, WINTER)
        for name, text in LADDER[::-1]:
            watcher.ever(Event, step("restored", name, text))
        for name in ("people", "parts"):
            free = watcher.ever(Shedding, lambda s, name=name: s.pipeline == name and s.state == "full" and s.seq > 1)
        full = [watcher.message(Result, lambda r: r.pipeline == "parts" and r.ts > free.ts + 2000) for _ in range(4)]
        orders = [item[1] for item in watcher.items if isinstance(item[1], Event)]
    shed = [(e.facts["pipeline"], e.facts["step"]) for e in orders if e.type == "shed"]
    back = [(e.facts["pipeline"], e.facts["step"]) for e in orders if e.type == "restored"]
    assert shed == LADDER
    assert back == shed[::-1]
    assert all(e.facts["lasted_s"] > 0 for e in orders if e.type == "restored")
    assert (quiet.results, quiet.share_percent) == (0, 0.0) and quiet.shed_s > 3 and quiet.shed > 0
    assert quiet.dropped == 0
    assert slow.fps < 4 and slow.shed > 0 and slow.state == "running"
    assert gaps(low) == gaps(again) == [4, 4, 4], "every fourth frame, before and after the child was killed"
    assert gaps(full) == [1, 1, 1]
    assert any("placement dla" in line for line in paused.unavailable)
    assert "pause" not in floor.steps
    assert floor.code and floor.reason


def test_the_boards_power_is_lowered_without_a_reboot_and_raised_again(tmp_path: Path, state: Path) -> None:
    """7 W, which low-power means on this board, would want a reboot: the next one that does not is taken."""
    socket = tmp_path / "run" / "power.sock"
    tables = {
        "power": {"sample_interval_s": 0.5, "intent": "max-performance", "helper_socket": str(socket)},
        "pipelines__parts": {"camera": "belt", "model": "conveyor", "critical": True, "shed": ["power low-power"]},
        "pipelines__people": {"camera": "door", "model": "conveyor", "enabled": False},
    }

    def mode(name: str, intent: str):
        wanted = ("applied", name, intent)
        return lambda i: i.power is not None and (i.power.state, i.power.mode, i.power.intent) == wanted

    with running(tmp_path / "run", state, **tables) as (watcher, _, board), helper(board, socket):
        watcher.ever(Result)
        watcher.ever(Info, mode("MAXN_SUPER", "max-performance"))
        weather(board, HELL)
        watcher.ever(Event, step("shed", "parts", "power low-power"))
        lowered = watcher.ever(Info, mode("15W", "low-power"))
        state_now = watcher.ever(Shedding, lambda s: s.steps == ("power low-power",))
        weather(board, WINTER)
        watcher.ever(Event, step("restored", "parts", "power low-power"))
        raised = watcher.ever(Info, lambda i: mode("MAXN_SUPER", "max-performance")(i) and i.seq > lowered.seq)
        alarms = [topic for topic, _, payload in watcher.items if "/a/reboot" in topic and payload]
    assert lowered.power.fan == "cool"
    assert (state_now.state, state_now.share_percent) == ("shed", 100.0)
    assert raised.power.clocks == "lock"
    assert alarms == []


def test_a_smaller_model_that_is_ready_in_the_store_serves_while_it_is_hot(tmp_path: Path, state: Path) -> None:
    """The store's other model stands for a smaller one: another network, the same size of picture."""
    tiny = {"path": str(another_model(tmp_path / "tiny"))}
    people = {"camera": "door", "model": "tiny"}
    with running(tmp_path / "make", state, models__tiny=tiny, pipelines__people=people) as (watcher, _, _):
        small = watcher.ever(EngineState, lambda e: e.pipeline == "people" and e.state == "ready").key
    ladder = {"camera": "door", "model": "conveyor", "shed": ["model tiny"]}
    with running(tmp_path / "run", state, models__tiny=tiny, pipelines__people=ladder) as (watcher, _, board):
        own = watcher.ever(Result, lambda r: r.pipeline == "people")
        weather(board, HELL)
        lesser = watcher.ever(Result, lambda r: r.pipeline == "people" and r.model == "tiny")
        weather(board, WINTER)
        watcher.ever(Event, step("restored", "people", "model tiny"))
        back = watcher.message(Result, lambda r: r.pipeline == "people" and r.model == "conveyor")
        heard = [message for _, message, _ in watcher.items]
    models = [message.model for message in heard if isinstance(message, Result) and message.pipeline == "people"]
    built = [message for message in heard if isinstance(message, Event) and message.type == "engine-failed"]
    assert lesser.engine == small != own.engine == back.engine
    assert [name for name, _ in itertools.groupby(models)] == ["conveyor", "tiny", "conveyor"]
    assert built == []


def another_model(folder: Path) -> Path:
    """The sample model, its first weights a little smaller: another digest, the same detections."""
    import onnx
    from onnx import numpy_helper

    sample = Path(sys.modules["edgeagent"].__file__ or "").parent / "simulate" / "sample_model"
    folder.mkdir()
    shutil.copy(sample / "model.toml", folder)
    model = onnx.load(str(sample / "conveyor.onnx"))
    weights = next(each for each in model.graph.initializer if each.name == "stem1/conv.weight")
    smaller = (numpy_helper.to_array(weights) * 0.999).astype("float32")
    weights.CopyFrom(numpy_helper.from_array(smaller, weights.name))
    onnx.save(model, str(folder / "conveyor.onnx"))
    return folder
