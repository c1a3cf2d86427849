"""How far a builder is: from the lines of 8.6, and from phases in phases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.build.tensorrt.board import Board
from edgeagent.engine.build.tensorrt.progress import MOST, LogProgress, PhaseProgress

COSTS = "=============== Computing costs for "


def test_lines_of_8_6_tell_layers_and_their_number() -> None:
    """In the order of a real build: layers melt together, are timed, and at last those for formats are counted in."""
    progress = LogProgress()
    for left in (120, 81, 51, 54):
        progress.note(f"After concat removal: {left} layers")
    assert progress.text() == "the builder fuses layers"
    for _ in range(27):
        progress.note(COSTS)
    assert progress.percent(1.0, 100.0) == MOST / 2 and progress.text() == "layer 27 of 54 timed"
    progress.note("After reformat layers: 80 layers")
    assert progress.percent(1.0, 100.0) == MOST / 2


def test_without_such_lines_time_decides_and_never_reaches_the_end() -> None:
    progress = LogProgress()
    percents = [progress.percent(second, 100.0) for second in (0.0, 1.0, 100.0, 10_000.0, 1e9)]
    assert percents == sorted(percents) and percents[0] == 0 and percents[2] == MOST / 2 and percents[-1] <= MOST
    progress.note(COSTS)
    assert progress.text() == "timing layers"


@given(st.lists(st.sampled_from([COSTS, "After x: 5 layers", "After y: 9 layers", "Tactic: 1"]), max_size=60))
def test_a_percentage_never_falls(lines: list[str]) -> None:
    progress, last = LogProgress(), 0.0
    for second, line in enumerate(lines):
        progress.note(line)
        now = progress.percent(float(second), 50.0)
        assert last <= now <= MOST
        last = now


steps = st.tuples(st.sampled_from("abc"), st.sampled_from(["start", "step", "finish"]), st.integers(-1, 6))


@given(st.lists(st.tuples(steps, st.sampled_from([None, "a", "b", "c", "gone"])), max_size=80))
def test_phases_in_any_order_only_grow(events: list[tuple[tuple[str, str, int], str | None]]) -> None:
    """Names are used again, phases end early, children come without parents: all of it is allowed."""
    phases, last = PhaseProgress(), 0.0
    for (name, what, number), parent in events:
        if what == "start":
            phases.start(name, parent if parent != name else None, number)
        elif what == "step":
            phases.step(name, number)
        else:
            phases.finish(name)
        now = phases.percent()
        assert last <= now <= MOST
        last = now


def test_inner_steps_count_within_the_outer_one() -> None:
    phases = PhaseProgress()
    phases.start("outer", None, 2)
    phases.start("inner", "outer", 4)
    seen = [phases.percent()]
    for step in range(4):
        phases.step("inner", step)
        seen.append(phases.percent())
    phases.finish("inner")
    phases.step("outer", 0)
    seen.append(phases.percent())
    assert seen == sorted(seen) and seen[1] > 0 and seen[4] == seen[5]
    assert phases.text() == "inner"
    phases.step("outer", 1)
    phases.finish("outer")
    assert seen[-1] < phases.percent() < MOST


def test_the_board_forgets_the_calibrations_layers() -> None:
    board = Board()
    board.journal.add(4, "After concat removal: 2 layers")
    for _ in range(2):
        board.journal.add(4, COSTS)
    board.say("calibrating", 50, "pictures")
    assert board.word() == ("calibrating", 50, "pictures")
    board.building(None)
    phase, percent, _ = board.word()
    assert phase == "building" and percent < MOST / 2
