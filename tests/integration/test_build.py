"""The build child as a real process: it makes an engine, or says in one line why not, and never leaves a half one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_build_kit import Camera, Running, belt_frames, build_start, gone, start_build
from test_store_kit import KIT, small_disk

from edgeagent.engine.build.messages import BUILD_WORDS
from edgeagent.engine.calibration import find_set, sweep_sets
from edgeagent.engine.locks import try_lock
from edgeagent.engine.store import EngineStore
from edgeagent.supervise.messages import Fault, Stop

sys.path.append(str(KIT))
from engine_kit import Net, noise_frames, spec_for, write_bundle, write_spec

TINY = Net(width=64, height=64, classes=3, strides=(4, 8))
KEPT = {".locks", ".local", ".pipelines", ".ledger", ".timing", ".calibration"}  # the store's own rooms
PHASES = ["collecting", "preparing", "calibrating", "building", "verifying", "storing"]


@pytest.fixture(scope="module")
def belt() -> Iterator[Camera]:
    with Camera(belt_frames(40)) as camera, camera.running():
        yield camera


@pytest.fixture(scope="module")
def small() -> Iterator[Camera]:
    """A camera for the tiny model."""
    with Camera(noise_frames(20, 64, 64)) as camera, camera.running():
        yield camera


@pytest.fixture
def tiny(tmp_path: Path) -> dict[str, Any]:
    """Settings of a build of the tiny model: as quick as a build can be."""
    write_bundle(tmp_path / "model", TINY)
    return {"model": str(tmp_path / "model"), "min_agreement": 0.0, "wish": {"frames": 4, "holdout": 2}}


def assert_clean(folder: Path) -> None:
    """Nothing half-written and no lock held; whole entries may be there."""
    for room in ("engines", "calibration"):
        root = folder / room
        for path in root.iterdir() if root.is_dir() else []:
            assert path.name in KEPT or not path.name.startswith("."), path
            if path.name == ".locks":
                for lock in path.iterdir():
                    with try_lock(lock) as free:
                        assert free, lock


def keys(folder: Path) -> list[str]:
    return [manifest.key for manifest in EngineStore(folder / "engines").entries()]


def fault_of(child: Running) -> Fault:
    words = child.rest()
    assert words and words[-1]["kind"] == "fault", words[-3:]
    fault = Fault.model_validate(words[-1])
    assert "\n" not in fault.text and "Traceback" not in child.errors
    return fault


def test_a_whole_build_and_the_same_again_from_the_store(tmp_path: Path, belt: Camera) -> None:
    with start_build(tmp_path, belt) as child:
        words = child.rest()
        assert child.wait() == 0
    assert child.errors == ""
    typed = [BUILD_WORDS.validate_python(word) for word in words]
    *progress, built = typed
    percents = [word.percent for word in progress]
    assert percents == sorted(percents) and percents[0] >= 0 and percents[-1] >= 98
    phases = list(dict.fromkeys(word.phase for word in progress))
    assert phases == PHASES
    assert built.kind == "built" and built.origin == "build"
    assert built.agreement is not None and built.agreement.value >= 0.9
    assert built.agreement.frames == 6 and built.agreement.reference_detections > 0
    assert built.agreement.mean_iou > 0.9, "the decoding has lost its precision"
    entry = EngineStore(tmp_path / "engines").find(built.key)
    assert entry is not None and entry.manifest.agreement == built.agreement
    found = find_set(tmp_path / "calibration" / "cam-1")
    assert found is not None and entry.manifest.calibration_digest == found.record.digest
    assert (len(found.to_calibrate()), len(found.held_out())) == (12, 6)
    assert_clean(tmp_path)

    plan, written = entry.plan_path.read_bytes(), entry.plan_path.stat().st_mtime_ns
    with start_build(tmp_path, belt) as child:
        again = child.rest()
        assert child.wait() == 0
    assert again == [{**built.model_dump(), "origin": "store"}]
    assert entry.plan_path.stat().st_mtime_ns == written

    shutil.rmtree(tmp_path / "engines")
    with start_build(tmp_path, belt) as child:
        assert child.until("built")["key"] == built.key
    entry = EngineStore(tmp_path / "engines").find(built.key)
    assert entry is not None and entry.plan_path.read_bytes() == plan, "the same set gave other bytes"


def test_an_fp32_engine_agrees_with_itself(tmp_path: Path, small: Camera, tiny: dict[str, Any]) -> None:
    with start_build(tmp_path, small, **tiny, precision="fp32") as child:
        built = child.until("built")
        assert child.wait() == 0
    assert built["agreement"]["value"] == 1.0
    assert "calibrating" not in {word.get("phase") for word in child.words}


def pulled(source: Path, target: Path, key: str) -> None:
    """What `engine pull` leaves in another device's store: the entry byte for byte, not proven there yet."""
    there, here = EngineStore(source / "engines"), EngineStore(target / "engines")
    with here.staging(key) as staging:
        for path in (source / "engines" / key).iterdir():
            if path.name != "manifest.json":
                shutil.copy(path, staging / path.name)
        here.commit_signed(staging, there.manifest_bytes(key), b"signature", url="file:///srv", signer="0011")
    assert here.status(key) == "ready" and not here.is_proven(key)


