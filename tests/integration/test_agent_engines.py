"""Engines in the whole agent: in quarantine, stood in for, in another form, from a registry, remembered."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from agent_kit import Family, Watcher, command_line, entries, running
from test_link_kit import needs_mosquitto
from test_plans_kit import write_plan

from edgeagent.engine.store import EngineStore
from edgeagent.fleet.measurements import CameraMeasurement
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.states import EngineState, Health

pytestmark = [needs_mosquitto, pytest.mark.slow, pytest.mark.timeout(240)]

FEW = {"calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.0}
OR_FP32 = {**FEW, "precision_fallback": ["fp32"]}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a device that has built its INT8 engine. Copied by each test, changed by none."""
    place = tmp_path_factory.mktemp("built")
    with running(place, place / "state") as (watcher, _):
        watcher.message(EngineState, ready)
        watcher.message(Result)
    return place / "state"


@pytest.fixture
def state(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "state"))


SAMPLE = Path(sys.modules["edgeagent"].__file__ or "").parent / "simulate" / "sample_model"


def ready(word: EngineState) -> bool:
    return word.state == "ready"


def the_key(state: Path) -> str:
    (key,) = entries(state)
    return key


def engine_command(*words: object, code: int = 0) -> str:
    done = command_line("engine", *map(str, words), family=Family())
    assert done.returncode == code, done.stderr
    return done.stdout


def states_heard(watcher: Watcher) -> list[EngineState]:
    return [item[1] for item in watcher.items if isinstance(item[1], EngineState)]


# in quarantine


def test_an_engine_that_crashes_twice_is_in_quarantine_and_another_form_serves(tmp_path: Path, state: Path) -> None:
    bad = the_key(state)
    with running(tmp_path / "run", state, engines=OR_FP32) as (watcher, family):
        for _ in range(2):
            watcher.message(Result, lambda r: r.engine == bad)
            os.kill(family.pid_of("infer_child"), signal.SIGSEGV)
            watcher.message(Event, lambda e: e.type == "infer-failed")
        told = watcher.ever(Event, lambda e: e.type == "engine-quarantined")
        good = watcher.ever(EngineState, lambda e: e.state == "ready" and e.key != bad)
        watcher.message(Result, lambda r: r.engine == good.key)
        watcher.ever(Health, lambda h: h.overall == "ok" and h.ts > told.ts)
    assert told.facts["engine"] == bad
    assert "crashed its process twice" in told.text
    assert good.precision == "fp32"
    assert "INT8" in good.form_reason
    assert any("quarantine" in step for step in good.steps)
    reason = EngineStore(state / "engines").quarantine_reason(bad)
    assert "crashed its process twice" in reason and "SIGSEGV" in reason


def test_an_engine_that_does_not_load_twice_is_in_quarantine_and_the_agent_goes_on(tmp_path: Path, state: Path) -> None:
    bad = the_key(state)
    spoil(state / "engines" / bad)
    with running(tmp_path / "run", state) as (watcher, _):
        told = watcher.message(Event, lambda e: e.type == "engine-quarantined")
        failed = watcher.ever(EngineState, lambda e: e.state == "failed")
        last = watcher.ever(Event, lambda e: e.type == "engine-failed")
        watcher.message(CameraMeasurement, lambda c: c.fps > 0 and c.ts > failed.ts)
        tries = [item for item in watcher.items if isinstance(item[1], Event) and item[1].type == "engine-load-failed"]
    assert told.facts["engine"] == bad and "did not load twice" in told.text
    assert len(tries) == 2
    assert f"the engine {bad[:12]} is in quarantine: it did not load twice" in failed.reason
    assert f"engine release {bad[:12]}" in failed.reason
    assert last.facts["code"] == "engine_quarantined" and last.facts["final"] is True
    listed = json.loads(engine_command("list", "--json", "--state", state))
    assert [engine["state"] for engine in listed["engines"]] == ["quarantined"]


