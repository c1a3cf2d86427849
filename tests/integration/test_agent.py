"""The whole agent with real children, a virtual Orin Nano and a real mosquitto."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jsonschema
import pytest
from agent_kit import Family, agent, entries, running, shared_memory, virtual_board, watching, write_config
from test_link_kit import free_port, mosquitto, needs_mosquitto

from edgeagent.fleet.measurements import AgentMeasurement, CameraMeasurement, Summary, ThermalMeasurement
from edgeagent.fleet.messages import json_schemas
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.states import EngineState, Health, Info, Status

pytestmark = [needs_mosquitto, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by this module's tests: the engine is built once, by whichever test comes first."""
    return tmp_path_factory.mktemp("state")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size; skips the test where none may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_everything_on_the_wire_validates_against_the_schemas(tmp_path: Path, state_dir: Path) -> None:
    with running(tmp_path, state_dir) as (watcher, _):
        watcher.message(Result)
        watcher.message(Summary, lambda s: s.results > 0 and s.lat_p99_ms is not None)
        watcher.message(ThermalMeasurement)
        watcher.message(CameraMeasurement, lambda c: c.fps > 0 and c.state == "running")
        watcher.message(AgentMeasurement)
        seen = list(watcher.items)
    schemas = json_schemas()
    names = set()
    for topic, _, payload in seen:
        if payload:
            document = json.loads(payload)
            jsonschema.validate(document, schemas[document["schema"]])
            names.add(document["schema"].split("/")[0].removeprefix("edgeagent."))
            assert topic.startswith("edgeagent/v1/lab/bench-1/")
    wanted = {"status", "info", "health", "engine", "result", "summary", "camera"}
    assert wanted | {f"measurement.{group}" for group in ("thermal", "power", "cpu", "memory", "agent")} <= names


def test_the_agent_says_who_it_is_and_that_it_is_ready(tmp_path: Path, state_dir: Path) -> None:
    with running(tmp_path, state_dir) as (watcher, _):
        first = watcher.message(Status)
        assert first.state == "init"
        info = watcher.message(Info, lambda i: i.pipelines and i.pipelines[0].engine and i.cameras[0].width)
        ready = watcher.ever(Status, lambda s: s.state == "ready")
    assert info.module.name == "Jetson Orin Nano 8GB"
    assert (info.cameras[0].width, info.cameras[0].height) == (640, 480)
    assert ready.session == first.session


def test_the_second_start_takes_the_engine_from_the_store(tmp_path: Path, state_dir: Path) -> None:
    with running(tmp_path, state_dir) as (watcher, _):
        built = watcher.message(EngineState, lambda e: e.state == "ready")
    (tmp_path / "again").mkdir()
    with running(tmp_path / "again", state_dir) as (watcher, _):
        found = watcher.message(EngineState, lambda e: e.state == "ready")
    assert found.from_store is True
    assert found.key == built.key
    assert found.agreement is not None


@pytest.mark.parametrize("program", ["capture_child", "infer_child"])
def test_a_killed_child_comes_back_and_the_health_tells_it(tmp_path: Path, state_dir: Path, program: str) -> None:
    with running(tmp_path, state_dir) as (watcher, family):
        watcher.message(Status, lambda s: s.state == "ready")
        before = watcher.message(Result)
        os.kill(family.pid_of(program), signal.SIGKILL)
        ill = watcher.message(Health, lambda h: h.overall != "ok")
        assert any("SIGKILL" in component.reason for component in ill.components)
        watcher.message(Health, lambda h: h.overall == "ok")
        after = watcher.message(Result, lambda r: r.ts > ill.ts)
    assert after.frame > before.frame


def test_a_frozen_child_is_noticed_and_replaced(tmp_path: Path, state_dir: Path) -> None:
    source = {"type": "synthetic", "stall_timeout_s": 1.0}
    with running(tmp_path, state_dir, cameras__belt={"source": source}) as (watcher, family):
        watcher.message(Status, lambda s: s.state == "ready")
        frozen = family.pid_of("capture_child")
        os.kill(frozen, signal.SIGSTOP)
        watcher.message(Health, lambda h: any("said nothing" in c.reason for c in h.components))
        watcher.message(Health, lambda h: h.overall == "ok")
        assert frozen not in family.members()


