"""When an engine has failed too often."""

from __future__ import annotations

import pytest

from edgeagent.inference.trial import FAILURES, TRIAL_S, Outcome, Trial


def trial(*outcomes: Outcome) -> Trial:
    found = Trial(0)
    for outcome in outcomes:
        found = found.after(outcome)
    return found


@pytest.mark.parametrize(
    ("outcomes", "with_a_way_back", "without"),
    [
        ([], False, False),
        (["raised"] * (FAILURES - 1), False, False),
        (["raised"] * FAILURES, True, True),
        (["no_numbers"] * FAILURES, True, False),
        (["no_numbers"] * 1000, True, False),
        (["raised", "no_numbers", "raised"], True, False),
        (["raised", "raised", "good", "raised", "raised"], False, False),
    ],
)
def test_only_failures_in_a_row_count(outcomes: list[Outcome], with_a_way_back: bool, without: bool) -> None:
    assert trial(*outcomes).failed(way_back=True) is with_a_way_back
    assert trial(*outcomes).failed(way_back=False) is without


def test_a_trial_ends_after_its_minute() -> None:
    assert not Trial(5).over(5 + int(TRIAL_S * 1e9) - 1)
    assert Trial(5).over(5 + int(TRIAL_S * 1e9))
