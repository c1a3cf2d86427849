"""A camera's health, look by look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeagent.camera.health import GOOD_S, OK, HealthState, Look, Promise, fail, judge, reopen
from edgeagent.camera.recycle import LEAST_AGE_S, recycle_reason
from edgeagent.camera.rules import CameraRules

PROMISE = Promise(fps=25.0, size=(640, 480))
SIZE = (640, 480)


class Run:
    """Looks once a second; says what changed and when."""

    def __init__(self, promise: Promise = PROMISE) -> None:
        self.promise = promise
        self.state = HealthState()
        self.now_s, self.frames, self.unusable = 0.0, 0, 0
        self.told: list[tuple[float, str, str]] = []

    def go(
        self,
        seconds: int,
        fps: float = 25.0,
        bad: float = 0.0,
        size: tuple[int, int] = SIZE,
        still_s: float = 0.0,
        *,
        moved: bool = True,
    ) -> Run:
        for _ in range(seconds):
            self.now_s += 1.0
            self.frames += round(fps * (1 - bad))
            self.unusable += round(fps * bad)
            look = Look(self.now_s, self.frames, self.unusable, size, still_s, moved)
            self.state = judge(self.state, look, self.promise)
            self._note()
        return self

    def fail(self, code: str = "source_lost") -> Run:
        self.state, self.frames, self.unusable = fail(self.state, code, "no picture"), 0, 0
        self._note()
        return self

    def _note(self) -> None:
        verdict = self.state.verdict
        if not self.told or self.told[-1][1:] != (verdict.health, verdict.code):
            self.told.append((self.now_s, verdict.health, verdict.code))

    @property
    def word(self) -> tuple[str, str]:
        return self.state.verdict.health, self.state.verdict.code


def test_a_camera_that_keeps_its_word_is_well() -> None:
    run = Run().go(100)
    assert run.told == [(1.0, "ok", "")]
    assert run.state.verdict == OK


def test_a_wrong_rate_is_told_after_a_window_and_once() -> None:
    run = Run().go(20, fps=15)
    assert [word for _, *word in run.told] == [["ok", ""], ["degraded", "source_rate"]]
    assert run.told[1][0] <= 11
    assert run.state.verdict.reason == "it gives 15.0 frames a second, not 25"


def test_twice_the_rate_is_wrong_too() -> None:
    assert Run().go(20, fps=50).word == ("degraded", "source_rate")


def test_a_rate_on_the_edge_does_not_come_and_go() -> None:
    """It takes more to come out of it than to stay out."""
    run = Run().go(20, fps=19)
    for _ in range(10):
        run.go(5, fps=19).go(5, fps=21)
    assert [word for _, *word in run.told] == [["ok", ""], ["degraded", "source_rate"]]
    assert run.go(20, fps=25).word == ("ok", "")


def test_the_operator_may_name_the_least_rate() -> None:
    run = Run(replace(PROMISE, min_fps=10.0)).go(30, fps=12).go(30, fps=60)
    assert run.word == ("ok", "")
    assert run.go(30, fps=8).state.verdict.reason == "it gives 8.0 frames a second, not at least 10"


def test_a_rate_that_nobody_knows_is_not_judged() -> None:
    assert Run(Promise()).go(30, fps=3).word == ("ok", "")


def test_another_size_is_told_at_once_and_over_at_once() -> None:
    run = Run().go(5).go(1, size=(320, 240))
    assert run.state.verdict.reason == "its frames are 320x240, not 640x480"
    assert run.word == ("degraded", "source_size")
    assert run.go(1).word == ("ok", "")


def test_unusable_frames_beyond_a_share_are_told() -> None:
    assert Run().go(20, fps=50, bad=0.04).state.verdict.code != "source_corrupt"
    run = Run(Promise()).go(20, fps=50, bad=0.5)
    assert run.word == ("degraded", "source_corrupt")
    assert run.state.verdict.reason == "50% of its frames are unusable"
    assert run.go(11, fps=50, bad=0.04).word == ("degraded", "source_corrupt"), "not clean yet"
    assert run.go(11, fps=50).word == ("ok", "")


def test_one_failure_among_good_times_is_over_with_the_first_good_picture() -> None:
    run = Run().go(20).fail().go(1)
    assert run.word == ("failed", "source_lost")
    assert run.go(1).word == ("ok", "")
    assert not run.state.proven
    assert run.go(int(GOOD_S)).state.proven


def test_a_failure_after_another_is_over_only_after_good_pictures_for_a_while() -> None:
    run = Run().go(20).fail().fail().go(1).go(int(GOOD_S) + 1)
    assert [word for _, *word in run.told] == [
        ["ok", ""],
        ["failed", "source_lost"],
        ["degraded", "source_recovering"],
        ["ok", ""],
    ]
    assert run.state.proven


def test_a_camera_that_keeps_failing_is_never_well_in_between() -> None:
    run = Run().go(20).fail()
    run.told.clear()
    for _ in range(5):
        run.fail().go(6)
    assert ("ok", "") not in [tuple(word) for _, *word in run.told]
    assert not run.state.proven


def test_pictures_that_do_not_change_are_no_recovery() -> None:
    run = Run().go(20).fail("source_frozen")
    for still_s in range(1, 10):
        run.go(1, still_s=float(still_s))
    assert run.word == ("failed", "source_frozen")
    assert run.go(5).word == ("degraded", "source_recovering")
    assert run.go(int(GOOD_S)).word == ("ok", "")


def test_the_first_picture_after_a_frozen_one_is_no_recovery_until_another_comes() -> None:
    run = Run().go(20).fail("source_frozen").go(1, fps=0, moved=False).go(1, fps=1, moved=False)
    assert run.word == ("failed", "source_frozen")
    assert run.go(1, fps=1).word == ("degraded", "source_recovering")


def test_the_first_picture_after_any_other_failure_is_a_recovery() -> None:
    assert Run().go(20).fail().go(1, fps=0, moved=False).go(1, fps=1, moved=False).word == ("ok", "")


def test_a_slow_camera_recovers_although_not_every_second_has_a_frame() -> None:
    run = Run(Promise(fps=0.4)).go(30, fps=0).fail()
    for _ in range(20):
        run.go(1, fps=1).go(1, fps=0)
    assert run.word == ("ok", "")


def test_a_new_capture_counts_from_nought() -> None:
    run = Run().go(20)
    run.frames = 0
    assert run.go(30).told == [(1.0, "ok", "")]
    run.state = reopen(run.state)
    assert run.go(30).word == ("ok", "")


def test_what_was_wrong_stays_wrong_until_a_window_of_the_new_capture_has_been_seen() -> None:
    run = Run().go(20, fps=10)
    run.state, run.frames = reopen(run.state), 0
    assert run.go(5).word == ("degraded", "source_rate")
    assert run.go(10).word == ("ok", "")


@pytest.mark.parametrize(
    ("rules", "age_s", "held_mb", "reason"),
    [
        (CameraRules(), 1e9, 100.0, ""),
        (CameraRules(recycle_after_s=3600), 3599.0, 100.0, ""),
        (CameraRules(recycle_after_s=3600), 3600.0, 100.0, "it is 1.0 h old"),
        (CameraRules(recycle_above_mb=200), LEAST_AGE_S, 201.0, "it holds 201 MiB"),
        (CameraRules(recycle_above_mb=200), LEAST_AGE_S - 1, 999.0, ""),
    ],
)
def test_when_a_capture_is_started_anew(rules: CameraRules, age_s: float, held_mb: float, reason: str) -> None:
    assert recycle_reason(rules, age_s, held_mb) == reason
