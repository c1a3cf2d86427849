"""Which of several brokers to try next, and when. Pure; time and chance are parameters.

The first one is preferred, the others are fallbacks, in their order. Each has its own attempts (`attempts.py`): its own
protocol, its own count of failures, its own time before which it is not asked again, so that one that refuses us is
retried slowly while the others are not. Of those whose time has come the most preferred goes next; where none has, the
one whose time comes first. So a broker that fails makes room for the next one at once, and when all fail each is
retried with its growing random delays.

Two endings stay with their broker: a connection that stood for a while is tried again where it was before another is,
and one that was taken over by another client with our id would only be fought over elsewhere.

On a fallback the preferred broker is probed from time to time; the connection goes back once it is known to answer. A
return that fails makes the next one wait longer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final, TypeVar

from edgeagent.fleet.attempts import Attempts, Ending, after, first_attempt
from edgeagent.fleet.link_types import LinkSettings

_MOST_DOUBLINGS: Final = 4
_T = TypeVar("_T")


@dataclass(frozen=True)
class Brokers:
    """`now` is the broker that is tried or used, by its place in the settings. `due_s`: not before that time.
    `failed_returns` in a row, to the preferred one; `returning` while one is on."""

    attempts: tuple[Attempts, ...]
    due_s: tuple[float, ...]
    now: int = 0
    failed_returns: int = 0
    returning: bool = False

    @property
    def current(self) -> Attempts:
        return self.attempts[self.now]

    @property
    def on_fallback(self) -> bool:
        return self.now > 0


def first_broker(settings: LinkSettings) -> Brokers:
    count = len(settings.brokers)
    return Brokers((first_attempt(settings),) * count, (0.0,) * count)


def next_broker(
    state: Brokers, ending: Ending, settings: LinkSettings, rng: Random, now_s: float
) -> tuple[Brokers, float]:
    """After an ending: what to try next and in how many seconds."""
    attempts, delay_s = after(state.current, ending, settings, rng)
    state = _judge_return(state, ending, settings)
    state = replace(
        state,
        attempts=_put(state.attempts, state.now, attempts),
        due_s=_put(state.due_s, state.now, now_s + delay_s),
    )
    if ending.kind == "moved":
        state = replace(state, now=0, due_s=_put(state.due_s, 0, now_s), returning=True)
        return state, 0.0
    if delay_s == 0.0 or ending.kind == "displaced" or ending.held_s >= settings.stable_s:
        return state, delay_s
    chosen = _choice(state.due_s, now_s)
    wait_s = max(0.0, state.due_s[chosen] - now_s)
    if chosen != state.now:
        wait_s = max(wait_s, rng.uniform(0.0, settings.lost.base_s))  # all devices of the fleet come at the same time
    return replace(state, now=chosen), wait_s


def probe_delay_s(state: Brokers, settings: LinkSettings, rng: Random) -> float:
    """On a fallback: seconds until the preferred broker is probed, or probed again."""
    return settings.preferred_after_s * 2.0**state.failed_returns * rng.uniform(0.75, 1.25)


def _choice(due_s: tuple[float, ...], now_s: float) -> int:
    ready = [place for place, due in enumerate(due_s) if due <= now_s]
    return ready[0] if ready else min(range(len(due_s)), key=lambda place: due_s[place])


def _judge_return(state: Brokers, ending: Ending, settings: LinkSettings) -> Brokers:
    """Whether the preferred broker held, after a return to it."""
    if state.on_fallback:
        return state
    if ending.held_s >= settings.stable_s:
        return replace(state, failed_returns=0, returning=False)
    if state.returning:
        return replace(state, failed_returns=min(_MOST_DOUBLINGS, state.failed_returns + 1), returning=False)
    return state


def _put(values: tuple[_T, ...], place: int, value: _T) -> tuple[_T, ...]:
    return (*values[:place], value, *values[place + 1 :])
