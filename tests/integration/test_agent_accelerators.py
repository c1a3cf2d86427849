"""GPU and DLA cores at the same time in a whole agent: who serves what, what a death takes along, what is moved."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_kit import Watcher, command_line, entries
from orin_kit import DLA, GPU, PLACES, accelerators, all_serve, be_an_orin, orin, orin_board, placed
from remote_kit import Device, until
from test_agent_shedding import HELL, WINTER, quick_plant, weather
from test_capture_kit import write_video
from test_link_kit import needs_mosquitto

from edgeagent.fleet.envelope import Message
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.states import EngineState, Health

pytestmark = [needs_mosquitto, pytest.mark.slow, pytest.mark.timeout(240)]
ALL = {"infer/gpu": "ok", "infer/dla0": "ok", "infer/dla1": "ok"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the state of a device that has built its engines. Copied by each test, changed by none."""
    place = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        be_an_orin(patch)
        with orin(place / "device", place / "state") as it:
            for name in PLACES:
                it.watcher.ever(EngineState, lambda e, name=name: e.pipeline == name and e.state == "ready")
    return place


@pytest.fixture
def state(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    be_an_orin(monkeypatch)
    (tmp_path / "state").mkdir()
    shutil.copytree(built / "state" / "engines", tmp_path / "state" / "engines")
    shutil.copytree(built / "pictures", tmp_path / "pictures")
    return tmp_path / "state"


def results(watcher: Watcher, pipeline: str) -> list[Result]:
    return [item[1] for item in watcher.items if isinstance(item[1], Result) and item[1].pipeline == pipeline]


def latest_accelerators(it: Device) -> dict[str, str]:
    """How the infer children are by the newest word."""
    return accelerators([item[1] for item in it.watcher.items if isinstance(item[1], Health)][-1])


def latest_place(it: Device, pipeline: str) -> str | None:
    """Where its engine's state says that it runs."""
    told = [item[1] for item in it.watcher.items if isinstance(item[1], EngineState) and item[1].pipeline == pipeline]
    return told[-1].accelerator


def is_ready(pipeline: str) -> Callable[[EngineState], bool]:
    return lambda engine: engine.pipeline == pipeline and engine.state == "ready"


def runs(pipeline: str, on: str = "") -> Callable[[EngineState], bool]:
    """On `on`, or anywhere."""
    return lambda told: is_ready(pipeline)(told) and told.accelerator is not None and on in ("", told.accelerator)


def on_other(pipeline: str, engine: str) -> Callable[[Result], bool]:
    return lambda result: result.pipeline == pipeline and result.engine != engine


def told_ok(status: str) -> dict[str, Any] | None:
    """The status where every accelerator is well. There may be none yet."""
    said: dict[str, Any] = json.loads(status or '{"state": "", "components": {}}')
    told = {name: one["health"] for name, one in said["components"].items() if name.startswith("infer/")}
    return said if told == ALL and said["state"] == "ready" else None


def is_event(said: Message | None, kind: str) -> bool:
    return isinstance(said, Event) and said.type == kind


def in_order(it: Device) -> bool:
    """No pipeline looked at a frame twice, or at an older one."""
    frames = [[result.frame for result in results(it.watcher, name)] for name in PLACES]
    return all(before < after for one in frames for before, after in itertools.pairwise(one))


def test_each_accelerator_has_a_child_and_each_pipeline_its_engine(tmp_path: Path, state: Path) -> None:
    with orin(tmp_path / "device", state) as it:
        served = all_serve(it)
        it.watcher.ever(Health, lambda h: accelerators(h) == ALL and h.overall == "ok")
        engines = {name: it.watcher.ever(EngineState, runs(name)) for name in PLACES}
        children = {name for name in it.pids() if name.startswith("infer")}
        status = ("status", "--json", "--run-dir", str(it.config.parent / "run"))
        said = until(lambda: told_ok(command_line(*status, family=it.family).stdout), "status tells all three")
        root = ("--root", str(it.config.parent / "board"))
        doctor = command_line("doctor", "--json", "--config", str(it.config), *root, family=it.family)
    assert {name: engine.placement for name, engine in engines.items()} == PLACES
    assert {name: engine.accelerator for name, engine in engines.items() if engine.placement != DLA} == dict.fromkeys(
        (name for name, place in PLACES.items() if place != DLA), "gpu"
    )
    assert {engine.accelerator for engine in engines.values() if engine.placement == DLA} == {"dla0", "dla1"}
    assert {engine.quantisation for engine in engines.values() if engine.placement == DLA} == {"calibrator"}
    assert {name: result.engine for name, result in served.items()} == {n: engines[n].key for n in PLACES}
    assert len(entries(state)) == 2, "one for the GPU, one for either core"
    assert children == {"infer-gpu", "infer-dla0", "infer-dla1"}
    assert said["runs"] and doctor.returncode == 0
    (dla,) = (check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "DLA")
    assert dla["state"] == "ok" and "2 DLA cores" in dla["text"]


def test_the_death_of_a_core_s_child_pauses_what_is_on_that_core_only(tmp_path: Path, state: Path) -> None:
    pinned = placed(plates="dla0", people="dla1")
    with orin(tmp_path / "device", state, **pinned) as it:
        all_serve(it)
        it.watcher.ever(Health, lambda h: accelerators(h) == ALL and h.overall == "ok")
        before = it.pids()
        os.kill(before["infer-dla1"], signal.SIGKILL)
        told = it.watcher.message(Event, lambda e: e.type == "infer-failed")
        ill = it.watcher.ever(Health, lambda h: accelerators(h) == {**ALL, "infer/dla1": "failed"})
        again = it.watcher.ever(Result, lambda r: r.pipeline == "people" and r.ts > told.ts)
        it.watcher.ever(Health, lambda h: accelerators(h) == ALL and h.overall == "ok" and h.ts > ill.ts)
        after = it.pids()
        meanwhile = {
            name: [r for r in results(it.watcher, name) if told.ts < r.ts < again.ts] for name in ("parts", "plates")
        }
        assert in_order(it)
    assert (told.facts["accelerator"], told.facts["restarts"]) == ("dla1", 1)
    assert {name for name in before if after[name] != before[name]} == {"infer-dla1"}
    assert all(meanwhile.values()), "the others went on"
    failed = {item[1].facts["accelerator"] for item in it.watcher.items if is_event(item[1], "infer-failed")}
    assert failed == {"dla1"}


def test_an_engine_that_crashes_a_core_twice_leaves_both_cores(tmp_path: Path, state: Path) -> None:
    """It is one engine in either child; what was on the cores goes to the GPU, and their children end."""
    pinned = placed(plates="dla0", people="dla1")
    with orin(tmp_path / "device", state, **pinned) as it:
        bad = all_serve(it)["people"].engine
        it.watcher.ever(Health, lambda h: accelerators(h) == ALL)
        for _ in range(2):
            os.kill(it.pids()["infer-dla1"], signal.SIGSEGV)
            crash = it.watcher.message(Event, lambda e: e.type == "infer-failed")
            it.watcher.message(Result, lambda r, ts=crash.ts: r.pipeline == "people" and r.ts > ts)
        told = it.watcher.ever(Event, lambda e: e.type == "engine-quarantined")
        moved = {name: it.watcher.ever(Result, on_other(name, bad)) for name in ("plates", "people")}
        until(lambda: latest_accelerators(it) == {"infer/gpu": "ok"}, "the GPU alone serves")
        until(lambda: not {"infer-dla0", "infer-dla1"} & set(it.pids()), "the cores' children have ended")
        engine = it.watcher.ever(EngineState, lambda e: e.pipeline == "plates" and e.state == "ready" and e.key != bad)
        assert in_order(it)
        failed = {item[1].facts["pipeline"] for item in it.watcher.items if is_event(item[1], "engine-failed")}
    assert failed == {"plates", "people"}
    assert (engine.placement, engine.form_reason) == (GPU, "instead of INT8 on a DLA, calibrated")
    assert told.facts["engine"] == bad
    assert {result.engine for result in moved.values()} == {engine.key}


def test_a_placement_that_is_wished_for_over_mqtt_moves_the_pipeline(tmp_path: Path, state: Path) -> None:
    with orin(tmp_path / "device", state, **placed(plates="dla0", people="dla1")) as it:
        first = all_serve(it)
        until(lambda: latest_accelerators(it) == ALL, "all three serve")
        before = it.pids()
        for place, like, left in (("gpu", "parts", ["dla0"]), ("dla1", "plates", ["dla0", "dla1"]),
                                  ("dla0", "plates", ["dla0"])):  # fmt: skip
            report = it.wish({"pipelines": {"people": {"placement": place}}})
            assert report.state == "committed", report
            it.watcher.message(Result, lambda r, key=first[like].engine: r.pipeline == "people" and r.engine == key)
            until(lambda place=place: latest_place(it, "people") == place, f"its engine's state says {place}")
            well = {f"infer/{one}": "ok" for one in ("gpu", *left)}
            until(lambda well=well: latest_accelerators(it) == well, f"people on {place}: {well}")
        it.wish({"pipelines": {"people": {"placement": "gpu"}, "plates": {"placement": "gpu"}}})
        until(lambda: latest_accelerators(it) == {"infer/gpu": "ok"}, "everything is on the GPU")
        until(lambda: not {"infer-dla0", "infer-dla1"} & set(it.pids()), "the cores' children have ended")
        assert {name for name in before if it.pids().get(name) != before[name]} == {"infer-dla0", "infer-dla1"}
        assert in_order(it)
        assert not [item for item in it.watcher.items if is_event(item[1], "infer-failed")]


def test_of_a_file_played_once_no_frame_is_lost_to_a_move(tmp_path: Path, state: Path) -> None:
    path = write_video(tmp_path / "belt.avi", 400, fps=20.0)
    once = {"source": {"type": "file", "path": str(path), "mode": "once"}}
    with orin(tmp_path / "device", state, cameras__belt=once) as it:
        first = all_serve(it)
        for place in ("dla", "gpu"):
            assert it.wish({"pipelines": {"parts": {"placement": place}}}).state == "committed"
        it.watcher.ever(Event, lambda e: e.type == "source-ended")
        it.watcher.ever(Result, lambda r: r.pipeline == "parts" and r.frame == first["parts"].frame + 399)
        looked = {name: [r.frame for r in results(it.watcher, name)] for name in ("parts", "plates")}
        engines = {r.engine for r in results(it.watcher, "parts")}
    whole = list(range(first["parts"].frame, first["parts"].frame + 400))
    assert looked == {"parts": whole, "plates": whole}
    assert engines == {first["parts"].engine, first["plates"].engine}


def test_heat_moves_a_pipeline_to_a_core_and_winter_back(tmp_path: Path, state: Path) -> None:
    (tmp_path / "device").mkdir()
    board = orin_board(tmp_path / "device" / "board")
    weather(board, WINTER)
    ladder = {**placed(boxes=GPU)["pipelines__boxes"], "shed": ["placement dla"]}
    changes = {"pipelines__boxes": ladder, "power": {"sample_interval_s": 0.5}, "thermal": {"restore_after_s": 5.0}}
    with quick_plant(board), orin(tmp_path / "device", state, board, **changes) as it:
        it.watcher.patience_s = 150.0  # the governor allows more again slowly
        first = all_serve(it)
        weather(board, HELL)
        shed = it.watcher.ever(Event, lambda e: e.type == "shed" and e.facts["pipeline"] == "boxes")
        on_core = it.watcher.ever(Result, on_other("boxes", first["boxes"].engine))
        it.watcher.ever(EngineState, lambda e: e.pipeline == "boxes" and str(e.accelerator).startswith("dla"))
        weather(board, WINTER)
        restored = it.watcher.ever(Event, lambda e: e.type == "restored" and e.facts["pipeline"] == "boxes")
        back = it.watcher.message(Result, lambda r: r.pipeline == "boxes" and r.engine == first["boxes"].engine)
        until(lambda: latest_place(it, "boxes") == "gpu", "its engine's state says that it is back")
        assert in_order(it)
    assert shed.facts["step"] == restored.facts["step"] == "placement dla"
    assert on_core.engine == first["people"].engine
    assert back.frame > on_core.frame > first["boxes"].frame
