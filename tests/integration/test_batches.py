"""Engines for several frames at once on ONNX Runtime: built, proven, run for four cameras, in the whole agent."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from agent_kit import entries, running
from onnx import helper
from remote_kit import device
from test_build_kit import Camera, Running, belt_frames, start_build
from test_infer_switch import look, start
from test_link_kit import needs_mosquitto

from edgeagent.engine.batching import MOST_FRAMES as WRITTEN
from edgeagent.engine.store import EngineStore, Entry
from edgeagent.fleet.results import Result
from edgeagent.fleet.states import EngineState
from edgeagent.inference.onnxruntime_session import MOST_FRAMES as READ
from edgeagent.inference.onnxruntime_session import OnnxRuntimeSession

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SAMPLE = Path(sys.modules["edgeagent"].__file__ or "").parent / "simulate" / "sample_model"
CAMERAS = ("belt", "gate", "door", "yard")
ROUNDS = 12


def built(child: Running, folder: Path) -> Entry:
    with child:
        key = child.until("built")["key"]
        assert child.wait() == 0
    entry = EngineStore(folder / "engines").find(key)
    assert entry is not None
    return entry


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Entry]:
    """INT8 engines of the sample model for one frame and for four, with the same calibration frames."""
    folder = tmp_path_factory.mktemp("built")
    with Camera(belt_frames(24)) as camera, camera.running():
        return {batch: built(start_build(folder, camera, batch=batch), folder) for batch in (1, 4)}


def test_what_is_written_into_a_plan_is_what_is_read_there() -> None:
    assert WRITTEN == READ


def test_the_manifest_tells_how_many_and_the_proof_was_made_for_each_number(engines: dict[int, Entry]) -> None:
    one, four = engines[1].manifest, engines[4].manifest
    assert (one.facts["batch"], four.facts["batch"]) == (1, 4)
    assert one.key != four.key and one.calibration_digest == four.calibration_digest
    assert four.facts["shapes"]["frames"] == [4, 320, 320, 3]
    assert one.agreement is not None and four.agreement is not None
    assert four.agreement.value == one.agreement.value


def test_several_frames_give_bit_for_bit_what_each_gives_alone(engines: dict[int, Entry]) -> None:
    frames = belt_frames(8, seed=5)
    with (
        closing(OnnxRuntimeSession(engines[1].plan_path, 1)) as one,
        closing(OnnxRuntimeSession(engines[4].plan_path, 1)) as four,
    ):
        assert (one.batch, one.pads, four.batch, four.pads) == (1, True, 4, False)
        alone = [one.run(frame[None])[0] for frame in frames]
        for count in (1, 2, 3, 4):
            for at in range(0, 8, count):
                together = frames[at : at + count]
                four.submit(together)
                for found, wanted in zip(four.collect(), alone[at : at + count], strict=True):
                    for ours, theirs in zip(vars(found).values(), vars(wanted).values(), strict=True):
                        np.testing.assert_array_equal(ours, theirs)


@contextmanager
def showing(names: Sequence[str]) -> Iterator[dict[str, Camera]]:
    """Cameras with pictures of their own, which nobody has shown anything yet."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Camera(belt_frames(ROUNDS, seed=100 * number)))
            for number, name in enumerate(names, 1)
        }


