"""The trial of a config: from a wish to committed, or back to the last known good. Pure; a table.

    idle --begin--> applying --applied--> trial --holds--> keeping --kept--> idle      (committed)
                       |                    |                 |
                       +--failed------------+-----------------+--> undoing --undone--> idle      (rolled back)
                                                                      |
                                                                      +--failed--> broken        (the process ends)
    idle --found--> idle      a trial that a crash or a power cut has ended: the config in force is the last good one

In `trial` the owner looks again and again and says how it goes. The trial holds when everything was met for `trial_s`
in a row. It fails at once when something can never be met; when something has been unmet for `trial_s` in a row,
where waiting (for an engine to be built) is not unmet; and when all is not met and `limit_s` have passed. So it ends
by `limit_s + trial_s`, whatever happens.

Invariants, which property tests hold against every sequence: whatever is begun ends committed or rolled back; `keep`
comes before `apply`, and `commit` only after all was met. A pair of state and event that the table lacks raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

State = Literal["idle", "applying", "trial", "keeping", "undoing", "broken"]
Action = Literal["keep", "apply", "watch", "commit", "finish", "undo", "settle", "give_up"]
Word = Literal["met", "waiting", "unmet", "hopeless"]


@dataclass(frozen=True)
class Times:
    """Seconds, both above 0."""

    trial_s: float
    limit_s: float


@dataclass(frozen=True)
class Course:
    """Where the trial stands. `since_s`: since when the present word has been the same, in a row."""

    state: State = "idle"
    times: Times = Times(60.0, 300.0)
    began_s: float = 0.0
    word: Word = "waiting"
    since_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Begin:
    """A wish that has passed every check."""

    times: Times


@dataclass(frozen=True)
class Found:
    """At the start: a trial that never ended. Nothing of it is in force."""

    reason: str


@dataclass(frozen=True)
class Applied:
    """The new config is in force, on trial."""

    now_s: float


@dataclass(frozen=True)
class Look:
    """How it goes now, and why not better."""

    word: Word
    reason: str
    now_s: float


@dataclass(frozen=True)
class Drop:
    """It is to end now: a newer wish has come, or a person wants it back."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """What was being done, applying, keeping or undoing, came to nothing."""

    reason: str


@dataclass(frozen=True)
class Stored:
    """It is on the disk as the last known good one."""


@dataclass(frozen=True)
class Undone:
    """The last known good config is in force again."""


Event: TypeAlias = Begin | Found | Applied | Look | Drop | Stored | Failed | Undone
Step: TypeAlias = tuple[Course, tuple[Action, ...]]


class WrongEventError(LookupError):
    """An event that cannot come in this state: a mistake of the owner's."""


def step(course: Course, event: Event) -> Step:
    """The next course, and what is to be done, in this order. Raises WrongEventError."""
    act = TABLE.get((course.state, type(event)))
    if act is None:
        raise WrongEventError(f"{type(event).__name__} in state {course.state}")
    return act(course, event)


def _begin(course: Course, event: Begin) -> Step:
    return Course(state="applying", times=event.times), ("keep", "apply")


def _found(course: Course, event: Found) -> Step:
    return Course(reason=event.reason), ("settle",)


def _applied(course: Course, event: Applied) -> Step:
    began = replace(course, state="trial", began_s=event.now_s, since_s=event.now_s, word="waiting")
    return began, ("watch",)


def _undo(course: Course, event: Failed | Drop) -> Step:
    return replace(course, state="undoing", reason=event.reason), ("undo",)


def _look(course: Course, event: Look) -> Step:
    since_s = course.since_s if course.word == event.word else event.now_s
    course = replace(course, word=event.word, since_s=since_s)
    in_a_row_s = event.now_s - since_s
    if event.word == "met":
        holds = in_a_row_s >= course.times.trial_s
        return (replace(course, state="keeping"), ("commit",)) if holds else (course, ())
    long_unmet = event.word == "unmet" and in_a_row_s >= course.times.trial_s
    too_late = event.now_s - course.began_s >= course.times.limit_s
    if event.word == "hopeless" or long_unmet or too_late:
        return replace(course, state="undoing", reason=event.reason), ("undo",)
    return course, ()


def _stored(course: Course, event: Stored) -> Step:
    return Course(), ("finish",)


def _undone(course: Course, event: Undone) -> Step:
    return Course(reason=course.reason), ("settle",)


def _broken(course: Course, event: Failed) -> Step:
    return replace(course, state="broken", reason=event.reason), ("give_up",)


TABLE: dict[tuple[State, type], Callable[..., Step]] = {
    ("idle", Begin): _begin,
    ("idle", Found): _found,
    ("applying", Applied): _applied,
    ("applying", Failed): _undo,
    ("trial", Look): _look,
    ("trial", Drop): _undo,
    ("keeping", Stored): _stored,
    ("keeping", Failed): _undo,
    ("undoing", Undone): _undone,
    ("undoing", Failed): _broken,
}


def left_s(course: Course, now_s: float) -> float:
    """Seconds that a trial has left at most."""
    return max(0.0, course.began_s + course.times.limit_s + course.times.trial_s - now_s)
