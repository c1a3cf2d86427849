"""What follows on a failed build: every kind of ending, and courses that never run in circles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeagent.engine.build.outcome import KIND_OF_CODE, KINDS, Ending, Kind, classify
from edgeagent.engine.build.policy import (
    COOL_DOWN_S,
    LONGEST_SPENT_S,
    MOVES,
    SPENT_PAUSE_S,
    Course,
    begin_attempt,
    decide_next,
)
from edgeagent.engine.choice import Candidate
from edgeagent.engine.variant import Variant

DLA = Candidate(Variant("int8", "calibrator", "dla"))
GPU = Candidate(Variant("int8", "calibrator", "gpu"))
HALF = Candidate(Variant("fp16", "none", "gpu"))
ALL = [DLA, GPU, HALF]


FIRST = Course(attempts=1, tries=1)


def after(kind: Kind, course: Course = FIRST, candidates: list[Candidate] = ALL, **values: bool):
    common = {"tunable": True, "max_attempts": 3, **values}
    return decide_next(course, kind, candidates, **common)


@pytest.mark.parametrize(
    ("kind", "move", "form"),
    [
        ("out_of_memory", "smaller_workspace", 0),
        ("unsupported_layer", "gpu_instead", 1),
        ("dla_refused", "gpu_instead", 1),
        ("no_calibration", "wait", 0),
        ("scales_missing", "gpu_instead", 1),
        ("precision_unsupported", "next_precision", 2),
        ("disagrees", "gpu_instead", 1),
        ("driver_error", "again", 0),
        ("refused", "smaller_workspace", 0),
        ("crash", "again", 0),
        ("hung", "again", 0),
        ("timeout", "lower_level", 0),
        ("disk_full", "wait", 0),
        ("store", "wait", 0),
        ("model", "stop", 0),
        ("quarantined", "gpu_instead", 1),
        ("lost", "wait", 0),
        ("memory_falling", "smaller_workspace", 0),
        ("too_hot", "slower", 0),
        ("held_back", "lower_level", 0),
        ("batch_unsupported", "stop", 0),
    ],
)
def test_the_first_move_of_each_kind(kind: Kind, move: str, form: int) -> None:
    decision = after(kind)
    assert (decision.move, decision.course.candidate) == (move, form)


SEVERAL = [
    sized
    for one in ALL
    for sized in (replace(one, variant=replace(one.variant, batch=4)), one)
]  # fmt: skip


def test_a_network_that_takes_no_several_frames_is_built_for_one() -> None:
    decision = after("batch_unsupported", candidates=SEVERAL)
    assert (decision.move, decision.course.candidate) == ("one_frame", 1)
    assert decision.text == "goes on with INT8 on a DLA, calibrated"
    assert "INT8 on a DLA, calibrated, 4 frames at once: batch unsupported" in decision.course.steps[0]
    assert after("batch_unsupported", decision.course, SEVERAL).stop, "it is for one frame already"


def test_another_place_or_precision_is_tried_with_several_frames_first() -> None:
    for start in (0, 1):
        course = Course(candidate=start, attempts=1, tries=1)
        assert after("dla_refused", course, SEVERAL).course.candidate == 2
        assert after("precision_unsupported", course, SEVERAL).course.candidate == 4


def test_what_does_not_fit_in_memory_is_made_for_one_frame_in_the_end() -> None:
    course, moves = Course(attempts=1, tries=1), []
    while not moves or moves[-1] not in ("wait", "stop"):
        decision = after("out_of_memory", course, SEVERAL)
        moves.append(decision.move)
        course = begin_attempt(decision.course)
    assert moves.index("one_frame") > moves.index("lower_level")
    assert SEVERAL[course.candidate].variant.batch == 1


def test_every_kind_has_moves_and_every_code_a_kind() -> None:
    assert set(MOVES) == set(KINDS)
    assert set(KIND_OF_CODE.values()) | {"model"} == set(KINDS)


def test_out_of_memory_goes_down_step_by_step_then_waits() -> None:
    course, moves = Course(), []
    for _ in range(8):
        decision = after("out_of_memory", begin_attempt(course))
        course = decision.course
        moves.append(decision.move)
    assert moves == ["smaller_workspace"] * 3 + ["lower_level"] * 3 + ["wait"] * 2
    assert (course.workspace_divisor, course.level, course.candidate) == (8, 0, 0)


def test_without_a_workspace_to_cut_memory_is_waited_for() -> None:
    assert after("out_of_memory", tunable=False).move == "wait"
    assert after("timeout", tunable=False).move == "wait"


def test_a_form_on_the_gpu_has_no_gpu_to_go_to() -> None:
    on_gpu = Course(candidate=1, tries=1, attempts=1)
    assert after("unsupported_layer", on_gpu).stop
    assert after("dla_refused", candidates=[DLA]).stop
    assert after("disagrees", replace(on_gpu, candidate=2)).stop


def test_changing_the_form_starts_afresh_and_keeps_the_story() -> None:
    worn = Course(0, 5, 2, 8, 0, ("before",))
    decision = after("dla_refused", worn)
    assert replace(decision.course, steps=()) == Course(1, 5, 0, 1, None)
    assert decision.course.steps[0] == "before"
    assert (
        decision.course.steps[1] == "INT8 on a DLA, calibrated: dla refused; goes on with INT8 on the GPU, calibrated"
    )


def test_a_camera_that_gives_nothing_is_waited_for_then_fp16_where_allowed() -> None:
    course, moves = Course(candidate=1), []
    for _ in range(3):
        decision = after("no_calibration", begin_attempt(course))
        course = decision.course
        moves.append(decision.move)
    assert moves == ["wait", "wait", "next_precision"]
    forever = [after("no_calibration", Course(0, n, n), [GPU]).move for n in range(1, 9)]
    assert forever == ["wait"] * 8, "without a policy for FP16 the camera may come back after a week"


def test_what_cannot_succeed_later_is_not_waited_for() -> None:
    assert after("no_calibration", candidates=[GPU], retry=False).stop
    assert after("lost", retry=False).stop


def test_the_budget_makes_long_pauses_and_never_gives_up() -> None:
    pauses = [after("store", Course(0, n, n)).pause_s for n in range(1, 40)]
    assert pauses[2] == SPENT_PAUSE_S
    assert pauses[2::3] == sorted(pauses[2::3])
    assert max(pauses) == LONGEST_SPENT_S
    assert min(pauses) > 0


def test_the_story_has_an_end() -> None:
    course = Course()
    for _ in range(100):
        course = after("store", begin_attempt(course)).course
    assert len(course.steps) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_no_course_runs_in_circles(kind: Kind) -> None:
    """The same ending over and over: in the end every step costs a real pause, or it is over."""
    course = Course()
    for _ in range(60):
        decision = after(kind, begin_attempt(course))
        if decision.stop:
            return
        course = decision.course
    pauses = [
        (decision := after(kind, begin_attempt(course))).pause_s for _ in range(3) if (course := begin_attempt(course))
    ]
    assert max(pauses) >= SPENT_PAUSE_S


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (Ending("out_of_memory"), "out_of_memory"),
        (Ending("model_operators"), "model"),
        (Ending("model"), "model"),
        (Ending("something new"), "crash"),
        (Ending("", -9), "out_of_memory"),
        (Ending("", -9, oom_kills=1), "out_of_memory"),
        (Ending("", -9, oom_kills=0), "crash"),
        (Ending("", -9, oom_kills=0, memory_low=True), "out_of_memory"),
        (Ending("build_killed", -9), "out_of_memory"),
        (Ending("", -11), "crash"),
        (Ending("", 3), "crash"),
        (Ending("build_crashed"), "crash"),
    ],
)
def test_how_endings_are_read(ending: Ending, kind: Kind) -> None:
    assert classify(ending) == kind


def test_heat_makes_it_slower_then_shorter_then_waits() -> None:
    course, moves, ceilings = Course(), [], []
    for _ in range(8):
        decision = after("too_hot", begin_attempt(course))
        course = decision.course
        moves.append(decision.move)
        ceilings.append(course.ceiling)
    assert moves == ["slower"] * 3 + ["lower_level"] * 3 + ["wait"] * 2
    assert ceilings[:3] == [0.6, 0.36, 0.216] and set(ceilings[3:]) == {0.216}
    assert (course.cancels, course.level) == (8, 0)


def test_after_heat_it_waits_longer_each_time() -> None:
    pauses, course = [], Course()
    for _ in range(12):
        decision = after("too_hot", begin_attempt(course), max_attempts=100)
        course = decision.course
        pauses.append(decision.pause_s)
    assert pauses[0] == COOL_DOWN_S and pauses == sorted(pauses) and pauses[-1] == SPENT_PAUSE_S


def test_a_backend_that_cannot_be_tuned_still_gets_slower() -> None:
    assert after("too_hot", tunable=False).move == "slower"
    assert after("held_back", tunable=False).move == "wait"
    assert after("memory_falling", tunable=False).move == "wait"


def test_what_the_board_could_not_bear_is_remembered_by_another_form() -> None:
    hot = Course(0, 5, 2, 8, 0, (), 0.36, 2)
    course = after("dla_refused", hot).course
    assert (course.ceiling, course.cancels, course.workspace_divisor, course.level) == (0.36, 2, 1, None)


@pytest.mark.parametrize("code", ["memory_falling", "too_hot", "held_back"])
def test_the_governors_endings_are_kinds_of_their_own(code: str) -> None:
    assert classify(Ending(code=code)) == code
