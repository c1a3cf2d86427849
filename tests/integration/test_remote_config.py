"""Configs over MQTT against a real agent, real children and a real mosquitto: tried, kept, taken back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agent_kit import agent, command_line
from remote_kit import QUICK, Device, device, operator, until
from test_link_kit import mosquitto, needs_mosquitto, subscriber

from edgeagent.config.toml_text import toml_value
from edgeagent.desired_layer import MOST_VERSION
from edgeagent.fleet.answers import ConfigReported
from edgeagent.fleet.measurements import Summary
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.states import EngineState, Shedding

pytestmark = [needs_mosquitto, pytest.mark.timeout(180)]
Layer = dict[str, Any]
PARTS: Layer = {"camera": "belt", "model": "conveyor"}
DEAD: Layer = {"cameras": {"belt": {"source": {"type": "rtsp", "url": "rtsp://127.0.0.1:1/x", "open_timeout_s": 0.5}}}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with the engine in it."""
    folder = tmp_path_factory.mktemp("built")
    with device(folder / "device", folder / "state"):
        pass
    return folder


@pytest.fixture
def state_dir(built: Path, tmp_path: Path) -> Path:
    """One with the engine, and nothing else of another test's."""
    (tmp_path / "state").mkdir()
    shutil.copytree(built / "state" / "engines", tmp_path / "state" / "engines")
    shutil.copytree(built / "pictures", tmp_path / "pictures")  # with the times that their set is named after
    return tmp_path / "state"


def stored(it: Device, name: str) -> Any:
    return json.loads((it.state_dir / "config" / f"{name}.json").read_text())


CHANGES: list[tuple[str, Layer, set[str], set[str]]] = [
    # consequence, what is wished for beside what was wished for before, processes that are new, what is reported
    ("at-once", {"thermal": {"warn_headroom_c": 5.0}}, set(), set()),
    ("pipeline", {"pipelines": {"parts": {"max_results_per_s": 3.0}}}, set(), set()),
    ("shedding", {"pipelines": {"parts": {"priority": 7}}}, set(), set()),
    ("engine", {"engines": {"max_attempts": 2}}, set(), set()),
    ("power", {"power": {"max_repairs_per_hour": 5}}, set(), {"power"}),
    ("link", {"mqtt": {"keepalive_s": 20}}, set(), {"link"}),
    ("camera", {"cameras": {"belt": {"source": {"seed": 9}}}}, {"capture-belt"}, {"camera/belt"}),
    ("infer", {"engines": {"infer_threads": 2}}, {"infer-cpu"}, {"infer/cpu"}),
    (
        "a new camera",
        {
            "cameras": {"gate": {"source": {"type": "synthetic", "seed": 5, "fps": 10.0}}},
            "pipelines": {"second": {"camera": "gate", "model": "conveyor"}},
        },
        {"capture-gate", "infer-cpu"},
        {"camera/gate", "infer/cpu"},
    ),
    ("agent", {"power": {"helper_socket": "/run/other.sock"}}, {"capture-belt", "capture-gate", "infer-cpu"}, set()),
]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Layer:
    result = dict(below)
    for key, value in above.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, Mapping) else value
    return result


def test_only_what_the_table_says_is_started_anew(tmp_path: Path, state_dir: Path) -> None:
    allow = {**QUICK, "allow": ["power.helper_socket"]}
    with device(tmp_path, state_dir, remote=allow) as it:
        wished: Layer = {}
        for name, change, processes, told in CHANGES:
            before, wished = it.pids(), merged(wished, change)
            report = it.wish(wished)
            assert (report.state, report.ack, report.in_force) == ("committed", 200, it.version), (name, report)
            assert set(report.restarted) == told, name
            after = it.pids()
            assert {who for who in after if after[who] != before.get(who)} == processes, name
            assert before.keys() <= after.keys(), name
        assert it.watcher.message(Summary, lambda s: s.pipeline == "parts" and s.results > 0).fps < 4.5
        assert it.watcher.ever(Shedding, lambda s: s.priority == 7)
        assert it.watcher.message(Summary, lambda s: s.pipeline == "second" and s.results > 0)