def test_an_engine_that_fails_at_its_work_is_loaded_anew_once_and_then_in_quarantine(
    tmp_path: Path, state: Path
) -> None:
    """It loads, and bears its canary; a camera's frames begin with the letterbox's grey, which is too much for it."""
    bad = the_key(state)
    plan = write_plan(tmp_path / "plan", width=320, height=320, failing=True, fails_from=100)
    spoil(state / "engines" / bad, Path(plan).read_bytes())
    with running(tmp_path / "run", state) as (watcher, _):
        told = watcher.message(Event, lambda e: e.type == "engine-quarantined")
        out = [item[1] for item in watcher.items if isinstance(item[1], Event) and item[1].type == "engine-taken-out"]
        failed = watcher.ever(EngineState, lambda e: e.state == "failed")
        watcher.message(CameraMeasurement, lambda c: c.fps > 0 and c.ts > failed.ts)
    assert told.facts["engine"] == bad and "failed twice" in told.text
    assert len(out) == 2 and all(event.facts["code"] == "engine_run" for event in out)
    assert "failed at its work twice" in failed.reason


def spoil(folder: Path, plan: bytes = b"no engine at all") -> None:
    """Make the entry's plan one that its manifest vouches for: what a builder's bug would leave."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "plan").write_bytes(plan)
    manifest |= {"plan_bytes": len(plan), "plan_sha256": hashlib.sha256(plan).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


# serving goes on


def test_the_engine_before_serves_until_the_new_one_is_ready(tmp_path: Path, state: Path) -> None:
    before = the_key(state)
    with running(tmp_path / "run", state, engines={**FEW, "precision": "fp32"}) as (watcher, _):
        meanwhile = watcher.message(EngineState, lambda e: e.state in ("collecting", "building"))
        watcher.ever(Result, lambda r: r.engine == before)
        after = watcher.ever(EngineState, ready)
        watcher.ever(Result, lambda r: r.engine == after.key)
        engines = [item[1].engine for item in watcher.items if isinstance(item[1], Result)]
    assert meanwhile.serving == before
    assert after.serving is None and after.key != before and after.precision == "fp32"
    assert engines == sorted(engines, key=lambda key: key != before), "it switches once, and not back"
    store = EngineStore(state / "engines")
    assert (store.active("parts"), store.previous("parts")) == (after.key, before)


@pytest.mark.parametrize(("length", "code"), [(100_000, "model_not_onnx"), (0, "model_missing")])
def test_a_new_version_of_the_model_that_is_broken_takes_nothing_away(
    tmp_path: Path, state: Path, length: int, code: str
) -> None:
    before, folder = the_key(state), tmp_path / "bundle"
    folder.mkdir()
    shutil.copy(SAMPLE / "model.toml", folder)
    (folder / "conveyor.onnx").write_bytes((SAMPLE / "conveyor.onnx").read_bytes()[:length])
    for place in ("run", "again"):
        with running(tmp_path / place, state, models__conveyor={"path": str(folder)}) as (watcher, _):
            failed = watcher.message(EngineState, lambda e: e.state == "failed")
            told = watcher.ever(Event, lambda e: e.type == "engine-failed")
            watcher.message(Result, lambda r: r.engine == before)
        assert failed.serving == before
        assert told.facts["code"] == code and told.facts["final"] is True
    assert entries(state) == [before], "nothing was stored"


# another form


def lopsided(folder: Path) -> Path:
    """The sample model with one channel 10 000 times as large, and as much smaller again: the same in FP32, no use
    in INT8, where a tensor has one scale."""
    import onnx
    from onnx import helper, numpy_helper

    folder.mkdir()
    shutil.copy(SAMPLE / "model.toml", folder)
    model = onnx.load(str(SAMPLE / "conveyor.onnx"))
    weights = next(each for each in model.graph.initializer if each.name == "stem1/conv.weight")
    values = numpy_helper.to_array(weights).copy()
    factors = np.ones((1, values.shape[1], 1, 1), np.float32)
    factors[0, 0] = 1e4
    weights.CopyFrom(numpy_helper.from_array((values / factors).astype(np.float32), weights.name))
    model.graph.initializer.append(numpy_helper.from_array(factors, "lopsided"))
    place = next(number for number, node in enumerate(model.graph.node) if node.output[0] == "stem1/conv")
    model.graph.node[place].input[0] = "scaled"
    model.graph.node.insert(place, helper.make_node("Mul", ["stem0", "lopsided"], ["scaled"]))
    onnx.save(model, str(folder / "conveyor.onnx"))
    return folder


def test_an_engine_that_disagrees_gives_way_to_the_next_precision(tmp_path: Path) -> None:
    state, bundle = tmp_path / "state", {"path": str(lopsided(tmp_path / "bundle"))}
    with running(tmp_path / "run", state, engines=OR_FP32, models__conveyor=bundle) as (watcher, _):
        failed = watcher.message(Event, lambda e: e.type == "engine-failed")
        done = watcher.ever(EngineState, ready)
    assert failed.facts["code"] == "engine_disagrees" and failed.facts["outcome"] == "disagrees"
    assert failed.facts["final"] is False and "FP32" in str(failed.facts["next"])
    assert (done.precision, done.agreement) == ("fp32", 1.0)
    assert "INT8" in done.form_reason
    assert any("disagree" in step or "agrees" in step for step in done.steps)
    with running(tmp_path / "again", state, engines=OR_FP32, models__conveyor=bundle) as (watcher, _):
        again = watcher.message(EngineState, ready)
        watcher.message(Result)
        heard = [word.state for word in states_heard(watcher)]
    assert again.key == done.key and again.from_store is True
    assert "building" not in heard, "what was found out once is not tried again"


def test_a_precision_that_is_not_to_be_had_here_is_told_with_the_form(tmp_path: Path) -> None:
    engines = {**OR_FP32, "precision": "fp16"}
    with running(tmp_path / "run", tmp_path / "state", engines=engines) as (watcher, _):
        done = watcher.message(EngineState, ready)
    assert done.precision == "fp32"
    assert done.form_reason == "ONNX Runtime on the CPU has no FP16"


# registry


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str]:
    """A private key's file and the public key."""
    made = json.loads(engine_command("keygen", tmp_path / "key", "--json"))
    return tmp_path / "key", made["public_key"]


