"""Laws of the governor for any course of looks, however wild."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.thermal.governor import GovernorRules, Verdict, begin, govern
from edgeagent.thermal.reasons import TABLE
from edgeagent.thermal.sense import Sense, ZoneSense
from edgeagent.thermal.verdict import LEVELS

NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, float("nan"), float("inf"), -256.0]))
CELSIUS = st.one_of(st.none(), st.floats(0.0, 110.0), NUMBERS)
ZONES = st.lists(st.builds(ZoneSense, st.sampled_from(["cpu", "gpu", "tj"]), CELSIUS, CELSIUS), max_size=3)
LOOKS = st.builds(
    Sense,
    at_s=st.just(0.0),
    zones=ZONES.map(tuple),
    alerts=st.one_of(st.none(), st.just(()), st.just(("cpu",))),
    over_current=st.one_of(st.none(), st.integers(0, 5)),
    oc3_per_s=st.one_of(st.none(), st.floats(0.0, 500.0)),
    power_w=NUMBERS,
    power_cap_w=NUMBERS,
    memory_available_mb=st.one_of(st.none(), st.floats(0.0, 64_000.0)),
    memory_total_mb=st.one_of(st.none(), st.floats(1.0, 64_000.0)),
    oom_kills=st.one_of(st.none(), st.integers(0, 3)),
    frames_kept=st.one_of(st.none(), st.floats(0.0, 1.0)),
    latency=st.one_of(st.none(), st.floats(0.0, 50.0)),
)
STEPS = st.one_of(st.floats(0.05, 3.0), st.floats(-1.0, 600.0))
COURSES = st.lists(st.tuples(STEPS, LOOKS, st.booleans()), min_size=1, max_size=40)
Course = list[tuple[float, Sense, bool]]


def follow(course: Course, rules: GovernorRules | None = None) -> list[tuple[float, bool, Verdict]]:
    """What the governor says to a course of (seconds since the last look, look, building)."""
    rules = rules or GovernorRules()
    state, at_s, said = begin(rules), 0.0, []
    for dt_s, sense, building in course:
        at_s += dt_s
        state, verdict = govern(rules, state, _at(sense, at_s), building=building)
        said.append((at_s, building, verdict))
    return said


def _at(sense: Sense, at_s: float) -> Sense:
    return Sense(**{**sense.__dict__, "at_s": at_s})


@settings(max_examples=200)
@given(COURSES)
def test_whatever_is_seen_the_verdict_is_sane(course: Course) -> None:
    for _, _, verdict in follow(course):
        assert 0.0 <= verdict.build_duty <= 1.0
        assert verdict.build_duty == 0.0 or verdict.build_duty >= GovernorRules().least_duty
        assert 0.0 <= verdict.allowance <= 1.0
        assert verdict.level in LEVELS
        assert verdict.reason.code in TABLE
        assert bool(verdict.reason.text) == (verdict.reason.code != "none")
        assert (verdict.headroom_c is None) == (verdict.hottest == "")


@settings(max_examples=100)
@given(COURSES)
def test_the_same_course_brings_the_same_verdicts(course: Course) -> None:
    said = [verdict for _, _, verdict in follow(course)]
    assert said == [verdict for _, _, verdict in follow(course)]


@settings(max_examples=100)
@given(COURSES)
def test_only_a_build_is_cancelled(course: Course) -> None:
    before_s = -1.0
    for at_s, building, verdict in follow(course):
        if at_s > before_s and not building:
            assert verdict.cancel == ""
        before_s = max(before_s, at_s)


@settings(max_examples=100)
@given(COURSES)
def test_a_level_goes_down_one_step_a_dwell(course: Course) -> None:
    dwell_s = GovernorRules().dwell_s
    said = [(at_s, LEVELS.index(verdict.level)) for at_s, _, verdict in _in_order(follow(course))]
    changed_s = said[0][0]
    for (_, before), (at_s, now) in pairwise(said):
        assert now >= before - 1
        if now < before:
            assert at_s - changed_s >= dwell_s
        if now != before:
            changed_s = at_s


@settings(max_examples=100)
@given(COURSES)
def test_the_duty_rises_no_faster_than_it_may(course: Course) -> None:
    said = _in_order(follow(course))
    for (before_s, built, before), (at_s, building, now) in pairwise(said):
        if built and building:
            assert now.build_duty <= before.build_duty + 0.2 * min(2.0, at_s - before_s) + 0.05


@settings(max_examples=100)
@given(COURSES, st.floats(0.05, 1.0))
def test_the_ceiling_of_the_attempt_is_never_exceeded(course: Course, most: float) -> None:
    rules = GovernorRules(most_duty=most)
    assert all(verdict.build_duty <= most + 1e-9 for _, _, verdict in follow(course, rules))


@settings(max_examples=100)
@given(COURSES)
def test_near_throttling_nothing_is_built(course: Course) -> None:
    for _, _, verdict in _in_order(follow(course)):
        if verdict.headroom_c is not None and verdict.headroom_c < GovernorRules().critical_c:
            assert verdict.build_duty == 0.0
            assert verdict.level == "critical"


@given(st.floats(20.0, 98.0), st.floats(20.0, 98.0))
def test_the_cooler_board_may_begin_with_more(one_c: float, other_c: float) -> None:
    rules = GovernorRules()
    cool, hot = sorted((one_c, other_c))
    duties = [
        govern(rules, begin(rules), Sense(0.0, (ZoneSense("cpu", celsius, 99.0),)), building=True)[1].build_duty
        for celsius in (cool, hot)
    ]
    assert duties[0] >= duties[1]


@given(st.lists(st.floats(0.3, 1.0), min_size=30, max_size=60), st.floats(80.0, 98.9))
def test_a_constant_temperature_never_moves_the_level_twice(steps: list[float], celsius: float) -> None:
    look = Sense(0.0, (ZoneSense("cpu", celsius, 99.0),), alerts=())
    levels = [verdict.level for _, _, verdict in follow([(dt_s, look, True) for dt_s in steps])]
    assert len(set(levels)) == 1


@given(st.integers(0, 200), st.floats(0.2, 1.0))
def test_cancel_critical_comes_only_after_its_time_of_pause(looks: int, dt_s: float) -> None:
    look = Sense(0.0, (ZoneSense("cpu", 97.5, 99.0),), alerts=())
    said = follow([(dt_s, look, True)] * (looks + 1))
    first = next((number for number, (_, _, verdict) in enumerate(said) if verdict.cancel), None)
    if first is not None:
        assert first * dt_s >= GovernorRules().critical_after_s - 1e-6


def _in_order(said: list[tuple[float, bool, Verdict]]) -> list[tuple[float, bool, Verdict]]:
    """Without the looks that came too late to count."""
    kept: list[tuple[float, bool, Verdict]] = []
    for entry in said:
        if not kept or entry[0] > kept[-1][0]:
            kept.append(entry)
    return kept
