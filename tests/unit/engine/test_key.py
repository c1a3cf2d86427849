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
from edgeagent.engine.key import KEY_SCHEMA, EngineWish, canonical_json, engine_facts, engine_key, key_of_facts
from edgeagent.engine.variant import Variant
from edgeagent.engine.wish import wish_for

WISH = EngineWish(
    model_digest="a" * 64,
    graft_version=1,
    options={"family": "yolov8", "classes": ["bolt", "nut"], "input": {"width": 320, "scale": 0.5}},
    precision="int8",
    quantisation="calibrator",
    calibration_digest="b" * 64,
    placement="dla",
    batch=1,
    shapes={"frames": (1, 320, 320, 3)},
    backend="tensorrt",
    fingerprint={"module": "p3767-0000", "l4t": "36.4.3", "gpu_parts": "tpc_pg_mask=240"},
    builder={"optimization_level": 3, "dla_max_gpu_macs": 0.2},
    plugins={"libown.so": "d" * 64},
)


def test_the_golden_value() -> None:
    """Pinned: another key for the same facts would make every fleet build every engine again."""
    assert engine_key(WISH) == "5a340e2882a5c1275717de599b2216f2"


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "c" * 64},
        {"graft_version": 2},
        {"options": {**WISH.options, "family": "yolov9"}},
        {"options": {**WISH.options, "classes": ["nut", "bolt"]}},
        {"options": {**WISH.options, "input": {"width": 320, "scale": 0.25}}},
        {"precision": "fp16"},
        {"quantisation": "qdq"},
        {"calibration_digest": ""},
        {"placement": "gpu"},
        {"batch": 2},
        {"shapes": {"frames": (1, 320, 352, 3)}},
        {"shapes": {"images": (1, 320, 320, 3)}},
        {"shapes": {**WISH.shapes, "sizes": (1, 2)}},
        {"backend": "onnxruntime"},
        {"fingerprint": {**WISH.fingerprint, "l4t": "36.4.4"}},
        {"fingerprint": {**WISH.fingerprint, "gpu_parts": "tpc_pg_mask=252"}},
        {"fingerprint": {"module": "p3767-0000"}},
        {"fingerprint": {**WISH.fingerprint, "driver": ""}},
        {"builder": {**WISH.builder, "optimization_level": 4}},
        {"builder": {"optimization_level": 3}},
        {"builder": {**WISH.builder, "dla_max_gpu_macs": 0.25}},
        {"plugins": {"libown.so": "e" * 64}},
        {"plugins": {"libother.so": "d" * 64}},
        {"plugins": {}},
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


def wish_of(bundle: ModelBundle, form: str = "int8 qdq cpu", batch: int = 1, **values: object) -> EngineWish:
    common = {"calibration_digest": "d", "backend": "onnxruntime", "fingerprint": {"soc": "x"}}
    return wish_for(bundle, Variant(*form.split(), batch=batch), **{**common, **values})


def key_of(bundle: ModelBundle, form: str = "int8 qdq cpu", **values: object) -> str:
    return engine_key(wish_of(bundle, form, **values))


def test_the_place_of_a_bundle_and_its_names_do_not_count(bundle: ModelBundle, tmp_path: Path) -> None:
    elsewhere = write_bundle(tmp_path / "elsewhere", Net())
    renamed = bundle.model_copy(update={"spec": bundle.spec.model_copy(update={"name": "other", "version": "7"})})
    assert key_of(elsewhere) == key_of(renamed) == key_of(bundle)


def test_what_changes_the_graph_counts(bundle: ModelBundle, tmp_path: Path) -> None:
    weights = write_bundle(tmp_path / "weights", Net(seed=1))
    colour = write_bundle(tmp_path / "colour", Net(), color="bgr")
    mean = write_bundle(tmp_path / "mean", Net(), mean=[0.5, 0.5, 0.5])
    forms = ["int8 calibrator cpu", "int8 model cpu", "int8 qdq gpu", "int8 qdq dla", "fp16 none cpu", "fp32 none cpu"]
    keys = [key_of(one) for one in (bundle, weights, colour, mean)]
    keys += [key_of(bundle, form) for form in forms]
    keys += [key_of(bundle, calibration_digest="e"), key_of(bundle, backend="tensorrt"), key_of(bundle, batch=2)]
    keys += [key_of(bundle, builder={"optimization_level": 5}), key_of(bundle, plugins={"a.so": "d"})]
    keys += [key_of(bundle, fingerprint={"soc": "y"})]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("form", ["fp32 none cpu", "fp16 none gpu", "int8 model gpu"])
def test_calibration_counts_only_where_scales_are_measured(bundle: ModelBundle, form: str) -> None:
    assert key_of(bundle, form, calibration_digest="e") == key_of(bundle, form, calibration_digest="d")


def test_the_shapes_are_those_of_the_frames(bundle: ModelBundle) -> None:
    size = bundle.spec.input
    assert wish_of(bundle, batch=4).shapes == {"frames": (4, size.height, size.width, 3)}


def test_a_wish_keeps_nothing_that_can_change_under_it(bundle: ModelBundle) -> None:
    fingerprint = {"soc": "x"}
    wish = wish_of(bundle, fingerprint=fingerprint)
    before = engine_key(wish)
    fingerprint["soc"] = "y"
    assert engine_key(wish) == before


def test_the_facts_lead_back_to_the_key(bundle: ModelBundle) -> None:
    """Whoever reads a manifest can tell whether its facts are those of its key."""
    wish = wish_of(bundle)
    facts = json.loads(json.dumps(engine_facts(wish)))
    assert facts["key_schema"] == KEY_SCHEMA
    assert key_of_facts(facts) == engine_key(wish)
    assert hashlib.sha256(canonical_json(facts)).hexdigest()[:32] == engine_key(wish)
