"""What is taken out of the store to relieve the board, and why there is nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "engine"))
from engine_kit import put_entry

from edgeagent.app.engine_forms import Site, builder_for, candidates_for, engine_wish
from edgeagent.app.engine_job import Wanted
from edgeagent.app.lesser_engines import LesserEngines
from edgeagent.board.dla import DlaAnswer
from edgeagent.config.engine_tables import EngineSettings
from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.choice import Candidate
from edgeagent.engine.key import engine_facts, engine_key
from edgeagent.engine.manifest import Agreement
from edgeagent.engine.store import EngineStore
from edgeagent.errors import EngineError

SAMPLE = load_bundle("sample:conveyor")
FP16 = EngineSettings(precision="fp16", placement="gpu")
WITH_DLA = Site("tensorrt", {"board": "test"}, DlaAnswer("yes", 2, ""), tensorrt=(10, 3, 0))
NONE = DlaAnswer("no", 0, "Jetson Orin Nano 8GB has no DLA")
WITHOUT = Site("tensorrt", {"board": "test"}, NONE, tensorrt=(10, 3, 0))
ON_CPU = Site("onnxruntime", {"board": "test"}, tensorrt=())


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


def served(width: int = 320, height: int = 320, classes: tuple[str, ...] | None = None) -> Any:
    return SimpleNamespace(
        name="p",
        model="parts",
        ring=SimpleNamespace(layout=SimpleNamespace(width=width, height=height)),
        settings=SimpleNamespace(classes=classes),
    )


def engines(store: EngineStore, tmp_path: Path, site: Site, settings: EngineSettings = FP16) -> LesserEngines:
    def wanted(served: Any, model: str) -> Wanted:
        return Wanted(served.name, "sample:conveyor", SAMPLE, tmp_path / "calibration", None)

    return LesserEngines(lambda: store, settings, site, wanted)


def put(
    store: EngineStore,
    candidate: Candidate,
    site: Site,
    settings: EngineSettings,
    digest: str = "",
    agrees: float = 0.99,
) -> str:
    wish = engine_wish(site, SAMPLE, candidate, builder_for(settings, site, candidate, {}), digest)
    put_entry(
        store,
        key := engine_key(wish),
        facts=engine_facts(wish),
        model=SAMPLE.spec,
        precision=candidate.variant.precision,
        quantisation=candidate.variant.quantisation,
        placement=candidate.variant.placement,
        calibration_digest=digest,
        agreement=Agreement(
            value=agrees, basis="detections", frames=4, reference_detections=9, engine_ms=1.5, reference_ms=1.0
        ),
    )
    return key


SIZE = (SAMPLE.spec.input.width, SAMPLE.spec.input.height)


def test_an_engine_for_a_dla_is_found_where_the_settings_say_gpu(store: EngineStore, tmp_path: Path) -> None:
    on_gpu = candidates_for(FP16, WITH_DLA, SAMPLE)[0]
    dla = FP16.model_copy(update={"placement": "dla"})
    on_dla = candidates_for(dla, WITH_DLA, SAMPLE)[0]
    assert (on_gpu.variant.placement, on_dla.variant.placement) == ("gpu", "dla")
    put(store, on_gpu, WITH_DLA, FP16)
    finder = engines(store, tmp_path, WITH_DLA)
    with pytest.raises(EngineError, match=r"no engine of conveyor for a DLA is ready in the store") as caught:
        finder.find(served(*SIZE), "", "dla")
    assert "edgeagent engine build" in caught.value.mend
    key = put(store, on_dla, WITH_DLA, dla)
    found = finder.find(served(*SIZE), "", "dla")
    assert (found.ready.entry.manifest.key, found.ready.entry.manifest.placement) == (key, "dla")
    assert (found.model, list(found.classes)) == ("parts", SAMPLE.spec.classes)


@pytest.mark.parametrize(
    ("site", "says"),
    [(WITHOUT, "Jetson Orin Nano 8GB has no DLA"), (ON_CPU, "ONNX Runtime computes on the CPU")],
)
def test_without_a_dla_the_reason_is_the_boards(store: EngineStore, tmp_path: Path, site: Site, says: str) -> None:
    settings = FP16 if site is WITHOUT else EngineSettings(precision="fp32")
    with pytest.raises(EngineError, match=says):
        engines(store, tmp_path, site, settings).find(served(*SIZE), "", "dla")


def test_an_engine_in_quarantine_is_none(store: EngineStore, tmp_path: Path) -> None:
    settings = EngineSettings(precision="fp32")
    key = put(store, candidates_for(settings, ON_CPU, SAMPLE)[0], ON_CPU, settings)
    finder = engines(store, tmp_path, ON_CPU, settings)
    assert finder.find(served(*SIZE), "tiny", "").ready.entry.manifest.key == key
    store.quarantine(key, "engine_crashed", "it crashed")
    with pytest.raises(EngineError, match="no engine of conveyor is ready"):
        finder.find(served(*SIZE), "tiny", "")


def test_a_model_for_other_pictures_or_other_classes_does_not_fit(store: EngineStore, tmp_path: Path) -> None:
    settings = EngineSettings(precision="fp32")
    put(store, candidates_for(settings, ON_CPU, SAMPLE)[0], ON_CPU, settings)
    finder = engines(store, tmp_path, ON_CPU, settings)
    with pytest.raises(EngineError, match=f"takes pictures of {SIZE[0]}x{SIZE[1]}, the pipeline's are 64x64"):
        finder.find(served(64, 64), "tiny", "")
    with pytest.raises(EngineError, match="the model conveyor knows no unicorn"):
        finder.find(served(*SIZE, classes=("unicorn",)), "tiny", "")


def test_one_calibrated_on_other_frames_is_good_enough_where_it_agrees(store: EngineStore, tmp_path: Path) -> None:
    settings = EngineSettings()
    int8 = candidates_for(settings, ON_CPU, SAMPLE)[0]
    put(store, int8, ON_CPU, settings, "a" * 64, agrees=0.7)
    finder = engines(store, tmp_path, ON_CPU, settings)
    with pytest.raises(EngineError, match="no engine of conveyor is ready"):
        finder.find(served(*SIZE), "tiny", "")
    key = put(store, int8, ON_CPU, settings, "b" * 64)
    assert finder.find(served(*SIZE), "tiny", "").ready.entry.manifest.key == key
