"""How a wish for settings goes on one device, from the answers on `config/reported`. Pure.

`sent` until the device answers, then `trial`, then one of the last words. A device that says nothing at all within
`answer_s` is given up, and so is one that is still on trial at the deadline; what was wished stays on the broker, and
the device takes it when it comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from edgeagent.fleet.answers import ConfigReported

Word = Literal[
    "sent",
    "trial",
    "committed",
    "rolled_back",
    "rejected",
    "ignored",
    "superseded",
    "no_answer",
    "timed_out",
    "unknown",
]
OPEN: Final = ("sent", "trial")
GOOD: Final = "committed"


@dataclass(frozen=True)
class Course:
    """One device, the version wished for it, and who wished it: two operators at once choose the same version."""

    device: str
    version: int
    by: str = ""
    word: Word = "sent"
    reason: str = ""
    errors: tuple[str, ...] = ()
    trial_left_s: int | None = None
    restarted: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return self.word in OPEN


def hear(course: Course, reported: ConfigReported) -> Course:
    """The course after an answer; answers to older wishes say nothing about this one."""
    if not course.open or reported.version < course.version:
        return course
    others = reported.by not in ("", course.by)
    if reported.version > course.version or (others and reported.state != "ignored"):
        who = f" from {reported.by}" if reported.by else ""
        return replace(course, word="superseded", reason=f"the device took version {reported.version}{who}")
    if others or reported.state == "none":
        return course
    errors = tuple(f"{e.path or 'config'}: {e.message}{f' ({e.mend})' if e.mend else ''}" for e in reported.errors)
    return replace(
        course,
        word=reported.state,
        reason=reported.reason,
        errors=errors,
        trial_left_s=reported.trial_left_s,
        restarted=reported.restarted,
    )


def wait(course: Course, waited_s: float, answer_s: float, deadline_s: float, *, state: str = "") -> Course:
    """The course after so long without a last word; `state` is the device's status."""
    if course.word == "sent" and waited_s >= min(answer_s, deadline_s):
        away = f"the device is {state}; " if state in ("lost", "stopped") else ""
        return replace(course, word="no_answer", reason=f"{away}the wish stays on the broker until it comes")
    if course.word == "trial" and waited_s >= deadline_s:
        return replace(course, word="timed_out", reason="still on trial; ask again with `fleet config get`")
    return course


def exit_code(courses: list[Course]) -> int:
    """0 when all have committed, 2 when one was rejected, else 1."""
    words = {course.word for course in courses}
    return 2 if "rejected" in words else 0 if words <= {GOOD} else 1


def line(course: Course) -> str:
    """What to tell: `trial, 42 s left`, `rolled back: camera/yard does not work`."""
    text = course.word.replace("_", " ")
    if course.word == "trial" and course.trial_left_s is not None:
        text += f", {course.trial_left_s} s left at most"
    if course.restarted and course.word in ("trial", "committed"):
        text += f" (restarted {', '.join(course.restarted)})"
    return f"{text}: {course.reason}" if course.reason else text
