"""The key: every fact counts, nothing else does, and its value is pinned."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from types import MappingProxyType

import pytest
from engine_kit import Net, write_bundle

from edgeagent.engine import key as key_module
from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.key import EngineWish, canonical_json, engine_facts, engine_key
from edgeagent.engine.wish import wish_for

WISH = EngineWish(
    model_digest="a" * 64,
    graft_version=1,
    options={"family": "yolov8", "classes": ["bolt", "nut"], "input": {"width": 320, "scale": 0.5}},
    precision="int8",
    calibration_digest="b" * 64,
    placement="cpu",
    batch=1,
    backend="onnxruntime",
    fingerprint={"module": "p3767-0005", "l4t": "36.4.3"},
)


def test_the_golden_value() -> None:
    """Pinned: another key for the same facts would make every fleet build every engine again."""
    assert engine_key(WISH) == "22887f19061d6d46b7b2ac68c332de41"


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "c" * 64},
        {"graft_version": 2},
        {"options": {**WISH.options, "family": "yolov9"}},
        {"options": {**WISH.options, "classes": ["nut", "bolt"]}},
        {"options": {**WISH.options, "input": {"width": 320, "scale": 0.25}}},
        {"precision": "fp32"},
        {"calibration_digest": ""},
        {"placement": "gpu"},
        {"batch": 2},
        {"backend": "tensorrt"},
        {"fingerprint": {**WISH.fingerprint, "l4t": "36.4.4"}},
        {"fingerprint": {"module": "p3767-0005"}},
        {"fingerprint": {**WISH.fingerprint, "driver": ""}},
    ],
)
def test_every_fact_changes_the_key(change: dict[str, object]) -> None:
    assert engine_key(dataclasses.replace(WISH, **change)) != engine_key(WISH)


def test_the_changes_above_name_every_field() -> None:
    changed = {name for mark in test_every_fact_changes_the_key.pytestmark for case in mark.args[1] for name in case}
    assert changed == {field.name for field in dataclasses.fields(EngineWish)}


def test_the_order_of_mappings_does_not_count() -> None:
    turned = dataclasses.replace(
        WISH,
        options=dict(reversed(list(WISH.options.items()))),
        fingerprint=MappingProxyType(dict(reversed(list(WISH.fingerprint.items())))),
    )
    assert engine_key(turned) == engine_key(WISH)


def test_a_key_is_32_hex_digits() -> None:
    assert len(engine_key(WISH)) == 32
    assert int(engine_key(WISH), 16) >= 0


def test_nothing_that_is_no_number_goes_in() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"scale": float("nan")})


def test_the_module_asks_no_clock_no_host_and_no_file() -> None:
    names = set(vars(key_module))
    assert not names & {"time", "os", "socket", "platform", "Path", "random", "uuid"}


# from a bundle to the wish


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return write_bundle(tmp_path / "model", Net())


def key_of(bundle: ModelBundle, **values: object) -> str:
    common = {"precision": "int8", "calibration_digest": "d", "backend": "onnxruntime", "fingerprint": {"soc": "x"}}
    return engine_key(wish_for(bundle, **{**common, **values}))


def test_the_place_of_a_bundle_and_its_names_do_not_count(bundle: ModelBundle, tmp_path: Path) -> None:
    elsewhere = write_bundle(tmp_path / "elsewhere", Net())
    renamed = bundle.model_copy(update={"spec": bundle.spec.model_copy(update={"name": "other", "version": "7"})})
    assert key_of(elsewhere) == key_of(renamed) == key_of(bundle)


def test_what_changes_the_graph_counts(bundle: ModelBundle, tmp_path: Path) -> None:
    weights = write_bundle(tmp_path / "weights", Net(seed=1))
    colour = write_bundle(tmp_path / "colour", Net(), color="bgr")
    mean = write_bundle(tmp_path / "mean", Net(), mean=[0.5, 0.5, 0.5])
    keys = [key_of(one) for one in (bundle, weights, colour, mean)]
    keys += [key_of(bundle, precision="fp32"), key_of(bundle, calibration_digest="e"), key_of(bundle, backend="trt")]
    assert len(set(keys)) == len(keys)


def test_calibration_counts_for_int8_only(bundle: ModelBundle) -> None:
    one, two = (key_of(bundle, precision="fp32", calibration_digest=digest) for digest in ("d", "e"))
    assert one == two


def test_the_facts_lead_back_to_the_key(bundle: ModelBundle) -> None:
    """Whoever reads a manifest can tell whether its facts are those of its key."""
    wish = wish_for(bundle, precision="int8", calibration_digest="d", backend="onnxruntime", fingerprint={"soc": "x"})
    facts = json.loads(json.dumps(engine_facts(wish)))
    assert hashlib.sha256(canonical_json(facts)).hexdigest()[:32] == engine_key(wish)
