"""How a command goes, as a table. Pure, standard library only.

    new -> refused                                         nothing was done
    new -> accepted -> running -> succeeded | failed | timed_out | cancelled
           accepted ------------> failed | timed_out | cancelled

`accepted` is said once the command is stored; from then on it has one effect at most, whatever is redelivered. The last
five states are final: no event leads out of them, so a last word never changes.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from edgeagent.fleet.answers import JobWord

State = Literal["new"] | JobWord
Event = Literal["refuse", "accept", "begin", "succeed", "fail", "expire", "cancel"]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)

TABLE: Final[dict[tuple[State, Event], JobWord]] = {
    ("new", "refuse"): "refused",
    ("new", "accept"): "accepted",
    ("accepted", "begin"): "running",
    ("accepted", "fail"): "failed",
    ("accepted", "expire"): "timed_out",
    ("accepted", "cancel"): "cancelled",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "expire"): "timed_out",
    ("running", "cancel"): "cancelled",
}


class IllegalStepError(Exception):
    """A fault of ours: the event does not fit the state."""


def step(state: State, event: Event) -> JobWord:
    """The state after the event. Raises IllegalStepError for a pair that the table does not have."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalStepError(f"a job that is {state} cannot {event}") from None


def is_final(state: State) -> bool:
    return not any(before == state for before, _ in TABLE)