@pytest.mark.parametrize("same_frames", [True, False], ids=["by key", "by subject"])
def test_an_engine_from_the_registry_is_proven_here_and_serves(
    tmp_path: Path, built: Path, keys: tuple[Path, str], same_frames: bool
) -> None:
    private, public = keys
    registry, state, key = f"file://{tmp_path}/registry", tmp_path / "other", the_key(built)
    (tmp_path / "registry").mkdir()
    engine_command("push", key, "--registry", registry, "--signing-key", private, "--state", built)
    if same_frames:
        shutil.copytree(built / "calibration", state / "calibration")
    trust = {"urls": [registry], "trusted_keys": [public]}
    with running(tmp_path / "run", state, registry=trust) as (watcher, _):
        fetched = watcher.message(EngineState, ready)
        watcher.message(Result, lambda r: r.engine == key)
        phases = [word.phase for word in states_heard(watcher)]
    assert (fetched.key, fetched.origin, fetched.from_store) == (key, "registry", False)
    assert any("comparing with the FP32 network" in phase for phase in phases), "proven on this device's own frames"
    record = EngineStore(state / "engines").record(key)
    assert (record.provenance.origin, record.provenance.url) == ("fetched", registry)
    with running(tmp_path / "again", state, registry=trust) as (watcher, _):
        assert watcher.message(EngineState, ready).origin == "store"


def test_what_one_device_builds_and_publishes_the_next_one_fetches(tmp_path: Path, keys: tuple[Path, str]) -> None:
    private, public = keys
    (tmp_path / "registry").mkdir()
    trust = {"urls": [f"file://{tmp_path}/registry"], "trusted_keys": [public]}
    giving = {**trust, "publish": True, "signing_key_file": str(private)}
    with running(tmp_path / "first", tmp_path / "one", registry=giving) as (watcher, _):
        made = watcher.message(EngineState, ready)
        told = watcher.ever(Event, lambda e: e.type == "engine-published")
    assert made.origin == "build" and told.facts["engine"] == made.key
    with running(tmp_path / "second", tmp_path / "two", registry=trust) as (watcher, _):
        fetched = watcher.message(EngineState, ready)
    assert (fetched.key, fetched.origin) == (made.key, "registry")


