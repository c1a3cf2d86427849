"""Why two engines differ, in sentences that a person understands."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgeagent.engine.explain import Difference, explain_difference

FACTS: dict[str, Any] = {
    "key_schema": 2,
    "model_digest": "a" * 64,
    "graft_version": 3,
    "options": {
        "task": "detect",
        "family": "yolov8",
        "classes": ["bolt", "nut"],
        "input": {"width": 320, "height": 320, "scale": 0.5, "mean": [0.0, 0.0, 0.0]},
    },
    "precision": "int8",
    "quantisation": "calibrator",
    "calibration_digest": "b" * 64,
    "placement": "dla",
    "batch": 1,
    "shapes": {"frames": [1, 320, 320, 3]},
    "backend": "tensorrt",
    "fingerprint": {
        "module": "p3767-0000",
        "soc": "tegra234",
        "l4t": "36.4.3",
        "tensorrt": "10.3.0",
        "gpu_parts": "tpc_pg_mask=240 fbp_pg_mask=2",
    },
    "builder": {"optimization_level": 3},
    "plugins": {"libown.so": "c" * 64},
}


def changed(path: str, value: object) -> dict[str, Any]:
    facts = copy.deepcopy(FACTS)
    *above, name = path.split("/")
    place = facts
    for part in above:
        place = place[part]
    place[name] = value
    return facts


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "fingerprint/l4t",
            "36.4.7",
            "L4T differs: 36.4.3 and 36.4.7: a plan runs only under the TensorRT and driver it was built for",
        ),
        (
            "fingerprint/tensorrt",
            "10.7.0",
            "TensorRT differs: 10.3.0 and 10.7.0: a plan runs only under the very release that built it",
        ),
        ("fingerprint/module", "none", "module differs: p3767-0000 and none: a plan is tuned for one module"),
        (
            "fingerprint/gpu_parts",
            "tpc_pg_mask=252 fbp_pg_mask=2",
            "the power mode leaves other parts of the GPU on (tpc mask 240 and 252)",
        ),
        (
            "fingerprint/gpu_parts",
            "tpc_pg_mask=240",
            "the power mode leaves other parts of the GPU on (fbp mask 2 and unknown)",
        ),
        (
            "fingerprint/gpu_parts",
            "none",
            "the power mode leaves other parts of the GPU on (tpc mask 240 and unknown, fbp mask 2 and unknown)",
        ),
        (
            "fingerprint/driver",
            "540.4",
            "the second has a fact that the first lacks: the board driver is 540.4",
        ),
        ("model_digest", "d" * 64, "the model differs: other weights or another graph"),
        (
            "calibration_digest",
            "d" * 64,
            "calibration data differs: INT8 scales follow from the frames they were measured on",
        ),
        ("calibration_digest", "", "the second was made without calibration data of ours"),
        ("precision", "fp16", "precision differs: int8 and fp16"),
        ("placement", "gpu", "what computes it differs: dla and gpu"),
        ("quantisation", "qdq", "where the INT8 scales come from differs: calibrator and qdq"),
        (
            "shapes/frames",
            [1, 320, 352, 3],
            "shape of the input frames differs: 1x320x320x3 and 1x320x352x3: a plan is built for fixed shapes",
        ),
        ("options/input/scale", 0.25, "model.toml input.scale differs: 0.5 and 0.25"),
        ("options/input/mean", [0.0, 0.0, 1.0], "model.toml input.mean differs: 0.0, 0.0, 0.0 and 0.0, 0.0, 1.0"),
        ("options/family", None, "model.toml family differs: yolov8 and none"),
        ("options/classes", ["bolt", "screw"], "the class lists differ: class 1 is nut and screw"),
        ("options/classes", ["nut", "bolt"], "the class lists differ: class 0 is bolt and nut, and 1 more"),
        ("options/classes", ["bolt"], "the class lists differ: 2 and 1 names"),
        (
            "builder/calibration_ranges",
            "entropy",
            "the second has a fact that the first lacks: what the scales of a calibrated engine cover is entropy",
        ),
        (
            "builder/optimization_level",
            "default",
            "builder's optimisation level differs: 3 and default: how hard fast kernels were looked for",
        ),
        (
            "plugins/libown.so",
            "e" * 64,
            "plugin library libown.so differs: another build of a plugin may compute something else",
        ),
        (
            "plugins/other.so",
            "e" * 64,
            "the second has a fact that the first lacks: plugin library other.so is eeeeeeeeeeee…",
        ),
        (
            "key_schema",
            1,
            "key schema differs: 2 and 1: one was made by another release of edgeagent, which counted other facts",
        ),
        ("weather", "rain", "the second has a fact that the first lacks: weather is rain"),
    ],
)
def test_one_difference_is_one_sentence(path: str, value: object, sentence: str) -> None:
    (found,) = explain_difference(FACTS, changed(path, value))
    assert found.sentence == sentence
    assert found.fact == path.replace("/", ".")


def test_what_only_the_first_has() -> None:
    (found,) = explain_difference(changed("fingerprint/driver", "540.4"), FACTS)
    assert found == Difference(
        "fingerprint.driver",
        "first",
        "540.4",
        None,
        "the first has a fact that the second lacks: the board driver is 540.4",
    )


def test_nothing_on_one_side_is_told_by_what_the_other_has() -> None:
    """Not as `plugin library is nothing` beside it."""
    found = explain_difference({**FACTS, "plugins": {}}, {**FACTS, "plugins": {"a.so": "e" * 64, "b.so": "f" * 64}})
    assert [one.fact for one in found] == ["plugins.a.so", "plugins.b.so"]
    (alone,) = explain_difference({"plugins": {}}, {})
    assert alone.fact == "plugins"
    assert [one.fact for one in explain_difference({"a": 5}, {"a": {"b": 1}})] == ["a", "a.b"]


def test_the_same_facts_have_no_difference() -> None:
    assert explain_difference(FACTS, copy.deepcopy(FACTS)) == []


def test_a_tuple_and_a_list_are_one_thing() -> None:
    assert explain_difference(FACTS, changed("shapes/frames", (1, 320, 320, 3))) == []


def test_several_come_in_the_order_in_which_one_would_ask() -> None:
    other = changed("fingerprint/l4t", "36.4.7")
    other["model_digest"], other["precision"] = "d" * 64, "fp16"
    assert [one.fact for one in explain_difference(FACTS, other)] == ["model_digest", "precision", "fingerprint.l4t"]


def test_an_old_manifest_without_most_facts() -> None:
    old = {"key_schema": 1, "model_digest": "a" * 64, "fingerprint": {}}
    found = explain_difference(old, FACTS)
    assert found[0].fact == "key_schema"
    assert all("\n" not in one.sentence for one in found)
    assert "the second has a fact that the first lacks: backend is tensorrt" in [one.sentence for one in found]


def test_long_and_odd_values_stay_one_short_line() -> None:
    (found,) = explain_difference(FACTS, changed("options/family", "x\n" * 500))
    assert "\n" not in found.sentence and len(found.sentence) < 200