def detections(
    folder: Path, engine: Entry, names: Sequence[str], delay_ms: float
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """What the infer child says of the cameras' frames, shown in rounds; and its last figures."""
    folder.mkdir()
    with showing(names) as cameras:
        return rounds(folder, engine, cameras, delay_ms)


def rounds(
    folder: Path, engine: Entry, cameras: dict[str, Camera], delay_ms: float
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    looks = [
        look(str(engine.plan_path), name, ring=name, classes=list(engine.manifest.model.classes), min_score=0.3)
        for name in cameras
    ]
    found: dict[str, list[Any]] = {name: [] for name in cameras}
    with start(folder, cameras, *looks, max_delay_ms=delay_ms) as child:
        for _ in cameras:
            child.until("loaded")
        for number in range(ROUNDS):
            sent = {name: camera.put(camera.frames[number]) for name, camera in cameras.items()}
            waiting = set(sent)
            while waiting:
                word = child.until("result")
                assert word["frame"] == sent[word["pipeline"]]
                found[word["pipeline"]].append(word["detections"])
                waiting.remove(word["pipeline"])
        stats = child.until("stats", frames=ROUNDS * len(cameras))
    return found, stats


def test_four_cameras_through_one_engine_get_what_each_would_get_alone(
    tmp_path: Path, engines: dict[int, Entry]
) -> None:
    alone, one_by_one = detections(tmp_path / "one", engines[1], CAMERAS, 0.0)
    together, in_batches = detections(tmp_path / "four", engines[4], CAMERAS, 2000.0)
    assert together == alone
    assert sum(len(frame) for frames in together.values() for frame in frames) > 10 * len(CAMERAS)
    assert one_by_one["batches"] == ROUNDS * len(CAMERAS)
    assert (in_batches["batches"], in_batches["unused"]) == (ROUNDS, 0)


def test_a_batch_that_is_not_full_costs_no_more_than_its_frames(tmp_path: Path, engines: dict[int, Entry]) -> None:
    _, stats = detections(tmp_path / "three", engines[4], CAMERAS[:3], 2000.0)
    assert (stats["batches"], stats["unused"]) == (ROUNDS, 0), "an engine of any number of frames fills no places"


# networks that take one frame only


def mixing(folder: Path) -> Path:
    """The sample model with a step that looks at all frames together: for one frame it changes nothing."""
    folder.mkdir()
    shutil.copy(SAMPLE / "model.toml", folder)
    model = onnx.load(str(SAMPLE / "conveyor.onnx"))
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["was" if name == output else name for name in node.output]
    axes = {"axes": [0]} if model.opset_import[0].version < 18 else {}
    assert axes, "from opset 18 on the axes are an input"
    model.graph.node.append(helper.make_node("ReduceMean", ["was"], [output], keepdims=1, **axes))
    onnx.save(model, str(folder / "conveyor.onnx"))
    return folder


def test_a_network_that_mixes_frames_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    bundle = mixing(tmp_path / "bundle")
    with Camera(belt_frames(24)) as camera, camera.running():
        with start_build(tmp_path, camera, model=str(bundle), batch=4) as child:
            fault = child.until("fault")
            assert child.wait() != 0
    assert fault["code"] == "batch_unsupported" and "several frames at once" in fault["text"]
    assert not EngineStore(tmp_path / "engines").entries()


# the whole agent


def four_cameras(**engines: object) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {
        "engines": {
            "calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.0, "max_batch": 4,
            "max_delay_ms": 20.0, **engines,
        },
    }  # fmt: skip
    for name in CAMERAS[1:]:
        tables[f"cameras__{name}"] = {"source": {"type": "synthetic"}}
        tables[f"pipelines__{name}"] = {"camera": name, "model": "conveyor"}
    return tables


@needs_mosquitto
def test_four_cameras_of_an_agent_share_one_engine_calibrated_on_all_of_them(tmp_path: Path) -> None:
    state = tmp_path / "state"
    names = {"parts", *CAMERAS[1:]}
    with running(tmp_path / "run", state, **four_cameras()) as (watcher, _):
        told = [watcher.ever(EngineState, lambda e, n=name: (e.state, e.pipeline) == ("ready", n)) for name in names]
        for name in names:
            watcher.ever(Result, lambda r, n=name: r.pipeline == n)
    (key,) = entries(state)
    assert {(word.key, word.batch) for word in told} == {(key, 4)}
    manifest = json.loads((state / "engines" / key / "manifest.json").read_text())
    assert manifest["facts"]["batch"] == 4
    (folder,) = (path for path in (state / "calibration").iterdir() if not path.name.startswith("."))
    assert folder.name.startswith("4-cameras-")


@needs_mosquitto
def test_a_camera_s_new_source_is_a_new_engine_for_all_that_share_one(tmp_path: Path) -> None:
    names = ("parts", *CAMERAS[1:])

    def ready(key: Callable[[str | None], bool]) -> set[str | None]:
        found = [
            it.watcher.ever(EngineState, lambda e, n=name: (e.state, e.pipeline) == ("ready", n) and key(e.key))
            for name in names
        ]
        return {word.key for word in found}

    with device(tmp_path / "run", tmp_path / "state", **four_cameras()) as it:
        (before,) = ready(lambda key: True)
        it.wish({"cameras": {"gate": {"source": {"type": "synthetic", "seed": 9}}}})
        (after,) = ready(lambda key: key != before)
    assert after in entries(tmp_path / "state")


@needs_mosquitto
def test_an_engine_for_one_frame_serves_until_the_one_for_four_is_there(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(tmp_path / "one", state, **four_cameras(max_batch=1, precision="fp32")) as (watcher, _):
        before = watcher.message(EngineState, lambda e: e.state == "ready" and e.pipeline == "parts").key
    with running(tmp_path / "four", state, **four_cameras(precision="fp32")) as (watcher, _):
        meanwhile = watcher.message(EngineState, lambda e: e.serving is not None and e.pipeline == "parts")
        after = watcher.ever(EngineState, lambda e: e.state == "ready" and e.pipeline == "parts")
        watcher.ever(Result, lambda r: r.engine == after.key)
    assert meanwhile.serving == before != after.key
    store = EngineStore(state / "engines")
    assert (store.active("parts"), store.previous("parts")) == (after.key, before)


@needs_mosquitto
def test_a_network_that_takes_one_frame_only_gets_an_engine_for_one_and_it_is_said(tmp_path: Path) -> None:
    bundle = {"path": str(mixing(tmp_path / "bundle"))}
    engines = {"calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.0, "max_batch": 4}
    with running(tmp_path / "run", tmp_path / "state", engines=engines, models__conveyor=bundle) as (watcher, _):
        done = watcher.message(EngineState, lambda e: e.state == "ready")
        watcher.message(Result)
    assert (done.batch, done.form_reason) == (1, "one frame at once, instead of 4")
    assert "batch unsupported" in done.steps[0]
