"""How a command goes on one device, from the answers on `job/<id>`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from edgeagent.fleet.answers import LAST_WORDS, Job, JobWord

Word = JobWord | Literal["sent", "no_answer", "no_end"]
GOOD: Final = "succeeded"
_GIVEN_UP: Final = ("no_answer", "no_end")


@dataclass(frozen=True)
class Course:
    """One device that a command was said to."""

    device: str
    word: Word = "sent"
    percent: float | None = None
    phase: str = ""
    code: str = ""
    reason: str = ""
    result: dict[str, Any] | None = None

    @property
    def open(self) -> bool:
        return self.word not in LAST_WORDS and self.word not in _GIVEN_UP


def hear(course: Course, job: Job) -> Course:
    """The course after an answer. What comes after a last word is a repetition."""
    if course.word in LAST_WORDS:
        return course
    return replace(
        course,
        word=job.state,
        percent=job.percent,
        phase=job.phase,
        code=job.code,
        reason=job.reason,
        result=job.result,
    )


def wait(course: Course, waited_s: float, answer_s: float, deadline_s: float) -> Course:
    """The course after so long without a last word."""
    if course.word == "sent" and waited_s >= min(answer_s, deadline_s):
        return replace(course, word="no_answer", reason="is the device there, and may it be commanded?")
    if course.open and waited_s >= deadline_s:
        return replace(course, word="no_end", reason=f"still {course.word} when the wait ended")
    return course


def exit_code(courses: list[Course]) -> int:
    """0 when it succeeded everywhere, on one device at least."""
    return 0 if courses and all(course.word == GOOD for course in courses) else 1


def line(course: Course) -> str:
    """What to tell: `running 41 %: choosing tactics`, `failed: no engine [engine_missing]`."""
    text = str(course.word).replace("_", " ")
    if course.word == "running" and course.percent is not None:
        text += f" {course.percent:.0f} %"
    more = course.reason or course.phase
    text = f"{text}: {more}" if more else text
    return f"{text} [{course.code}]" if course.code else text
