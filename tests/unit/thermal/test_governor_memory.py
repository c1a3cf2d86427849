"""Memory while a build runs: when it has to end before the kernel chooses whom to kill."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from governor_kit import RULES, at

from edgeagent.thermal.governor import begin, govern
from edgeagent.thermal.memory import MemoryWatch, floor_mb, is_far, look_at_memory, memory_trouble
from edgeagent.thermal.rules import GovernorRules

TOTAL_MB = 7600.0


def watched(available: Sequence[float | None], *, dt_s: float = 0.5, building: bool = True) -> MemoryWatch:
    watch = MemoryWatch()
    for n, mb in enumerate(available):
        watch = look_at_memory(watch, at(n * dt_s, memory_available_mb=mb), building=building)
    return watch


def trouble(watch: MemoryWatch) -> str:
    return memory_trouble(RULES, watch, TOTAL_MB)


def test_plenty_is_no_trouble_and_unknown_is_none_either() -> None:
    assert trouble(watched([4000.0] * 4)) == ""
    assert trouble(watched([None, None])) == ""


def test_less_than_the_floor_is_trouble() -> None:
    assert "less than the floor of 380" in trouble(watched([4000.0, 379.0]))


def test_a_fall_that_reaches_the_floor_in_a_moment_is_trouble_before_it_is_there() -> None:
    assert "falls by" in trouble(watched([3000.0, 2400.0, 1800.0, 1200.0]))


def test_a_fall_that_has_ended_is_not() -> None:
    assert trouble(watched([3000.0, 2400.0, 1800.0, 1200.0, 1200.0])) == ""


def test_a_slow_fall_is_not() -> None:
    assert trouble(watched([2000.0 - 10 * n for n in range(20)])) == ""


def test_one_big_step_far_from_the_floor_is_not() -> None:
    assert trouble(watched([4000.0, 4000.0, 1000.0])) == ""


def test_a_fall_over_minutes_without_a_look_says_nothing_of_now() -> None:
    assert trouble(watched([5000.0, 700.0], dt_s=120.0)) == ""


def test_a_gap_in_the_readings_keeps_what_was_known() -> None:
    assert "less than the floor" in trouble(watched([379.0, None, None]))


@pytest.mark.parametrize(
    ("wish", "total", "floor"),
    [(None, 7600.0, 380.0), (None, 2000.0, 200.0), (None, 64_000.0, 1500.0), (None, 400.0, 100.0), (None, None, 200.0),
     (900.0, 7600.0, 900.0), (9000.0, 7600.0, 1900.0), (0.0, 7600.0, 0.0)],
)  # fmt: skip
def test_the_floor(wish: float | None, total: float | None, floor: float) -> None:
    assert floor_mb(GovernorRules(memory_floor_mb=wish), total) == floor


def kills(*counts: int | None, building: bool = True) -> bool:
    watch = MemoryWatch()
    for n, count in enumerate(counts):
        watch = look_at_memory(watch, at(0.5 * n, memory_available_mb=4000.0, oom_kills=count), building=building)
    return watch.killed


def test_a_kill_during_a_build_is_trouble_until_the_build_is_gone() -> None:
    assert kills(3, 4)
    assert kills(3, 4, 4)
    assert kills(3, None, 4)


def test_kills_before_the_first_look_or_without_a_build_are_not() -> None:
    assert not kills(3, 3)
    assert not kills(None, 7)
    assert not kills(3, 4, building=False)


@pytest.mark.parametrize(
    ("available", "far"),
    [
        ([4000.0, 4000.0], True),
        ([1400.0, 1400.0], True),
        ([1300.0, 1300.0], False),
        ([4000.0, 3800.0], True),
        ([4000.0, 3700.0, 3700.0], False),
        ([4000.0, 3700.0, 3700.0, 3700.0], True),
        ([None], False),
    ],
)
def test_memory_is_far_when_neither_what_is_left_nor_its_fall_may_end_the_build_soon(
    available: Sequence[float | None], far: bool
) -> None:
    assert is_far(RULES, watched(available), TOTAL_MB) is far


def test_memory_of_a_small_board_is_far_from_its_floor_at_a_quarter_of_all() -> None:
    watch = watched([1180.0, 1180.0])
    assert is_far(RULES, watch, 3800.0) and not is_far(RULES, watch, None)


def test_memory_is_not_far_once_the_kernel_has_killed() -> None:
    watch = look_at_memory(watched([4000.0]), at(1.0, memory_available_mb=4000.0, oom_kills=0), building=True)
    killed = look_at_memory(watch, at(2.0, memory_available_mb=4000.0, oom_kills=1), building=True)
    assert is_far(RULES, watch, TOTAL_MB) and not is_far(RULES, killed, TOTAL_MB)


def test_memory_that_cannot_be_read_any_more_makes_careful_and_is_told() -> None:
    state, levels = begin(RULES), []
    for n in range(20):
        mb = 4000.0 if n < 4 else None
        sense = at(float(n), memory_available_mb=mb, memory_total_mb=TOTAL_MB)
        state, verdict = govern(RULES, state, sense, building=True)
        levels.append(verdict.level)
    assert levels[:9] == ["nominal"] * 9 and levels[9:] == ["warm"] * 11
    assert not verdict.memory_is_far
    assert (verdict.reason.code, verdict.build_duty) == ("blind_memory", 1.0), "a pause frees nothing"


def test_memory_that_never_could_be_read_is_not_missed() -> None:
    state = begin(RULES)
    for n in range(20):
        state, verdict = govern(RULES, state, at(float(n)), building=True)
    assert verdict.level == "nominal"
