"""When a build may start, and with how much memory."""

from __future__ import annotations

import pytest

from edgeagent.engine.build.gate import Go, Have, Hold, Need, decide_start, is_low, memory_need_mb

NEED = Need("tensorrt", model_mb=50, min_disk_free_mb=256)
PLENTY = Have(6000, 8000, 10_000)


def test_plenty_starts_with_two_fifths_of_what_is_free() -> None:
    assert decide_start(NEED, PLENTY) == Go(2400)
    assert decide_start(NEED, Have(60_000, 64_000, 10_000)) == Go(4096)
    assert decide_start(Need("onnxruntime", 50, 256), PLENTY) == Go(None)


@pytest.mark.parametrize(("divisor", "workspace"), [(1, 2400), (2, 1200), (8, 300), (1000, 64)])
def test_earlier_endings_cut_the_workspace(divisor: int, workspace: int) -> None:
    assert decide_start(NEED, PLENTY, divisor=divisor) == Go(workspace)


def test_the_operators_figure_counts_and_is_cut_too() -> None:
    assert decide_start(NEED, PLENTY, workspace_mb=512) == Go(512)
    assert decide_start(NEED, PLENTY, workspace_mb=512, divisor=2) == Go(256)


def test_too_little_memory_holds() -> None:
    limit = memory_need_mb(NEED) + 400  # a twentieth of 8000 MB is kept
    assert isinstance(decide_start(NEED, Have(limit, 8000, 10_000)), Go)
    held = decide_start(NEED, Have(limit - 1, 8000, 10_000))
    assert isinstance(held, Hold) and held.code == "memory_low" and str(limit) in held.reason


@pytest.mark.parametrize("backend", ["tensorrt", "onnxruntime"])
def test_a_batch_wants_memory_for_each_of_its_frames(backend: str) -> None:
    one, four = (Need(backend, 50, 256, frame_mb=5.0, batch=batch) for batch in (1, 4))
    assert memory_need_mb(four) - memory_need_mb(one) == 60, "four times each of the three other frames"
    between = Have(memory_need_mb(one) + 400, 8000, 10_000)
    assert isinstance(decide_start(one, between), Go)
    held = decide_start(four, between)
    assert isinstance(held, Hold) and held.code == "memory_low" and "lower max_batch" in held.mend
    held = decide_start(one, Have(100, 8000, 10_000))
    assert isinstance(held, Hold) and "max_batch" not in held.mend


def test_too_little_disk_holds() -> None:
    assert isinstance(decide_start(NEED, Have(6000, 8000, 456)), Go)
    held = decide_start(NEED, Have(6000, 8000, 455))
    assert isinstance(held, Hold) and held.code == "disk_full"
    assert held.mend == "free some space, or lower engines.min_disk_free_mb"
    fuller = decide_start(NEED, Have(6000, 8000, 199))
    assert isinstance(fuller, Hold) and fuller.mend == "free some space", "the setting alone would not help"


def test_what_cannot_be_read_makes_careful_and_does_not_hold() -> None:
    assert decide_start(NEED, Have()) == Go(256)


def test_low_memory() -> None:
    assert is_low(Have(127, 1000, None)) and not is_low(Have(128, 1000, None))
    assert is_low(Have(319, 8000, None)) and not is_low(Have(320, 8000, None))
    assert not is_low(Have()) and not is_low(Have(1, None, None))