def test_a_registry_that_cannot_be_written_costs_the_copy_only(tmp_path: Path, keys: tuple[Path, str]) -> None:
    giving = {"urls": ["file:///dev/null/registry"], "publish": True, "signing_key_file": str(keys[0])}
    with running(tmp_path / "run", tmp_path / "state", registry=giving) as (watcher, _):
        watcher.message(EngineState, ready)
        told = watcher.ever(Event, lambda e: e.type == "engine-not-published")
        watcher.message(Result)
    assert told.severity == "warning" and told.text.count("\n") == 0


def test_an_engine_signed_by_a_stranger_is_not_taken_and_one_is_built(
    tmp_path: Path, built: Path, keys: tuple[Path, str]
) -> None:
    registry = f"file://{tmp_path}/registry"
    (tmp_path / "registry").mkdir()
    engine_command("push", the_key(built), "--registry", registry, "--signing-key", keys[0], "--state", built)
    other = json.loads(engine_command("keygen", tmp_path / "other-key", "--json"))["public_key"]
    trust = {"urls": [registry], "trusted_keys": [other]}
    with running(tmp_path / "run", tmp_path / "state", registry=trust) as (watcher, _):
        made = watcher.message(EngineState, ready)
    assert made.origin == "build" and made.key is not None
    entry = EngineStore(tmp_path / "state" / "engines").find(made.key)
    assert entry is not None
    assert any(note.startswith("registry: ") and "not trusted" in note for note in entry.manifest.build.notes)


# remembered


def test_attempts_are_counted_over_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(tmp_path / "run", state) as (watcher, family):
        watcher.message(EngineState, lambda e: e.state == "collecting" and e.attempt == 1)
        os.kill(family.pid_of("engine.build.child"), signal.SIGKILL)
        watcher.message(EngineState, lambda e: e.state == "failed")
        watcher.message(EngineState, lambda e: e.state == "collecting" and e.attempt == 2)
    with running(tmp_path / "again", state) as (watcher, _):
        third = watcher.message(EngineState, lambda e: e.state == "collecting")
        done = watcher.message(EngineState, ready)
    assert third.attempt == 3
    assert any("killed" in step or "memory" in step for step in done.steps)
    assert json.loads((state / "engines" / done.key / "manifest.json").read_text())["build"]["attempt"] == 3


def test_a_model_that_cannot_be_built_is_not_tried_again_after_a_restart(tmp_path: Path) -> None:
    bundle, state = tmp_path / "bundle", tmp_path / "state"
    bundle.mkdir()
    shutil.copy(SAMPLE / "model.toml", bundle)
    (bundle / "conveyor.onnx").write_bytes(b"no network")
    models = {"path": str(bundle)}
    with running(tmp_path / "run", state, models__conveyor=models) as (watcher, _):
        first = watcher.message(Event, lambda e: e.type == "engine-failed")
    with running(tmp_path / "again", state, models__conveyor=models) as (watcher, _):
        # what the first run could not get rid of comes out of the outbox once more
        again = watcher.message(Event, lambda e: e.type == "engine-failed" and e.session != first.session)
        watcher.message(CameraMeasurement, lambda c: c.fps > 0 and c.ts > again.ts)
        heard = [word.state for word in states_heard(watcher) if word.session != first.session]
    assert first.facts["code"] == again.facts["code"] == "model_not_onnx"
    assert again.text.startswith("found by an earlier run: ") and again.facts["final"] is True
    assert not {"collecting", "building"} & set(heard)
    shutil.copy(SAMPLE / "conveyor.onnx", bundle)
    with running(tmp_path / "mended", state, models__conveyor=models) as (watcher, _):
        watcher.message(EngineState, ready)
