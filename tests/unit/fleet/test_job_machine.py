"""Every pair of state and event: the table says what follows, or it is our own fault."""

from __future__ import annotations

from typing import get_args

import pytest

from edgeagent.fleet.answers import LAST_WORDS, JobWord
from edgeagent.fleet.job_machine import EVENTS, TABLE, Event, IllegalStepError, State, is_final, step

STATES: tuple[State, ...] = ("new", *get_args(JobWord))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_a_pair_is_in_the_table_or_raises(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert step(state, event) == TABLE[state, event]
    else:
        with pytest.raises(IllegalStepError, match=f"{state} cannot {event}"):
            step(state, event)


def test_the_last_words_are_the_final_states_and_no_others() -> None:
    assert {state for state in STATES if is_final(state)} == set(LAST_WORDS)


def test_every_state_can_be_come_to() -> None:
    reached: set[State] = {"new"}
    while more := {after for (before, _), after in TABLE.items() if before in reached} - reached:
        reached |= more
    assert reached == set(STATES)


def test_work_is_done_only_after_it_was_accepted_and_begun() -> None:
    assert [pair for pair, after in TABLE.items() if after == "succeeded"] == [("running", "succeed")]
    assert [pair for pair, after in TABLE.items() if after == "running"] == [("accepted", "begin")]