def test_an_engine_from_elsewhere_is_proven_on_this_devices_frames_before_it_is_used(
    tmp_path: Path, small: Camera, tiny: dict[str, Any]
) -> None:
    (tmp_path / "a").mkdir()
    with start_build(tmp_path / "a", small, **tiny) as child:
        key = child.until("built")["key"]
    pulled(tmp_path / "a", tmp_path / "b", key)
    with Camera(noise_frames(20, 64, 64, seed=5)) as other, other.running():
        with start_build(tmp_path / "b", other, **tiny) as child:
            built = child.until("built")
            assert child.wait() == 0
    assert (built["key"], built["origin"]) == (key, "registry")
    assert "verifying" in {word.get("phase") for word in child.words}
    store = EngineStore(tmp_path / "b" / "engines")
    assert store.is_proven(key) and store.proof_here(key).model_dump(mode="json") == built["agreement"]
    assert_clean(tmp_path / "b")


def test_an_engine_from_elsewhere_that_does_not_hold_here_is_kept_and_not_used(
    tmp_path: Path, small: Camera, tiny: dict[str, Any]
) -> None:
    (tmp_path / "a").mkdir()
    with start_build(tmp_path / "a", small, **tiny) as child:
        key = child.until("built")["key"]
    pulled(tmp_path / "a", tmp_path / "b", key)
    asked_for_too_much = {**tiny, "min_agreement": 1.01}
    with Camera(noise_frames(20, 64, 64, seed=5)) as other, other.running():
        with start_build(tmp_path / "b", other, **asked_for_too_much) as child:
            assert fault_of(child).code == "engine_disagrees"  # the device's own build, in the end
    assert EngineStore(tmp_path / "b" / "engines").status(key) == "quarantined"
    assert "building" in {word.get("phase") for word in child.words}
    assert_clean(tmp_path / "b")


# ends from outside


def test_a_kill_in_any_phase_leaves_the_store_whole_and_the_next_build_to_succeed(
    tmp_path: Path, small: Camera, tiny: dict[str, Any]
) -> None:
    for phase in PHASES:
        with start_build(tmp_path, small, **tiny) as child, ExitStack() as stack:
            verifiers = []
            if phase != "collecting":
                child.until("progress", phase="preparing")
                verifiers = [os.pidfd_open(pid) for pid in child.children()]
                assert len(verifiers) == 1
                stack.callback(os.close, verifiers[0])
            if phase != "preparing":
                child.until("progress", phase=phase)
            child.signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
            assert all(gone(fd, 5) for fd in verifiers), "the proof run outlived its build"
        store = EngineStore(tmp_path / "engines")
        store.sweep()
        sweep_sets(tmp_path / "calibration")
        assert_clean(tmp_path)
        assert all(store.find(key) for key in keys(tmp_path))
    for key in keys(tmp_path):  # the last kill may have come after the commit
        shutil.rmtree(tmp_path / "engines" / key)
    with start_build(tmp_path, small, **tiny) as child:
        assert child.until("built")["origin"] == "build"
        assert child.wait() == 0
    assert_clean(tmp_path)