def test_a_killed_build_is_told_and_tried_again(tmp_path: Path) -> None:
    with running(tmp_path, tmp_path / "state") as (watcher, family):
        watcher.message(EngineState, lambda e: e.state == "building")
        os.kill(family.pid_of("engine.build.child"), signal.SIGKILL)
        failed = watcher.message(EngineState, lambda e: e.state == "failed")
        assert "killed" in failed.reason
        watcher.ever(Event, lambda e: e.type == "engine-failed")
        ready = watcher.message(EngineState, lambda e: e.state == "ready")
        assert ready.key
        watcher.message(Result)
    left = entries(tmp_path / "state")
    assert left == [ready.key] or any(name.startswith(".new-") for name in left)


def test_killing_the_agent_leaves_no_process_and_the_will_speaks(tmp_path: Path, state_dir: Path) -> None:
    shared_before = shared_memory()
    port, family = free_port(), Family()
    board = virtual_board(tmp_path)
    mqtt = {"url": f"mqtt://127.0.0.1:{port}", "protocol": "3.1.1"}
    config = write_config(tmp_path / "config.toml", port, state_dir, board, mqtt=mqtt)
    with mosquitto(tmp_path, port), watching(port) as watcher, agent(config, family) as process:
        watcher.message(Status, lambda s: s.state == "ready")
        assert {part for part in ("capture_child", "infer_child") if family.pid_of(part)}
        process.kill()
        family.wait_gone()
        lost = watcher.message(Status, lambda s: s.state == "lost")
    assert lost.session
    assert shared_memory() <= shared_before


def test_a_stopped_agent_says_so_and_leaves_nothing(tmp_path: Path, state_dir: Path) -> None:
    port, family = free_port(), Family()
    config = write_config(tmp_path / "config.toml", port, state_dir, virtual_board(tmp_path))
    with mosquitto(tmp_path, port), watching(port) as watcher, agent(config, family) as process:
        watcher.message(Status, lambda s: s.state == "ready")
        process.terminate()
        assert process.wait(timeout=30) == 0
        family.wait_gone()
        words = [watcher.message(Status).state for _ in range(2)]
    assert words == ["stopping", "stopped"]


def test_the_agent_outlives_its_broker(tmp_path: Path, state_dir: Path) -> None:
    port, family = free_port(), Family()
    config = write_config(tmp_path / "config.toml", port, state_dir, virtual_board(tmp_path))
    with agent(config, family):
        with mosquitto(tmp_path, port), watching(port) as watcher:
            watcher.message(Status, lambda s: s.state == "ready")
        with mosquitto(tmp_path, port), watching(port) as watcher:
            watcher.message(Status, lambda s: s.state == "ready")
            watcher.message(Info)
            watcher.message(EngineState, lambda e: e.state == "ready")
            watcher.message(Result)


def test_one_camera_that_does_not_exist_leaves_the_other_alone(tmp_path: Path, state_dir: Path) -> None:
    ghost = {"source": {"type": "v4l2", "device": "/dev/video99"}}
    with running(tmp_path, state_dir, cameras__ghost=ghost) as (watcher, _):
        failed = watcher.message(Event, lambda e: e.type == "camera-failed")
        assert failed.text.startswith("camera ghost: there is no device /dev/video99")
        watcher.message(Result, lambda r: r.camera == "belt")
        health = watcher.ever(Health, lambda h: any(c.name == "camera/ghost" for c in h.components))
        words = {component.name: component.health for component in health.components}
    assert words["camera/ghost"] == "failed"
    assert words.get("camera/belt", "ok") == "ok"


