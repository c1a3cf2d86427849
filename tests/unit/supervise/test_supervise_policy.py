"""The restart policy, death by death."""

from __future__ import annotations

from edgeagent.supervise.policy import Restart, RestartRules, RestartState, decide_restart, proven

RULES = RestartRules(base_s=1.0, cap_s=8.0, window_s=60.0, max_deaths=6, slow_s=30.0)


def deaths_at(*times: float, rules: RestartRules = RULES, jitter: float = 0.999_999_999) -> list[Restart]:
    state, told = RestartState(), []
    for now_s in times:
        state, restart = decide_restart(rules, state, now_s, jitter)
        told.append(restart)
    assert state.restarts == len(times)
    return told


def test_the_delay_doubles_up_to_its_cap() -> None:
    assert [round(restart.delay_s, 3) for restart in deaths_at(0, 1, 2, 3, 4)] == [1, 2, 4, 8, 8]


def test_jitter_takes_away_half_at_most() -> None:
    assert deaths_at(0, jitter=0.0) == [Restart(0.5, failing=False)]


def test_too_many_deaths_are_failing_and_slow() -> None:
    told = deaths_at(*range(7))
    assert [restart.failing for restart in told] == [False] * 5 + [True] * 2
    assert round(told[-1].delay_s) == 30


def test_deaths_outside_the_window_are_forgotten() -> None:
    assert [round(restart.delay_s, 3) for restart in deaths_at(0, 1, 60.5, 61.5, 200)] == [1, 2, 2, 2, 1]


def test_a_failing_child_stays_slow_as_long_as_it_keeps_dying() -> None:
    """At the slow pace the window alone would forget the deaths, and start a new burst every minute."""
    slow = [5 + 25.0 * count for count in range(1, 40)]
    assert all(restart.failing for restart in deaths_at(*range(6), *slow)[5:])


def test_a_failing_child_that_lived_for_a_whole_window_starts_anew() -> None:
    *_, last = deaths_at(*range(6), 5 + 60.0)
    assert (round(last.delay_s, 3), last.failing) == (1, False)


def test_rules_that_are_never_failing_stay_in_floating_point() -> None:
    rules = RestartRules(max_deaths=10**9, window_s=1e9)
    assert round(deaths_at(*range(1500), rules=rules)[-1].delay_s, 3) == rules.cap_s


def test_one_that_is_proven_starts_anew_and_keeps_its_count() -> None:
    state = RestartState()
    for now_s in range(6):
        state, _ = decide_restart(RULES, state, now_s, 0.999_999_999)
    state, restart = decide_restart(RULES, proven(state), 6.0, 0.999_999_999)
    assert (round(restart.delay_s, 3), restart.failing, state.restarts) == (1, False, 7)