@pytest.mark.parametrize("how", ["stop", "term"])
@pytest.mark.parametrize("phase", ["collecting", "calibrating", "verifying"])
def test_a_cancelled_build_ends_soon_and_leaves_nothing(
    tmp_path: Path, small: Camera, tiny: dict[str, Any], phase: str, how: str
) -> None:
    frames = {"frames": 3000, "holdout": 2} if phase == "collecting" else {"frames": 60, "holdout": 2}
    with start_build(tmp_path, small, **{**tiny, "wish": frames}) as child:
        verifiers = []
        if phase == "verifying":
            child.until("progress", phase="preparing")
            verifiers = child.children()
            os.kill(verifiers[0], signal.SIGSTOP)  # an engine that takes its time
        child.until("progress", phase=phase)
        if how == "stop":
            child.send(Stop())
        else:
            child.signal(signal.SIGTERM)
        assert child.wait() == 0
        assert "built" not in {word["kind"] for word in child.rest()}
    assert child.errors == ""
    assert not any(Path(f"/proc/{pid}").exists() for pid in verifiers)
    assert keys(tmp_path) == []
    assert_clean(tmp_path)


def test_an_agent_that_is_gone_ends_the_build(tmp_path: Path, small: Camera, tiny: dict[str, Any]) -> None:
    tiny["wish"] = {"frames": 3000, "holdout": 2}
    with start_build(tmp_path, small, **tiny) as child:
        child.until("progress", phase="collecting")
        child._ours.close()
        assert child.wait(10) == 1
    assert child.errors == ""
    assert_clean(tmp_path)


# what cannot be built


