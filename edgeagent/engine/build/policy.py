"""What to do after a build came to nothing: a table of moves a kind of ending, and where the making stands. Pure.

The course of one engine (`Course`) survives restarts; `decide_next` takes it and the ending, and gives the move, the
course from there and the pause before it. Each kind of ending has its moves in order; the first that is possible is
made. A move that changes nothing costs a pause, which grows and is longest when the budget of builds is spent: nobody
stands beside the device, so only what cannot succeed unchanged is given up for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgeagent.engine.build.outcome import Kind
from edgeagent.engine.choice import Candidate

Move = Literal[
    "again", "smaller_workspace", "lower_level", "slower", "one_frame", "gpu_instead", "next_precision", "wait", "stop"
]  # fmt: skip

MOVES: dict[Kind, tuple[Move, ...]] = {
    "out_of_memory": ("smaller_workspace", "lower_level", "one_frame", "wait"),
    "memory_falling": ("smaller_workspace", "lower_level", "one_frame", "wait"),
    "too_hot": ("slower", "lower_level", "wait"),
    "held_back": ("lower_level", "wait"),
    "unsupported_layer": ("gpu_instead", "one_frame", "stop"),
    "dla_refused": ("gpu_instead", "stop"),
    "no_calibration": ("wait", "next_precision", "stop"),
    "scales_missing": ("gpu_instead", "next_precision", "stop"),
    "precision_unsupported": ("next_precision", "stop"),
    "disagrees": ("gpu_instead", "next_precision", "stop"),
    "batch_unsupported": ("one_frame", "stop"),
    "driver_error": ("again", "wait"),
    "refused": ("smaller_workspace", "lower_level", "one_frame", "gpu_instead", "next_precision", "wait"),
    "crash": ("again", "lower_level", "gpu_instead", "wait"),
    "hung": ("again", "lower_level", "gpu_instead", "wait"),
    "timeout": ("lower_level", "wait"),
    "disk_full": ("wait",),
    "store": ("wait",),
    "model": ("stop",),
    "quarantined": ("gpu_instead", "next_precision", "stop"),
    "cancelled": ("wait",),
    "lost": ("wait",),
}

FORMS: tuple[Move, ...] = ("one_frame", "gpu_instead", "next_precision")
MOST_DIVIDED = 8
START_LEVEL = 3  # TensorRT's default
PAUSE_AFTER_DEATH_S = 1.0
PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0
SPENT_PAUSE_S = 600.0
COOL_DOWN_S = 30.0  # after a build that the board's heat ended, doubled with each
SLOWER = 0.6  # of the most that a build may work, after one that was too hot
LEAST_CEILING = 0.2
LONGEST_SPENT_S = 6 * 3600.0
DEATHS = {"crash", "driver_error", "lost", "out_of_memory", "memory_falling", "hung"}
HEAT = {"too_hot", "held_back"}
STEERED = {"memory_falling", *HEAT}  # ended by the governor


@dataclass(frozen=True)
class Course:
    """Where the making of one engine stands.

    `candidate` is the form being tried; `attempts` all builds that were started, `tries` those of this form;
    `workspace_divisor`, `level` and `ceiling` (the most that a build may work, 0..1) are what earlier endings took
    away; `cancels` counts the builds that were ended for the board's sake; `steps` tells the story, a line a move.
    """

    candidate: int = 0
    attempts: int = 0
    tries: int = 0
    workspace_divisor: int = 1
    level: int | None = None
    steps: tuple[str, ...] = ()
    ceiling: float = 1.0
    cancels: int = 0


@dataclass(frozen=True)
class Decision:
    """The next step. `text` is it in words; `pause_s` comes before it; `stop` means for good."""

    move: Move
    course: Course
    pause_s: float
    text: str

    @property
    def stop(self) -> bool:
        return self.move == "stop"


def begin_attempt(course: Course) -> Course:
    """A build is being started."""
    return replace(course, attempts=course.attempts + 1, tries=course.tries + 1)


def decide_next(
    course: Course, kind: Kind, candidates: Sequence[Candidate], *, tunable: bool, max_attempts: int, retry: bool = True
) -> Decision:
    """The move after an ending of `kind`. `tunable`: workspace and level mean something to this backend; `retry`:
    whoever failed thinks that the same may succeed later."""
    if kind in STEERED:
        course = replace(course, cancels=course.cancels + 1)
    for move in MOVES[kind]:
        changed = _changed(course, move, kind, candidates, tunable, max_attempts, retry)
        if changed is not None:
            text = _text(move, changed, candidates)
            told = replace(changed, steps=(*changed.steps, _step(course, kind, text, candidates))[-20:])
            return Decision(move, told, _pause_s(course, move, kind, max_attempts), text)
    return Decision("stop", course, 0.0, "not tried again until the model, its pictures or a setting changes")


def _changed(
    course: Course, move: Move, kind: Kind, candidates: Sequence[Candidate], tunable: bool, most: int, retry: bool
) -> Course | None:
    """The course after a move, None where the move is not possible."""
    if move == "again":
        return course if course.tries < 2 else None
    if move in ("smaller_workspace", "lower_level", "slower"):
        return _lowered(course, move, tunable)
    if move in FORMS:
        found = _other_form(course, move, candidates)
        return None if found is None else _with_form(course, found)
    if move == "wait":
        last_chance = kind == "no_calibration" and course.tries >= most and _other_form(
            course, "next_precision", candidates
        ) is not None  # fmt: skip
        return course if retry and not last_chance else None
    return None


def _lowered(course: Course, move: Move, tunable: bool) -> Course | None:
    if move == "slower":
        lower = round(course.ceiling * SLOWER, 3)
        return replace(course, ceiling=lower) if lower >= LEAST_CEILING else None
    if move == "smaller_workspace":
        smaller = course.workspace_divisor * 2
        return replace(course, workspace_divisor=smaller) if tunable and smaller <= MOST_DIVIDED else None
    level = START_LEVEL if course.level is None else course.level
    return replace(course, level=level - 1) if tunable and level > 0 else None


def _with_form(course: Course, candidate: int) -> Course:
    """Another form starts afresh; what the board could not bear it remembers."""
    return replace(course, candidate=candidate, tries=0, workspace_divisor=1, level=None)


def _other_form(course: Course, move: Move, candidates: Sequence[Candidate]) -> int | None:
    """The index of this form for one frame, of the next on the GPU with this precision, or of the next precision."""
    now = candidates[course.candidate].variant
    for index in range(course.candidate + 1, len(candidates)):
        variant = candidates[index].variant
        if move == "one_frame" and now.batch > 1 and variant == replace(now, batch=1):
            return index
        if move == "gpu_instead" and now.placement == "dla" and variant.placement == "gpu":
            return index if variant.precision == now.precision else None
        if move == "next_precision" and variant.precision != now.precision:
            return index
    return None


def _pause_s(course: Course, move: Move, kind: Kind, max_attempts: int) -> float:
    if kind in HEAT and (course.tries == 0 or course.tries % max_attempts):
        return min(COOL_DOWN_S * 2.0 ** min(max(0, course.cancels - 1), 10), SPENT_PAUSE_S)
    if move in ("smaller_workspace", "lower_level", *FORMS):
        return PAUSE_AFTER_DEATH_S if kind in DEATHS else 0.0
    rounds, left = divmod(course.tries, max_attempts)
    if course.tries and left == 0:
        return min(SPENT_PAUSE_S * 2.0 ** min(rounds - 1, 10), LONGEST_SPENT_S)
    if kind in DEATHS:
        return PAUSE_AFTER_DEATH_S
    return min(PAUSE_S * 2.0 ** min(max(0, course.tries - 1), 10), LONGEST_PAUSE_S)


def _text(move: Move, course: Course, candidates: Sequence[Candidate]) -> str:
    if move == "smaller_workspace":
        return f"again with 1/{course.workspace_divisor} of the workspace"
    if move == "lower_level":
        return f"again with optimisation level {course.level}"
    if move == "slower":
        return f"again with at most {course.ceiling:.0%} of the pace"
    if move in FORMS:
        return f"goes on with {candidates[course.candidate].variant.line()}"
    return {"again": "tried again", "wait": "tried again after a pause"}[move]


def _step(course: Course, kind: Kind, text: str, candidates: Sequence[Candidate]) -> str:
    return f"{candidates[course.candidate].variant.line()}: {kind.replace('_', ' ')}; {text}"
