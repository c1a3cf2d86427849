"""The record of an engine on one device: failures add up to quarantine, a pin outlives the entry, no clock is read."""

from __future__ import annotations

import pytest

from edgeagent.engine.record import (
    LONGEST_REASON,
    Provenance,
    Record,
    Roles,
    after_failure,
    after_quarantine,
    after_use,
    forgiven,
    fresh,
)

FETCHED = Provenance(origin="fetched", url="https://engines.example.org", signer="0011")


@pytest.mark.parametrize(
    ("kinds", "code", "reason"),
    [
        (["load", "load"], "engine_load", "it did not load twice: the last reason"),
        (["crash", "crash"], "engine_crashed", "it crashed its process twice: the last reason"),
        (["load", "crash"], "engine_crashed", "it crashed its process and did not load: the last reason"),
        (["crash", "load"], "engine_load", "it crashed its process and did not load: the last reason"),
        (["run", "run"], "engine_run", "it failed at its work twice: the last reason"),
        (["crash", "run"], "engine_run", "it crashed its process and failed at its work: the last reason"),
        (["run", "load"], "engine_load", "it did not load and failed at its work: the last reason"),
    ],
)
def test_the_second_failure_of_whichever_kind_means_quarantine(kinds, code: str, reason: str) -> None:
    once = after_failure(Record(), kinds[0], "the first reason")
    assert once.quarantine is None and once.last_failure == "the first reason"
    twice = after_failure(once, kinds[1], "the last reason")
    assert twice.quarantine is not None
    assert (twice.quarantine.code, twice.quarantine.reason) == (code, reason)
    assert (twice.load_failures, twice.crashes) == (kinds.count("load"), kinds.count("crash"))
    assert twice.run_failures == kinds.count("run")
    assert forgiven(twice).failures == 0


def test_the_first_reason_for_quarantine_stays() -> None:
    record = after_quarantine(Record(), "engine_disagrees", "it does not hold here")
    for _ in range(3):
        record = after_failure(record, "crash", "again")
    record = after_quarantine(record, "other", "another")
    assert record.quarantine is not None and record.quarantine.reason == "it does not hold here"
    assert record.crashes == 3


def test_forgiven_means_that_nothing_is_held_against_it_and_the_rest_stays() -> None:
    before = Record(provenance=FETCHED, first_stored=3, last_used=9, pinned=True)
    failed = after_failure(after_failure(before, "load", "x"), "load", "y")
    assert forgiven(failed) == before
    assert after_failure(forgiven(failed), "load", "z").quarantine is None


def test_of_an_earlier_entry_of_the_key_only_the_pin_stays() -> None:
    before = after_quarantine(Record(first_stored=1, last_used=5, crashes=1, pinned=True), "c", "r")
    after = fresh(before, FETCHED, 12)
    assert after == Record(provenance=FETCHED, first_stored=12, last_used=12, pinned=True, proven=False)


def test_the_use_counter_never_goes_back() -> None:
    assert after_use(Record(last_used=7), 5).last_used == 7
    assert after_use(Record(last_used=7), 8).last_used == 8


def test_a_reason_is_one_line_of_bounded_length() -> None:
    record = after_failure(Record(), "load", "a\nb\t c" + "x" * 10_000)
    assert record.last_failure.startswith("a b cxxx") and len(record.last_failure) == LONGEST_REASON


def test_a_record_of_a_later_release_can_be_read() -> None:
    assert Record.model_validate_json(
        '{"pinned": true, "mood": "good", "provenance": {"origin": "built", "x": 1}}'
    ).pinned


def test_the_engine_before_stays_known() -> None:
    roles = Roles().with_active("a").with_active("a")
    assert roles == Roles(active="a", previous="")
    assert roles.with_active("b").with_active("b") == Roles(active="b", previous="a")
    assert roles.with_active("b").with_active("a") == Roles(active="a", previous="b")