def test_a_pipeline_that_goes_takes_its_retained_topics_along(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it, subscriber(it.port, "edgeagent/v1/lab/bench-1/#") as raw:
        gate = {"cameras": {"gate": {"source": {"type": "synthetic"}}}}
        assert it.wish({**gate, "pipelines": {"second": {"camera": "gate", "model": "conveyor"}}}).state == "committed"
        assert "capture-gate" in it.pids()
        assert it.wish({}).state == "committed"
        assert "capture-gate" not in it.pids()
        for topic in ("engine/second", "shedding/second"):
            raw.wait(
                lambda line, topic=topic: line.startswith(f"edgeagent/v1/lab/bench-1/{topic} ") and "{" not in line
            )
        with subscriber(it.port, "edgeagent/v1/lab/bench-1/+/second") as late:
            it.link.publish("edgeagent/v1/lab/bench-1/x/second", b"here", qos=1, retain=False)
            late.wait(lambda line: line.endswith("here"))
            assert not [line for line in late.items if " 1 " in line and "{" in line], "nothing of it is retained"


def test_versions_patches_and_what_comes_again(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it:
        assert it.watcher.ever(ConfigReported).state == "none"
        first = it.wish({"pipelines": {"parts": {"min_score": 0.5}}}, by="an operator")
        assert (first.state, first.by, first.desired) == (
            "committed",
            "an operator",
            {"pipelines": {"parts": {"min_score": 0.5}}},
        )
        patched = it.wish(base=1, patch={"pipelines": {"parts": {"iou": 0.4}}})
        assert patched.desired == {"pipelines": {"parts": {"min_score": 0.5, "iou": 0.4}}}
        assert patched.hash != first.hash
        late = it.wish(base=1, patch={"pipelines": {"parts": {"iou": 0.3}}})
        assert (late.state, late.ack, late.in_force, late.errors[0].path) == ("rejected", 400, 2, "base")
        it.publish({"version": 2, "config": {}})
        assert it.reported("ignored", 2).ack == 409
        it.publish({"version": MOST_VERSION, "config": {}})
        absurd = it.reported("ignored", MOST_VERSION)
        assert absurd.answered == 3 and "at most" in absurd.reason
        it.publish(b"")
        it.publish(b"{")
        assert "cannot be read" in it.reported("rejected", 0).reason
        taken = it.wish(base=2, patch={"pipelines": {"parts": {"min_score": None}}})
        assert taken.desired == {"pipelines": {"parts": {"iou": 0.4}}}
        shown = command_line("config", "show", str(it.config), family=it.family).stdout
        assert [line.split()[1:] for line in shown.splitlines() if line.startswith("pipelines.parts.iou")] == [
            ["0.4", "desired"]
        ]


def test_the_same_wish_again_is_answered_and_not_tried(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it:
        bad = it.wish(DEAD)
        assert bad.state == "rolled_back"
        events = len([item for item in it.watcher.items if isinstance(item[1], Event)])
        body = {"version": it.version, "config": DEAD}
        it.publish(body)  # what a broker does after every reconnect
        again = it.reported("rolled_back", it.version)
        assert (again.since_ts, again.reason, again.seq > bad.seq) == (bad.since_ts, bad.reason, True)
        kinds = [item[1].type for item in it.watcher.items if isinstance(item[1], Event)][events:]
        assert not [kind for kind in kinds if kind.startswith("config")]


def test_a_newer_wish_ends_a_trial(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it:
        it.version += 1
        it.publish({"version": 1, "trial_s": 600.0, "config": {"pipelines": {"parts": {"min_score": 0.5}}}})
        assert it.reported("trial", 1).ack == 202
        it.publish({"version": MOST_VERSION, "config": {}})  # for which the trial goes on
        assert it.wish({"pipelines": {"parts": {"iou": 0.4}}}).state == "committed"
        assert it.watcher.ever(Event, lambda e: e.type == "config-rolled-back" and "version 2 has come" in e.text)
        assert stored(it, "committed")["before"]["version"] == 0


def test_a_threshold_set_during_a_first_build_is_kept_and_the_engine_comes_with_it(tmp_path: Path) -> None:
    slow = {"calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.15}
    remote = {"trial_s": 1.0, "trial_limit_s": 5.0}
    with device(tmp_path / "run", tmp_path / "state", serves=False, engines=slow, remote=remote) as it:
        it.watcher.ever(EngineState, lambda engine: engine.state == "collecting")
        kept = it.wish({"pipelines": {"parts": {"min_score": 0.8}}})
        assert kept.state == "committed", kept.reason
        heard = {item[1].state for item in it.watcher.items if isinstance(item[1], EngineState)}
        assert "ready" not in heard, "its trial was over before there was an engine"
        it.watcher.message(EngineState, lambda engine: engine.state == "ready")
        found = it.watcher.message(Result, lambda result: result.detections)
        assert min(one.score for one in found.detections) >= 0.8


def test_what_degrades_a_component_is_taken_back(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it, closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        back = it.wish({"metrics": {"prometheus_port": port}})
        assert back.state == "rolled_back"
        assert back.reason.startswith("metrics is degraded") and str(port) in back.reason


def test_a_crash_during_a_trial_goes_back_without_a_network(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it:
        assert it.wish({"pipelines": {"parts": {"min_score": 0.5}}}).state == "committed"
        it.publish({"version": 2, "trial_s": 600.0, "config": {"mqtt": {"url": "mqtt://127.0.0.1:1"}}})
        until((it.state_dir / "config" / "trial.json").exists, "the trial is on the disk")
        it.version = 2
        os.kill(it.pids()["agent"], signal.SIGKILL)
        it.family.wait_gone()
        config, port, family = it.config, it.port, it.family
    with agent(config, family):  # no broker is there
        until(lambda: stored(it, "answered")["state"] == "rolled_back", "rolled back without a network")
        until(lambda: not (state_dir / "config" / "trial.json").exists(), "and the trial's file is gone")
        assert stored(it, "committed")["kept"]["version"] == 1
        with mosquitto(tmp_path, port), operator(port) as (watcher, _):
            it.watcher = watcher
            report = it.reported("rolled_back", 2)
            assert (report.in_force, report.desired) == (1, {"pipelines": {"parts": {"min_score": 0.5}}})
            assert "ended during the trial" in report.reason


def test_a_damaged_store_is_set_aside_and_told(tmp_path: Path, state_dir: Path) -> None:
    (state_dir / "config").mkdir()
    (state_dir / "config" / "committed.json").write_bytes(b"\0" * 100)
    with device(tmp_path, state_dir) as it:
        assert it.watcher.ever(Event, lambda e: e.type == "config-damaged")
        assert (state_dir / "config" / "committed.json.damaged").exists()
        assert it.wish({"pipelines": {"parts": {"iou": 0.4}}}).state == "committed"


def test_what_no_longer_fits_the_file_is_told_and_left_out(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it:
        assert it.wish({"pipelines": {"second": PARTS}}).state == "committed"
        text = it.config.read_text().replace("[cameras.belt]", "[cameras.other]").replace('"belt"', '"other"')
        it.config.write_text(text)
        os.kill(it.pids()["agent"], signal.SIGKILL)
        it.family.wait_gone()
        with agent(it.config, it.family):
            assert it.watcher.message(Event, lambda e: e.type == "config-misfit")
            report = it.watcher.ever(ConfigReported, lambda told: (told.state, told.version) == ("rejected", 1))
            assert (report.in_force, report.errors[0].path) == (0, "pipelines.second.camera")


def hang_up(it: Device) -> None:
    os.kill(it.pids()["agent"], signal.SIGHUP)


def test_the_devices_own_file_is_read_anew(tmp_path: Path, state_dir: Path) -> None:
    with device(tmp_path, state_dir) as it:
        before, good = it.pids(), it.config.read_text()
        it.config.write_text(good.replace("[cameras.belt]", "[cameras.belt]\nmin_fps = 1.0"))
        hang_up(it)
        assert "the device's file" in it.watcher.message(Event, lambda e: e.type == "config-committed").text
        it.config.write_text(good + "\n[nonsense]\n")
        hang_up(it)
        assert "nonsense" in it.watcher.message(Event, lambda e: e.type == "config-file-refused").text
        dead = good.replace(toml_value({"type": "synthetic"}), toml_value(DEAD["cameras"]["belt"]["source"]))
        assert dead != good
        it.config.write_text(dead)
        hang_up(it)
        taken_back = it.watcher.message(Event, lambda e: e.type == "config-rolled-back")
        assert "camera belt gives no frames" in taken_back.text
        after = it.pids()
        assert (after["agent"], after["infer-cpu"]) == (before["agent"], before["infer-cpu"])
        until(lambda: "capture-belt" in it.pids(), "the old camera is back")