def test_a_camera_that_gives_no_frame(tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["wish"]["patience_s"] = 0.1
    with Camera(noise_frames(1, 64, 64)) as dead, start_build(tmp_path, dead, **tiny) as child:
        fault = fault_of(child)
        assert child.wait() == 1
    assert (fault.code, fault.retry) == ("no_calibration", True)
    assert "gave no frame" in fault.text
    assert_clean(tmp_path)


def test_a_camera_that_stops_in_the_middle(tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["wish"]["patience_s"] = 0.3
    with Camera(noise_frames(1, 64, 64)) as camera:
        camera.put(camera.frames[0])
        with start_build(tmp_path, camera, **tiny) as child:
            fault = fault_of(child)
            assert child.wait() == 1
    percents = [word["percent"] for word in child.words if word["kind"] == "progress"]
    assert fault.code == "no_calibration" and percents == sorted(percents) and len(percents) >= 1
    assert_clean(tmp_path)


def test_a_covered_camera_leaves_no_set_that_would_fail_for_ever(tmp_path: Path, tiny: dict[str, Any]) -> None:
    with Camera([np.full((64, 64, 3), 9, np.uint8)]) as camera, camera.running():
        with start_build(tmp_path, camera, **tiny) as child:
            fault = fault_of(child)
            assert child.wait() == 1
    assert (fault.code, fault.retry) == ("no_calibration", True) and "of one colour" in fault.text
    assert find_set(tmp_path / "calibration" / "cam-1") is None
    assert_clean(tmp_path)


def test_an_onnx_that_is_none_is_refused_while_the_camera_still_runs(
    tmp_path: Path, small: Camera, tiny: dict[str, Any]
) -> None:
    (tmp_path / "model" / "tiny.onnx").write_bytes(b"A text file that someone named .onnx\n")
    tiny["wish"] = {"frames": 4000, "holdout": 2}
    with start_build(tmp_path, small, **tiny) as child:
        fault = fault_of(child)
        assert child.wait() == 2
    assert (fault.code, fault.who, fault.retry) == ("model_not_onnx", "operator", False)
    assert max(word["percent"] for word in child.words if word["kind"] == "progress") < 60
    assert_clean(tmp_path)


def test_outputs_that_fit_no_family(tmp_path: Path, small: Camera, tiny: dict[str, Any]) -> None:
    write_spec(tmp_path / "model", spec_for(Net(width=64, height=64, classes=7)))
    with start_build(tmp_path, small, **tiny) as child:
        assert fault_of(child).code == "model_classes"
        assert child.wait() == 2
    assert keys(tmp_path) == []
    assert_clean(tmp_path)


def test_a_bundle_that_is_not_there(tmp_path: Path, small: Camera) -> None:
    with start_build(tmp_path, small, model=str(tmp_path / "nowhere")) as child:
        fault = fault_of(child)
        assert child.wait() == 2
    assert "there is no model bundle at" in fault.text


def test_a_ring_of_another_size(tmp_path: Path, belt: Camera, tiny: dict[str, Any]) -> None:
    with start_build(tmp_path, belt, **tiny) as child:
        fault = fault_of(child)
        assert child.wait() == 2
    assert "the ring holds 320x320, the model takes 64x64" in fault.text
    assert_clean(tmp_path)


def test_an_engine_that_does_not_agree(tmp_path: Path, small: Camera, tiny: dict[str, Any]) -> None:
    with start_build(tmp_path, small, **{**tiny, "min_agreement": 1.01}) as child:
        fault = fault_of(child)
        assert child.wait() == 2
    assert (fault.code, fault.retry) == ("engine_disagrees", False)
    assert "engines.min_agreement is 1.01" in fault.text and "engines.precision" in fault.mend
    assert keys(tmp_path) == []
    assert_clean(tmp_path)


def test_a_full_disk(tmp_path: Path, small: Camera, tiny: dict[str, Any]) -> None:
    """Room for the set, not for the engine."""
    with small_disk(tmp_path / "disk", "128k") as disk:
        with start_build(disk, small, **tiny) as child:
            fault = fault_of(child)
            assert child.wait() == 1
        assert (fault.code, fault.who, fault.retry) == ("disk_full", "operator", True)
        assert keys(disk) == []
        assert_clean(disk)


# two at once


def test_two_builds_of_one_engine_make_it_once(tmp_path: Path, small: Camera, tiny: dict[str, Any]) -> None:
    """One collects and builds; the other waits for both, and takes what is there."""
    tiny["wish"] = {"frames": 100, "holdout": 2}
    with start_build(tmp_path, small, **tiny) as first:
        first.until("progress", phase="collecting")
        first.signal(signal.SIGSTOP)
        with start_build(tmp_path, small, **tiny) as second:
            assert "calibration frames" in second.until("progress", phase="waiting")["text"]
            first.signal(signal.SIGCONT)
            one, two = first.until("built"), second.until("built")
            assert (first.wait(), second.wait()) == (0, 0)
    assert (one["origin"], two["origin"]) == ("build", "store")
    assert one["key"] == two["key"] and keys(tmp_path) == [one["key"]]
    assert_clean(tmp_path)


def test_the_one_that_waits_takes_over_when_the_builder_dies(
    tmp_path: Path, small: Camera, tiny: dict[str, Any]
) -> None:
    """And it holds the lock then: it once built without, so that a sweep took its directory away."""
    with start_build(tmp_path, small, **tiny) as first:
        key = first.until("progress", phase="preparing")["key"]
        first.signal(signal.SIGSTOP)
        with start_build(tmp_path, small, **tiny) as second:
            assert "builds this engine" in second.until("progress", phase="waiting")["text"]
            first.signal(signal.SIGKILL)
            second.until("progress", phase="preparing")
            second.signal(signal.SIGSTOP)
            store = EngineStore(tmp_path / "engines")
            with store.build_lock(key) as free:
                assert not free
            assert store.sweep() == []
            second.signal(signal.SIGCONT)
            assert second.until("built")["origin"] == "build"
    assert len(store.sweep()) == 1, "the dead builder's directory, and only that"
    assert keys(tmp_path) == [key]
    assert_clean(tmp_path)


def test_a_larger_set_is_collected_when_more_frames_are_asked_for(
    tmp_path: Path, small: Camera, tiny: dict[str, Any]
) -> None:
    with start_build(tmp_path, small, **tiny) as child:
        first = child.until("built")
    tiny["wish"] = {"frames": 8, "holdout": 2}
    with start_build(tmp_path, small, **tiny) as child:
        second = child.until("built")
    assert first["key"] != second["key"]
    found = find_set(tmp_path / "calibration" / "cam-1")
    assert found is not None and len(found.record.files) == 10


def test_the_kit_asks_for_what_it_says(tmp_path: Path) -> None:
    start = build_start(tmp_path, 3, wish={"frames": 9}, threads=2)
    assert (start.calibration.frames, start.calibration.holdout, start.threads) == (9, 6, 2)
