"""Which flags, limits and devices follow from a release, a variant, options and what is free."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.build.backend import BuilderOptions
from edgeagent.engine.build.tensorrt.capabilities import Capabilities, parse_version
from edgeagent.engine.build.tensorrt.settings import FreeMemory, decide_settings, memory_limits
from edgeagent.engine.variant import Variant
from edgeagent.errors import EngineError

FLAGS = frozenset({"FP16", "INT8", "TF32", "GPU_FALLBACK"})
POOLS = frozenset({"WORKSPACE", "TACTIC_DRAM"})
OLD = Capabilities(
    "8.6.2", (8, 6, 2), True, True, False, True, False, frozenset({"EXPLICIT_BATCH"}), FLAGS, POOLS, frozenset()
)
NEW = replace(
    OLD, release="11.4.1", version=(11, 4, 1), precision_flags=False, calibrator=False, monitor=True,
    network_flags=frozenset({"STRONGLY_TYPED"}), builder_flags=frozenset({"TF32", "GPU_FALLBACK"}),
)  # fmt: skip
ROOM = FreeMemory(6000, 8000, True)


def flags(can: Capabilities, precision: str, quantisation: str, placement: str = "gpu") -> set[str]:
    variant = Variant(precision, quantisation, placement)  # type: ignore[arg-type]
    return set(decide_settings(can, variant, BuilderOptions(), ROOM).builder_flags)


def test_flags_where_there_are_any() -> None:
    assert flags(OLD, "fp32", "none") == set()
    assert flags(OLD, "fp16", "none") == {"FP16"}
    assert flags(OLD, "int8", "calibrator") == flags(OLD, "int8", "qdq") == {"INT8", "FP16"}
    assert flags(OLD, "int8", "calibrator", "dla") == {"INT8", "FP16", "GPU_FALLBACK"}
    assert flags(NEW, "fp16", "none") == flags(NEW, "int8", "qdq") == set()
    assert flags(NEW, "int8", "qdq", "dla") == {"GPU_FALLBACK"}


def test_fp32_means_fp32_and_not_tf32() -> None:
    fp32 = decide_settings(OLD, Variant("fp32", "none", "gpu"), BuilderOptions(), ROOM)
    assert fp32.without_flags == ("TF32",)
    assert decide_settings(OLD, Variant("fp16", "none", "gpu"), BuilderOptions(), ROOM).without_flags == ()


def test_a_typed_network_is_brought_into_fp16_itself() -> None:
    settings = decide_settings(NEW, Variant("fp16", "none", "gpu"), BuilderOptions(), ROOM)
    assert settings.half_network and settings.network_flags == ("STRONGLY_TYPED",)
    assert not decide_settings(NEW, Variant("int8", "qdq", "gpu"), BuilderOptions(), ROOM).half_network
    assert not decide_settings(OLD, Variant("fp16", "none", "gpu"), BuilderOptions(), ROOM).half_network


@pytest.mark.parametrize(
    ("can", "variant", "code"),
    [
        (NEW, Variant("int8", "calibrator", "gpu"), "precision_unsupported"),
        (OLD, Variant("int8", "model", "dla"), "precision_unsupported"),
        (OLD, Variant("fp32", "none", "dla"), "precision_unsupported"),
        (OLD, Variant("int8", "none", "gpu"), "precision_unsupported"),
        (OLD, Variant("fp16", "qdq", "gpu"), "precision_unsupported"),
        (replace(OLD, version=(10, 8), release="10.8.0"), Variant("fp16", "none", "dla"), "dla_refused"),
        (replace(NEW, version=(11, 4, 0, 106), release="11.4.0.106"), Variant("int8", "qdq", "dla"), "dla_refused"),
    ],
)
def test_what_cannot_be_is_refused(can: Capabilities, variant: Variant, code: str) -> None:
    with pytest.raises(EngineError) as caught:
        decide_settings(can, variant, BuilderOptions(), ROOM)
    assert caught.value.error_code == code and caught.value.mend


def test_what_a_release_lacks_is_left_out() -> None:
    bare = replace(OLD, optimization_level=False, memory_pools=frozenset({"WORKSPACE"}))
    settings = decide_settings(bare, Variant("fp16", "none", "gpu"), BuilderOptions(optimization_level=2), ROOM)
    assert (settings.level, settings.tactic_mb) == (None, None)
    assert decide_settings(OLD, Variant("fp16", "none", "gpu"), BuilderOptions(optimization_level=0), ROOM).level == 0


@given(st.integers(0, 1 << 20), st.none() | st.integers(1, 1 << 14), st.none() | st.integers(1, 1 << 14))
def test_limits_fit_in_what_is_free_and_are_what_8_6_takes(
    free: int, workspace: int | None, tactic: int | None
) -> None:
    options = BuilderOptions(workspace_mb=workspace, tactic_memory_mb=tactic)
    found = memory_limits(options, FreeMemory(free, 1 << 20, False))
    assert found[0] == workspace if workspace else 64 <= found[0] <= max(64, min(4096, free))
    assert found[1] & (found[1] - 1) == 0 and found[1] >= 64
    assert found[1] <= max(64, tactic or free)


@pytest.mark.parametrize(
    ("text", "version"), [("10.13.3.9", (10, 13, 3, 9)), ("8.6.1.post1", (8, 6, 1)), ("11", (11,)), ("unknown", (0,))]
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version
