"""Which forms are tried: every release and placement of the facts, and wishes that fit nothing."""

from __future__ import annotations

from typing import Any

import pytest

from edgeagent.engine.choice import FormWish, Ground, list_candidates
from edgeagent.errors import EngineError

NO_DLA = {"dla": "no", "dla_reason": "Orin Nano has no DLA"}


def lines(ground: dict[str, Any], **wish: Any) -> list[str]:
    common = {"backend": "tensorrt", "tensorrt": (10, 3, 0), "dla": "yes", **ground}
    return [candidate.variant.line() for candidate in list_candidates(FormWish(**wish), Ground(**common))]


def refused(ground: dict[str, Any], **wish: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        lines(ground, **wish)
    assert caught.value.mend
    return caught.value


@pytest.mark.parametrize(
    ("ground", "wanted"),
    [
        ({}, ["INT8 on a DLA, calibrated", "INT8 on the GPU, Q/DQ"]),
        ({"tensorrt": (8, 6, 2)}, ["INT8 on a DLA, calibrated", "INT8 on the GPU, Q/DQ"]),
        ({"tensorrt": (10, 13, 3), **NO_DLA}, ["INT8 on the GPU, Q/DQ"]),
        ({"tensorrt": (11, 4, 1)}, ["INT8 on a DLA, Q/DQ", "INT8 on the GPU, Q/DQ"]),
        ({"tensorrt": (11, 4, 0), **NO_DLA}, ["INT8 on the GPU, Q/DQ"]),
        ({"tensorrt": (10, 3, 0), **NO_DLA}, ["INT8 on the GPU, Q/DQ"]),
        ({"dla": "unknown"}, ["INT8 on the GPU, Q/DQ"]),
        ({"tensorrt": (), **NO_DLA}, ["INT8 on the GPU, Q/DQ"]),
        ({"backend": "onnxruntime"}, ["INT8 on the CPU, Q/DQ"]),
        ({"own_qdq": True}, ["INT8 on a DLA, the model's own Q/DQ", "INT8 on the GPU, the model's own Q/DQ"]),
        ({"backend": "onnxruntime", "own_qdq": True}, ["INT8 on the CPU, the model's own Q/DQ"]),
    ],
)
def test_what_auto_means(ground: dict[str, Any], wanted: list[str]) -> None:
    assert lines(ground) == wanted


def test_fallbacks_come_after_everything_of_the_wanted_precision() -> None:
    assert lines({}, precision_fallback=("fp16", "fp32")) == [
        "INT8 on a DLA, calibrated",
        "INT8 on the GPU, Q/DQ",
        "FP16 on a DLA",
        "FP16 on the GPU",
        "FP32 on the GPU",
    ]


def test_several_frames_at_once_and_each_form_for_one_behind_it() -> None:
    assert lines({}, max_batch=4, precision_fallback=("fp16",)) == [
        "INT8 on a DLA, calibrated, 4 frames at once",
        "INT8 on a DLA, calibrated",
        "INT8 on the GPU, Q/DQ, 4 frames at once",
        "INT8 on the GPU, Q/DQ",
        "FP16 on a DLA, 4 frames at once",
        "FP16 on a DLA",
        "FP16 on the GPU, 4 frames at once",
        "FP16 on the GPU",
    ]
    ground = Ground(backend="onnxruntime")
    four, one = list_candidates(FormWish(max_batch=4), ground)
    assert four.reason == "" and one.reason == "one frame at once, instead of 4"
    assert [one.variant.batch for one in list_candidates(FormWish(), ground)] == [1]


def test_a_dla_computes_no_fp32() -> None:
    assert lines({}, precision="fp32") == ["FP32 on the GPU"]
    error = refused({}, precision="fp32", placement="dla", dla_fallback="refuse")
    assert error.error_code == "precision_unsupported" and "INT8 and FP16 only" in error.message


@pytest.mark.parametrize(("placement", "core"), [("dla", None), ("dla0", 0), ("dla1", 1)])
def test_a_dla_by_name(placement: Any, core: int | None) -> None:
    first, second = list_candidates(FormWish(placement=placement), Ground("tensorrt", (10, 3, 0), "yes"))
    assert (first.variant.placement, first.dla_core, first.reason) == ("dla", core, "")
    assert second.variant.placement == "gpu" and second.reason == "instead of INT8 on a DLA, calibrated"


def test_a_dla_that_is_not_there() -> None:
    ground = Ground("tensorrt", (10, 3, 0), "no", "Orin Nano has no DLA")
    (only,) = list_candidates(FormWish(placement="dla"), ground)
    assert (only.variant.placement, only.reason) == ("gpu", "Orin Nano has no DLA")
    assert list_candidates(FormWish(), ground)[0].reason == "", "auto asked for nothing that it did not get"
    error = refused(NO_DLA, placement="dla", dla_fallback="refuse")
    assert (error.error_code, "Orin Nano has no DLA" in error.message) == ("dla_refused", True)


def test_a_core_that_is_not_there_is_no_dla() -> None:
    one = {"dla_cores": 1, "dla_reason": "Orin NX 8GB has 1 DLA core"}
    assert lines(one, placement="dla0")[0] == lines(one, placement="dla")[0] == "INT8 on a DLA, calibrated"
    (only,) = list_candidates(FormWish(placement="dla1"), Ground("tensorrt", (10, 3, 0), "yes", **one))
    assert only.variant.placement == "gpu"
    assert only.reason == "there is no core 1 of the DLA (Orin NX 8GB has 1 DLA core)"
    error = refused(one, placement="dla1", dla_fallback="refuse")
    assert (error.error_code, "there is no core 1" in error.message) == ("dla_refused", True)
    assert lines({"dla_cores": 2}, placement="dla1")[0] == "INT8 on a DLA, calibrated"
    assert lines({"dla_cores": None, "dla": "unknown"}, placement="dla1")[0] == "INT8 on a DLA, calibrated"


def test_an_unknown_dla_is_tried_where_it_was_asked_for() -> None:
    assert lines({"dla": "unknown"}, placement="dla")[0] == "INT8 on a DLA, calibrated"
    assert lines({"dla": "unknown"}, placement="dla", dla_fallback="refuse") == ["INT8 on a DLA, calibrated"]


def test_quantisation_by_name() -> None:
    assert lines(NO_DLA, quantisation="qdq") == ["INT8 on the GPU, Q/DQ"]
    assert lines({"tensorrt": (10, 16, 1), **NO_DLA}, quantisation="calibrator") == ["INT8 on the GPU, calibrated"]
    assert lines({}, quantisation="qdq") == ["INT8 on the GPU, Q/DQ"], "no Q/DQ on a DLA of this release"
    error = refused({"tensorrt": (11, 1, 0), **NO_DLA}, quantisation="calibrator")
    assert "TensorRT 11.1.0 has no calibrator" in error.message
    error = refused({}, quantisation="qdq", placement="dla", dla_fallback="refuse")
    assert "takes INT8 by calibration only" in error.message


def test_the_cpu_has_no_fp16_and_no_placement() -> None:
    cpu = {"backend": "onnxruntime"}
    assert refused(cpu, precision="fp16").error_code == "precision_unsupported"
    assert refused(cpu, placement="gpu").error_code == "placement_unsupported"
    assert refused(cpu, quantisation="calibrator").error_code == "precision_unsupported"
    (only,) = list_candidates(FormWish(precision="fp16", precision_fallback=("fp32",)), Ground("onnxruntime"))
    assert only.variant.line() == "FP32 on the CPU" and "no FP16" in only.reason
