"""Laws of the restart policy, for any history of deaths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.supervise.policy import RestartRules, RestartState, decide_restart

SECONDS = st.floats(0.001, 1000.0)
RULES = st.builds(
    lambda base, cap, window, most, slow: RestartRules(base, base + cap, window, most, slow),
    SECONDS, SECONDS, SECONDS, st.integers(1, 40), SECONDS,
)  # fmt: skip
LIVES = st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 1.0, exclude_max=True)), min_size=1, max_size=60)


@given(RULES, LIVES)
def test_every_delay_is_bounded_and_every_state_consistent(
    rules: RestartRules, lives: list[tuple[float, float]]
) -> None:
    state, now_s = RestartState(), 0.0
    for lived_s, jitter in lives:
        now_s += lived_s
        before = state
        state, restart = decide_restart(rules, state, now_s, jitter)
        full = rules.slow_s if restart.failing else rules.cap_s
        least = rules.slow_s if restart.failing else rules.base_s
        assert least / 2 <= restart.delay_s <= full
        assert state.restarts == before.restarts + 1
        assert state.failing == restart.failing
        assert state.deaths[-1] == now_s
        assert all(0 <= now_s - death < rules.window_s for death in state.deaths)
        assert restart.failing or len(state.deaths) < rules.max_deaths
        now_s += restart.delay_s


@given(RULES, LIVES, st.floats(0.0, 1.0, exclude_max=True))
def test_a_window_without_a_death_forgets_everything(
    rules: RestartRules, lives: list[tuple[float, float]], jitter: float
) -> None:
    state, now_s = RestartState(), 0.0
    for lived_s, chance in lives:
        now_s += lived_s
        state, _ = decide_restart(rules, state, now_s, chance)
    later = now_s + rules.window_s * 1.001 + 1.0
    _, after_rest = decide_restart(rules, state, later, jitter)
    _, fresh = decide_restart(rules, RestartState(), later, jitter)
    assert after_rest == fresh


@given(RULES, st.integers(1, 60), st.floats(0.0, 1.0, exclude_max=True))
def test_deaths_at_once_come_to_failing_at_the_right_count(rules: RestartRules, count: int, jitter: float) -> None:
    state = RestartState()
    for number in range(1, count + 1):
        state, restart = decide_restart(rules, state, 5.0, jitter)
        assert restart.failing == (number >= rules.max_deaths)
