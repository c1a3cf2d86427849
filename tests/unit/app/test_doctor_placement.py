"""Pipelines that are placed by name, against boards with and without that place."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.app.backends import choose_backend
from edgeagent.app.doctor import run_doctor
from edgeagent.app.doctor_placement import Places, check_placement
from edgeagent.board.dla import DlaAnswer
from edgeagent.config.schema import Config
from edgeagent.simulate.board import make_board

TWO = DlaAnswer("yes", 2, "AGX Orin has 2 DLA cores")
ONE = DlaAnswer("yes", 1, "Orin NX 8GB has 1 DLA core")
NONE = DlaAnswer("no", 0, "Orin Nano has no DLA")
UNSURE = DlaAnswer("unknown", 2, "ask it for num_DLA_cores")


def config(own: str | None, **engines: str) -> Config:
    pipeline = {"camera": "gate", "model": "people", **({"placement": own} if own else {})}
    tables = {
        "cameras": {"gate": {"source": {"type": "synthetic"}}},
        "models": {"people": {"path": "/models/people"}},
        "pipelines": {"people": pipeline, "off": {**pipeline, "enabled": False}},
    }
    return Config.model_validate({**tables, "engines": engines})


def told(wanted: Config, places: Places) -> tuple[str, str, str]:
    (one,) = check_placement(wanted, places)
    assert one.name == "pipeline people"
    return one.state, one.text, one.mend


@pytest.mark.parametrize(
    ("placement", "dla", "text"),
    [
        ("gpu", NONE, "placed on the GPU"),
        ("dla", ONE, "placed on a DLA"),
        ("dla0", ONE, "placed on dla0"),
        ("dla1", TWO, "placed on dla1"),
        ("dla1", UNSURE, "placed on dla1, if there is one: ask it for num_DLA_cores"),
    ],
)
def test_a_place_that_is_there(placement: str, dla: DlaAnswer, text: str) -> None:
    assert told(config(placement), Places("tensorrt", dla)) == ("ok", text, "")


@pytest.mark.parametrize(
    ("placement", "dla", "why", "others"),
    [
        ("dla", NONE, "Orin Nano has no DLA", '"gpu" or "auto"'),
        ("dla0", NONE, "Orin Nano has no DLA", '"gpu" or "auto"'),
        ("dla1", ONE, "there is no core 1 of the DLA (Orin NX 8GB has 1 DLA core)", '"dla", "gpu" or "auto"'),
    ],
)
def test_a_dla_that_is_not_there_is_the_gpu_or_no_engine(placement: str, dla: DlaAnswer, why: str, others: str) -> None:
    key = "pipelines.people.placement"
    assert told(config(placement), Places("tensorrt", dla)) == (
        "warning", f"{key} is {placement!r}: {why}; it runs on the GPU instead", f"set {key} to {others}",
    )  # fmt: skip
    state, text, mend = told(config(placement, dla_fallback="refuse"), Places("tensorrt", dla))
    assert (state, text) == ("problem", f"{key} is {placement!r}: {why}; the pipeline gets no engine")
    assert mend == f'set {key} to {others}, or engines.dla_fallback = "gpu"'


def test_the_key_that_places_it_is_named() -> None:
    state, text, mend = told(config(None, placement="dla1"), Places("tensorrt", ONE))
    assert (state, text.split(":")[0]) == ("warning", "engines.placement is 'dla1'")
    assert mend.startswith("set engines.placement to ")


@pytest.mark.parametrize("placement", ["gpu", "dla", "dla0", "dla1"])
def test_on_the_cpu_nothing_can_be_placed_by_name(placement: str) -> None:
    state, text, mend = told(config(placement), Places("onnxruntime", NONE))
    assert (state, "ONNX Runtime computes on the CPU" in text) == ("problem", True)
    assert mend == 'set pipelines.people.placement = "auto", or install TensorRT'


def test_auto_has_nothing_to_say() -> None:
    assert list(check_placement(config(None), Places("onnxruntime", NONE))) == []
    assert list(check_placement(config("auto", placement="dla1"), Places("tensorrt", NONE))) == []


def test_a_backend_that_is_not_there_costs_every_pipeline() -> None:
    missing = 'engines.backend is "tensorrt", and there is no NVIDIA GPU here'
    places = Places("onnxruntime", NONE, missing=missing)
    (one,) = check_placement(config("gpu", backend="tensorrt"), places)
    assert (one.name, one.state, one.text) == ("backend", "problem", f"{missing}: no pipeline runs")
    assert one.mend.startswith('set engines.backend = "auto"')
    assert list(check_placement(Config.model_validate({"engines": {"backend": "tensorrt"}}), places)) == []


FILE = """
[cameras.gate.source]
type = "synthetic"
[models.people]
path = "/models/people"
[pipelines.people]
camera = "gate"
model = "people"
placement = "dla1"
"""


@pytest.mark.parametrize(
    ("board", "line"),
    [
        ("agx-orin-r36", "ok       pipeline people  placed on dla1"),
        ("orin-nano-r36", "is 'dla1': Jetson Orin Nano 8GB has no DLA; it runs on the GPU instead"),
        ("thor-r38", "is 'dla1': Jetson AGX Thor T5000 has no DLA; it runs on the GPU instead"),
        ("pc", "is 'dla1', and ONNX Runtime computes on the CPU: the pipeline gets no engine"),
    ],
)
def test_the_doctor_judges_the_board_of_the_root(board: str, line: str, tmp_path: Path) -> None:
    root = make_board(board, tmp_path / "board", seed=1).root
    file = root / "etc/edgeagent/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FILE)
    _, text = run_doctor(root, False, limit_s=0.1)
    (found,) = [one for one in text.splitlines() if line in one]
    here = "an agent that runs on this machine has no TensorRT" in found
    assert here == (board != "pc" and choose_backend("auto") == "onnxruntime")
