"""Looking for an engine that is there already, in a real store: by its form, of a like kind, as a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "engine"))
from engine_kit import put_entry, put_signed

from edgeagent.app.engine_forms import Site, builder_for, candidates_for, engine_wish
from edgeagent.app.engine_look import EngineLook, calibration_digest
from edgeagent.config.engine_tables import EngineSettings
from edgeagent.engine.bundle import ModelBundle, load_bundle
from edgeagent.engine.choice import Candidate
from edgeagent.engine.key import engine_facts, engine_key
from edgeagent.engine.manifest import Agreement, batch_of
from edgeagent.engine.store import EngineStore
from edgeagent.errors import EngineError

SITE = Site("onnxruntime", {"board": "test"}, tensorrt=())
SETTINGS = EngineSettings(precision_fallback=("fp32",))
SAMPLE = load_bundle("sample:conveyor")
INT8, FP32 = candidates_for(SETTINGS, SITE, SAMPLE)


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


def look(
    store: EngineStore,
    tmp_path: Path,
    site: Site = SITE,
    settings: EngineSettings = SETTINGS,
    bundle: ModelBundle = SAMPLE,
) -> EngineLook:
    """No calibration set is there: an FP32 engine needs none, an INT8 one is found only where a registry gave it."""
    return EngineLook(store, settings, site, bundle, tmp_path / "calibration", {})


def put(
    store: EngineStore, candidate: Candidate, digest: str = "", *, signed: bool = False, agrees: float = 0.99
) -> str:
    builder = builder_for(SETTINGS, SITE, candidate, {})
    wish = engine_wish(SITE, SAMPLE, candidate, builder, digest)
    variant = candidate.variant
    values = {
        "facts": engine_facts(wish),
        "model": SAMPLE.spec,
        "precision": variant.precision,
        "quantisation": variant.quantisation,
        "placement": variant.placement,
        "calibration_digest": digest,
        "agreement": Agreement(
            value=agrees, basis="detections", frames=4, reference_detections=9, engine_ms=1.5, reference_ms=1.0
        ),
    }
    key = engine_key(wish)
    (put_signed if signed else put_entry)(store, key, **values)
    return key


def test_an_empty_store_has_nothing(store: EngineStore, tmp_path: Path) -> None:
    assert look(store, tmp_path).find([INT8, FP32]) is None
    assert look(store, tmp_path).stand_in("parts") is None
    assert calibration_digest(tmp_path / "nothing", SETTINGS) == ""


def test_the_form_that_was_gone_on_with_is_found(store: EngineStore, tmp_path: Path) -> None:
    key = put(store, FP32)
    assert look(store, tmp_path).find([INT8]) is None, "nobody has given up INT8"
    found = look(store, tmp_path).find([INT8, FP32])
    assert found is not None
    assert (found.entry.manifest.key, found.candidate, found.from_store) == (key, FP32, True)


def test_one_that_a_registry_gave_is_good_for_other_frames_too(store: EngineStore, tmp_path: Path) -> None:
    key = put(store, INT8, "a" * 64, signed=True)
    assert look(store, tmp_path).find([INT8]) is None, "not before it was proven here"
    here = Agreement(value=0.96, basis="detections", frames=16, reference_detections=9, engine_ms=1.0, reference_ms=2.0)
    store.note_proven(key, here)
    found = look(store, tmp_path).find([INT8])
    assert found is not None and found.entry.manifest.key == key
    assert found.agreement == here


def test_one_that_was_built_here_on_other_frames_is_not(store: EngineStore, tmp_path: Path) -> None:
    put(store, INT8, "a" * 64)
    assert look(store, tmp_path).find([INT8]) is None


def test_quarantine_is_told_for_the_form_that_is_to_be_made_only(store: EngineStore, tmp_path: Path) -> None:
    key = put(store, FP32)
    store.quarantine(key, "engine_crashed", "it crashed")
    with pytest.raises(EngineError, match=f"{key[:12]} is in quarantine: it crashed") as caught:
        look(store, tmp_path).find([FP32])
    assert caught.value.error_code == "engine_quarantined"
    assert look(store, tmp_path).find([FP32, INT8]) is None, "the next form may be made"


def test_an_agreement_below_todays_demand_is_told_likewise(store: EngineStore, tmp_path: Path) -> None:
    put(store, FP32, agrees=0.93)
    demanding = SETTINGS.model_copy(update={"min_agreement": 0.95})
    assert look(store, tmp_path).find([FP32]) is not None
    with pytest.raises(EngineError, match=r"agrees with the FP32 network to 0\.930 only") as caught:
        look(store, tmp_path, settings=demanding).find([FP32])
    assert caught.value.error_code == "engine_disagrees"
    assert look(store, tmp_path, settings=demanding).find([FP32, INT8]) is None


def test_the_engine_that_served_before_stands_in(store: EngineStore, tmp_path: Path) -> None:
    first, second = put(store, FP32), put(store, INT8, "a" * 64)
    store.set_active("parts", first)
    store.set_active("parts", second)
    assert stand_in(store, tmp_path) == second
    store.quarantine(second, "engine_load", "it did not load")
    assert stand_in(store, tmp_path) == first, "the one before it"
    store.quarantine(first, "engine_load", "it did not load")
    assert stand_in(store, tmp_path) == ""


def test_no_stand_in_from_another_board_or_pipeline(store: EngineStore, tmp_path: Path) -> None:
    store.set_active("parts", put(store, FP32))
    assert look(store, tmp_path).stand_in("others") is None
    moved = Site("onnxruntime", {"board": "another"}, tensorrt=())
    assert look(store, tmp_path, moved).stand_in("parts") is None


def changed(**values: object) -> ModelBundle:
    """The sample with other bytes, and with these values in its model.toml."""
    return SAMPLE.model_copy(update={"digest": "f" * 64, "spec": SAMPLE.spec.model_copy(update=values)})


def test_the_version_before_stands_in_for_a_new_one(store: EngineStore, tmp_path: Path) -> None:
    key = put(store, FP32)
    store.set_active("parts", key)
    assert look(store, tmp_path, bundle=changed(version="2")).find([FP32]) is None
    assert stand_in(store, tmp_path, changed(version="2")) == key
    colour = SAMPLE.spec.input.model_copy(update={"color": "bgr"})
    assert stand_in(store, tmp_path, changed(input=colour)) == key, "that is in the engine's own graph"


@pytest.mark.parametrize(
    "values",
    [
        {"name": "faces"},
        {"classes": SAMPLE.spec.classes[:-1]},
        {"classes": list(reversed(SAMPLE.spec.classes))},
        {"task": "classify"},
        {"input": SAMPLE.spec.input.model_copy(update={"width": 640})},
    ],
)
def test_no_stand_in_that_would_report_something_else(
    store: EngineStore, tmp_path: Path, values: dict[str, object]
) -> None:
    store.set_active("parts", put(store, FP32))
    assert stand_in(store, tmp_path, changed(**values)) == ""


def stand_in(store: EngineStore, tmp_path: Path, bundle: ModelBundle = SAMPLE) -> str:
    found = look(store, tmp_path, bundle=bundle).stand_in("parts")
    return found.entry.manifest.key if found is not None else ""


def test_the_same_form_for_fewer_frames_stands_in(store: EngineStore, tmp_path: Path) -> None:
    """First the engine that served before, also where that was of another batch; else what the store has for one."""
    four = look(store, tmp_path, settings=SETTINGS.model_copy(update={"max_batch": 4}))
    assert four.stand_in("parts", [INT8, FP32]) is None
    key = put(store, FP32)
    found = four.stand_in("parts", [INT8, FP32])
    assert found is not None and found.entry.manifest.key == key
    assert found.candidate.reason == "serves until another is ready"
    assert four.stand_in("parts") is None, "it has not served this pipeline, and nobody asked for such a form"
    store.set_active("parts", key)
    assert (before := four.stand_in("parts")) is not None and before.entry.manifest.key == key


def test_a_forms_batch_is_in_its_key(store: EngineStore, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"max_batch": 4, "precision": "fp32", "precision_fallback": ()})
    four, one = candidates_for(settings, SITE, SAMPLE)
    assert (four.variant.batch, one.variant.batch) == (4, 1)
    key = put(store, four)
    assert put(store, one) != key
    found = look(store, tmp_path, settings=settings).find([four])
    assert found is not None and found.entry.manifest.key == key and batch_of(found.entry.manifest) == 4
    assert [c.variant.batch for c in candidates_for(settings, SITE, SAMPLE, max_batch=2)] == [2, 1]
    assert len(candidates_for(settings, SITE, SAMPLE, max_batch=1)) == 1, "a model's own word counts before all models'"