def test_a_bundle_that_is_gone_costs_its_own_pipeline_only(tmp_path: Path, state_dir: Path) -> None:
    tables = {
        "models__gone": {"path": "/nowhere/bundle"},
        "pipelines__ghosts": {"camera": "belt", "model": "gone"},
    }
    with running(tmp_path, state_dir, **tables) as (watcher, _):
        failed = watcher.ever(EngineState, lambda e: e.pipeline == "ghosts" and e.state == "failed")
        watcher.ever(Result, lambda r: r.pipeline == "parts")
        watcher.ever(Health, lambda h: any(c.name == "engine/ghosts" and c.health == "failed" for c in h.components))
    assert "no model bundle at /nowhere/bundle" in failed.reason


def test_a_sensor_that_says_the_impossible_takes_nobody_along(tmp_path: Path, state_dir: Path) -> None:
    with running(tmp_path, state_dir) as (watcher, _):
        watcher.message(ThermalMeasurement)
        for current in (tmp_path / "board").rglob("curr*_input"):
            current.unlink()
            current.write_text("-2000\n")
        seen = watcher.message(ThermalMeasurement, lambda m: m.seq >= 3)
        watcher.ever(Result, lambda r: r.ts > seen.ts)


def test_a_text_file_named_onnx_is_told_in_one_line(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    sample = Path(sys.modules["edgeagent"].__file__ or "").parent / "simulate" / "sample_model"
    shutil.copy(sample / "model.toml", bundle)
    (bundle / "conveyor.onnx").write_text("these are not the weights you are looking for\n")
    tables = {"models__conveyor": {"path": str(bundle)}}
    with running(tmp_path, tmp_path / "state", **tables) as (watcher, _):
        failed = watcher.message(EngineState, lambda e: e.state == "failed")
        watcher.message(CameraMeasurement, lambda c: c.fps > 0)
    assert "conveyor.onnx is no valid ONNX model" in failed.reason
    assert "\n" not in failed.reason
    assert entries(tmp_path / "state") == []


def test_a_full_disk_holds_the_build_and_is_told_while_the_camera_runs_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "4m") as state:  # room for the agent's own small files
        with running(tmp_path, state) as (watcher, _):
            held = watcher.message(EngineState, lambda e: e.state == "waiting" and e.reason)
            event = watcher.ever(Event, lambda e: e.type == "engine-waiting")
            ill = watcher.ever(
                Health, lambda h: any(c.name == "engine/parts" and "disk" in c.reason for c in h.components)
            )
            watcher.message(CameraMeasurement, lambda c: c.fps > 0 and c.ts > held.ts)
        assert re.match(r"the disk has [1-4] MB free, and a build wants \d+ MB", held.reason)
        assert "free some space" in held.reason
        assert event.facts["code"] == "disk_full"
        assert next(c.health for c in ill.components if c.name == "engine/parts") == "degraded"
        assert entries(state) == []


def test_a_disk_that_fills_during_the_build_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    engines = {"min_disk_free_mb": 0, "calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.0}
    with small_disk(tmp_path / "small", "16m") as state, running(tmp_path, state, engines=engines) as (watcher, _):
        watcher.message(EngineState, lambda e: e.state == "collecting")
        with suppress(OSError), (state / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(1 << 16)):
                pass
        failed = watcher.message(EngineState, lambda e: e.state == "failed")
        event = watcher.ever(Event, lambda e: e.type == "engine-failed")
        watcher.message(CameraMeasurement, lambda c: c.fps > 0 and c.ts > failed.ts)
        assert "the disk is full" in failed.reason
        assert event.facts["code"] == "disk_full"
        assert event.facts["final"] is False
        assert entries(state) == []
        (state / "filler").unlink()
        watcher.message(EngineState, lambda e: e.state == "ready")


def test_the_agent_imports_nothing_heavy() -> None:
    code = (
        "import sys, edgeagent.app.agent, edgeagent.app.logs, edgeagent.config.files\n"
        "print([m for m in ('cv2', 'numpy', 'onnx', 'onnxruntime', 'amqtt', 'tensorrt') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
