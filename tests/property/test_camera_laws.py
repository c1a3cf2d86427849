"""Laws of a camera's health and of the wait for its source, for any history."""

from __future__ import annotations

import itertools

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.camera.health import HealthState, Look, Promise, fail, judge
from edgeagent.camera.presence import LOOK_EVERY_S, wait_for_source

PROMISES = st.builds(
    Promise,
    st.none() | st.floats(0.1, 240),
    st.none() | st.floats(0.1, 240),
    st.none() | st.just((640, 480)),
)
STEPS = st.lists(
    st.just("fail")
    | st.tuples(
        st.floats(0.1, 5.0),
        st.integers(0, 300),
        st.integers(0, 300),
        st.none() | st.sampled_from([(640, 480), (320, 240)]),
        st.floats(0, 60),
    ),
    max_size=60,
)


@given(PROMISES, STEPS)
def test_a_failure_ends_with_a_good_picture_and_with_nothing_else(promise: Promise, steps: list[object]) -> None:
    state, now_s, frames, unusable, good = HealthState(), 0.0, 0, 0, True
    for step in steps:
        if not isinstance(step, tuple):
            state, frames, unusable, good = fail(state, "source_lost", "gone"), 0, 0, False
            assert state.verdict.health == "failed"
            continue
        passed_s, more, bad, size, still_s = step
        now_s, first = now_s + passed_s, not state.looks
        frames, unusable = frames + more, unusable + bad
        state = judge(state, Look(now_s, frames, unusable, size, still_s), promise)
        good = good or (more > 0 and still_s == 0.0 and not first)
        verdict = state.verdict
        assert (verdict.health == "ok") == (verdict.code == "" == verdict.reason)
        assert good or verdict.health == "failed"
        assert not (state.proven and state.failed)
        assert len({doubt.code for doubt in state.doubts}) == len(state.doubts)


@settings(deadline=None)
@given(
    st.floats(0.0, 130.0),
    st.floats(0.0, 130.0),
    st.lists(st.tuples(st.floats(0.01, 40.0), st.sampled_from([True, False, None])), max_size=8),
    st.sampled_from([True, False]),
)
def test_a_wait_has_an_end_and_never_sleeps_past_a_source_that_came_back(
    delay_s: float, more_s: float, course: list[tuple[float, bool | None]], last: bool
) -> None:
    now = [0.0]
    longest_s = delay_s + more_s

    def there() -> bool | None:
        left_s = now[0]
        for lasts_s, word in course:
            if left_s < lasts_s:
                return word
            left_s -= lasts_s
        return last

    seen: list[tuple[float, bool | None]] = []

    async def probe() -> bool | None:
        seen.append((now[0], there()))
        return seen[-1][1]

    async def sleep(seconds: float) -> None:
        assert seconds > 0
        now[0] += seconds

    async def whole() -> None:
        await wait_for_source(probe, delay_s, longest_s, sleep, lambda: now[0])

    anyio.run(whole)
    assert now[0] <= longest_s + 1e-6
    for (_, before), (at_s, word) in itertools.pairwise(seen):
        if before is False and word is True:
            assert at_s == now[0], "it was back, and the wait went on"
    gaps = [later - sooner for (sooner, word), (later, _) in itertools.pairwise(seen) if word is not None]
    assert all(gap <= LOOK_EVERY_S + 1e-6 for gap in gaps)
