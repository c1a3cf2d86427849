"""The trial's table: every state, in and out; and the conditions that a trial is judged by."""

from __future__ import annotations

import pytest

from edgeagent.config.trial import (
    TABLE,
    Applied,
    Begin,
    Course,
    Drop,
    Event,
    Failed,
    Found,
    Look,
    Stored,
    Times,
    Undone,
    WrongEventError,
    left_s,
    step,
)
from edgeagent.config.trial_facts import CameraFact, Changed, Facts, PipelineFact, judge

TIMES = Times(10.0, 60.0)
EVENTS: tuple[Event, ...] = (
    Begin(TIMES), Found("x"), Applied(0.0), Look("met", "", 1.0), Drop("x"), Stored(), Failed("x"), Undone(),
)  # fmt: skip
STATES = ("idle", "applying", "trial", "keeping", "undoing", "broken")


def after(*events: Event) -> tuple[Course, list[str]]:
    course, done = Course(), []
    for event in events:
        course, actions = step(course, event)
        done += actions
    return course, done


TRYING = (Begin(TIMES), Applied(100.0))


def test_a_trial_that_holds_is_committed() -> None:
    course, done = after(*TRYING, Look("met", "", 101.0), Look("met", "", 110.9))
    assert course.state == "trial"
    course, done = after(*TRYING, Look("met", "", 101.0), Look("met", "", 111.0), Stored())
    assert (course.state, done) == ("idle", ["keep", "apply", "watch", "commit", "finish"])


def test_what_cannot_be_kept_is_taken_back() -> None:
    course, done = after(*TRYING, Look("met", "", 101.0), Look("met", "", 111.0), Failed("disk full"), Undone())
    assert (course.state, course.reason, done[-3:]) == ("idle", "disk full", ["commit", "undo", "settle"])


def test_met_has_to_be_met_in_a_row() -> None:
    course, _ = after(*TRYING, Look("met", "", 101.0), Look("unmet", "x", 105.0), Look("met", "", 106.0))
    assert step(course, Look("met", "", 112.0))[0].state == "trial"
    assert step(course, Look("met", "", 116.0))[0].state == "keeping"


@pytest.mark.parametrize(
    "looks",
    [
        [Look("hopeless", "no engine", 101.0)],
        [Look("unmet", "dead", 101.0), Look("unmet", "dead", 111.0)],
        [Look("waiting", "built", 101.0), Look("waiting", "built", 160.0)],
        [*(Look("met" if n % 2 else "unmet", "flaps", 100.0 + n) for n in range(59)), Look("unmet", "flaps", 160.0)],
    ],
)
def test_a_trial_that_does_not_hold_is_taken_back(looks: list[Look]) -> None:
    course, done = after(*TRYING, *looks)
    assert (course.state, course.reason, done[-1]) == ("undoing", looks[-1].reason, "undo")
    course, done = step(course, Undone())
    assert (course.state, done) == ("idle", ("settle",))


def test_waiting_for_an_engine_is_longer_than_a_trial() -> None:
    course, _ = after(*TRYING, Look("waiting", "built", 101.0), Look("waiting", "built", 155.0))
    assert course.state == "trial"
    course, _ = after(*TRYING, Look("waiting", "built", 155.0), Look("met", "", 156.0), Look("met", "", 166.0))
    assert course.state == "keeping"


def test_what_cannot_be_applied_is_taken_back_and_what_cannot_be_taken_back_ends_the_process() -> None:
    course, done = after(Begin(TIMES), Failed("no"), Failed("neither"))
    assert (course.state, done) == ("broken", ["keep", "apply", "undo", "give_up"])


def test_a_trial_that_a_crash_has_ended_is_settled() -> None:
    assert after(Found("crash")) == (Course(reason="crash"), ["settle"])


def test_a_newer_wish_ends_a_trial() -> None:
    assert after(*TRYING, Drop("newer"))[0].state == "undoing"


def test_every_pair_that_the_table_lacks_raises() -> None:
    for state in STATES:
        for event in EVENTS:
            course = Course(state=state, times=TIMES)  # type: ignore[arg-type]
            if (state, type(event)) in TABLE:
                step(course, event)
            else:
                with pytest.raises(WrongEventError):
                    step(course, event)


def test_what_is_left() -> None:
    course, _ = after(*TRYING)
    assert left_s(course, 130.0) == 40.0
    assert left_s(course, 999.0) == 0.0


WELL = Facts(
    link=True,
    cameras={"belt": CameraFact(True), "old": CameraFact(False)},
    pipelines={"all": PipelineFact(serves=True), "ill": PipelineFact(serves=False, hopeless=True)},
    alarms=frozenset({"hot"}),
    failed={"power": "x"},
)
NOTHING, ANOTHER = Changed(), Changed(engines=frozenset({"all"}))


def now(**changes: object) -> Facts:
    return Facts(**{**vars(WELL), **changes})  # type: ignore[arg-type]


