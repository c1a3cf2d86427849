"""When to start a child again: pure arithmetic over the times of its deaths.

A child that dies is started again after a delay that doubles with each death inside the window and is jittered.
When too many deaths fall inside the window the child counts as failing: it is still tried, at the slow pace,
because nobody stands beside the device to press a button. It stays failing until a whole window passes without a
death: the slow pace must not make the window forget and bring the fast pace back. Its owner may know better: a child
that has done its work for a while is proven, and its deaths are forgotten at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_DOUBLINGS = 64  # far beyond any cap, and still a float


@dataclass(frozen=True)
class RestartRules:
    """Seconds throughout. `max_deaths` inside `window_s` make a child failing."""

    base_s: float = 0.25
    cap_s: float = 15.0
    window_s: float = 60.0
    max_deaths: int = 6
    slow_s: float = 30.0


@dataclass(frozen=True)
class RestartState:
    """Monotonic times (seconds) of the deaths inside the window, oldest first."""

    deaths: tuple[float, ...] = ()
    restarts: int = 0
    failing: bool = False


@dataclass(frozen=True)
class Restart:
    delay_s: float
    failing: bool


def decide_restart(
    rules: RestartRules, state: RestartState, now_s: float, jitter: float
) -> tuple[RestartState, Restart]:
    """What follows a death at `now_s`. `jitter` in [0, 1) spreads the delay over its upper half."""
    deaths = (*(t for t in state.deaths if now_s - t < rules.window_s), now_s)
    failing = len(deaths) >= rules.max_deaths or (state.failing and len(deaths) > 1)
    full = rules.slow_s if failing else min(rules.cap_s, rules.base_s * 2.0 ** min(len(deaths) - 1, MAX_DOUBLINGS))
    delay = full * (0.5 + 0.5 * jitter)
    return replace(state, deaths=deaths, restarts=state.restarts + 1, failing=failing), Restart(delay, failing)


def proven(state: RestartState) -> RestartState:
    """The child does its work again: its deaths do not count any more."""
    return replace(state, deaths=(), failing=False)