def test_what_did_not_work_before_is_not_held_against_it() -> None:
    assert judge(WELL, NOTHING, WELL) == ("met", "")


@pytest.mark.parametrize(
    ("facts", "changed", "word", "part"),
    [
        (now(link=False, link_trouble="refused"), NOTHING, "unmet", "refused"),
        (now(link=False, link_waits=True), NOTHING, "waiting", "link"),
        (now(cameras={"belt": CameraFact(False)}), NOTHING, "unmet", "belt"),
        (now(cameras={"belt": CameraFact(False, waits=True)}), NOTHING, "waiting", "belt"),
        (now(cameras={"new": CameraFact(False)}), NOTHING, "unmet", "new"),
        (WELL, Changed(cameras=frozenset({"old"})), "unmet", "old"),
        (now(pipelines={"all": PipelineFact(False, waits=True)}), NOTHING, "waiting", "all"),
        (now(pipelines={"all": PipelineFact(False, hopeless=True, trouble="no")}), NOTHING, "hopeless", "no"),
        (now(pipelines={"all": PipelineFact(False)}), NOTHING, "unmet", "all"),
        (now(pipelines={"all": PipelineFact(True, waits=True)}), ANOTHER, "waiting", "all"),
        (now(pipelines={"all": PipelineFact(True, hopeless=True)}), ANOTHER, "hopeless", ""),
        (now(pipelines={"all": PipelineFact(True, waits=True)}), NOTHING, "met", ""),
        (WELL, Changed(pipelines=frozenset({"ill"})), "hopeless", "ill"),
        (now(alarms=frozenset({"hot", "power-state"})), NOTHING, "unmet", "power-state"),
        (now(failed={"infer/cpu": "crashed"}), NOTHING, "unmet", "crashed"),
    ],
)  # fmt: skip
def test_what_is_held_against_it(facts: Facts, changed: Changed, word: str, part: str) -> None:
    found, reason = judge(WELL, changed, facts)
    assert found == word
    assert part in reason


def test_what_the_change_degrades_is_held_against_it_and_the_weather_is_not() -> None:
    ill = now(degraded={"broker-rights": "not allowed", "governor": "hot"})
    assert judge(WELL, NOTHING, ill) == ("met", "")
    rights = Changed(components=frozenset({"broker-rights", "metrics"}))
    assert judge(WELL, rights, ill) == ("unmet", "broker-rights is degraded: not allowed")
    assert judge(ill, rights, ill) == ("met", ""), "it was so before"


FIRST_BUILD = PipelineFact(serves=False, waits=True, bare=True)
GIVEN_UP = PipelineFact(serves=False, hopeless=True, bare=True)
LOADS = PipelineFact(serves=False, waits=True)
OF_ALL = frozenset({"all"})


@pytest.mark.parametrize(
    ("was", "is_now", "changed", "word"),
    [
        (FIRST_BUILD, FIRST_BUILD, Changed(settings=OF_ALL), "met"),
        (FIRST_BUILD, FIRST_BUILD, Changed(pipelines=OF_ALL), "met"),
        (FIRST_BUILD, FIRST_BUILD, Changed(engines=OF_ALL), "waiting"),
        (FIRST_BUILD, LOADS, Changed(settings=OF_ALL), "waiting"),
        (FIRST_BUILD, PipelineFact(serves=False), Changed(settings=OF_ALL), "unmet"),
        (FIRST_BUILD, GIVEN_UP, Changed(settings=OF_ALL), "met"),
        (FIRST_BUILD, GIVEN_UP, Changed(pipelines=OF_ALL), "hopeless"),
        (GIVEN_UP, GIVEN_UP, Changed(settings=OF_ALL), "met"),
        (GIVEN_UP, FIRST_BUILD, Changed(pipelines=OF_ALL), "met"),
        (PipelineFact(serves=True), FIRST_BUILD, Changed(settings=OF_ALL), "waiting"),
        (PipelineFact(serves=True), PipelineFact(serves=False), Changed(settings=OF_ALL), "unmet"),
        (None, FIRST_BUILD, NOTHING, "waiting"),
    ],
)
def test_a_pipeline_without_an_engine_is_judged_by_what_the_change_can_do_to_it(
    was: PipelineFact | None, is_now: PipelineFact, changed: Changed, word: str
) -> None:
    """A threshold that is set during a first build, which takes longer than a trial, is no reason to go back."""
    before = now(pipelines={"all": was} if was is not None else {})
    assert judge(before, changed, now(pipelines={"all": is_now}))[0] == word


def test_a_link_that_was_down_before_is_held_against_new_settings_only() -> None:
    down = now(link=False)
    assert judge(down, NOTHING, down)[0] == "met"
    assert judge(down, Changed(link=True), down)[0] == "unmet"


def test_the_worst_counts() -> None:
    facts = now(link=False, pipelines={"all": PipelineFact(False, hopeless=True)}, cameras={})
    assert judge(WELL, NOTHING, facts)[0] == "hopeless"
