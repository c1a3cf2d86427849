"""Percentiles and the gauge, with numbers that can be checked by hand."""

from __future__ import annotations

import pytest

from edgeagent.health.latency import Gauge, Window, percentile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 5), (0.501, 6), (0.9, 9), (0.95, 10), (0.99, 10), (1.0, 10)]
)
def test_nearest_rank_of_ten(share: float, expected: int) -> None:
    assert percentile(list(range(1, 11)), share) == expected


def test_one_value_is_every_percentile() -> None:
    assert {percentile([7.0], share / 100) for share in range(101)} == {7.0}


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_a_gauge_without_results_says_so() -> None:
    assert Gauge().take() == Window(0, 0)


def test_a_gauge_hands_out_its_interval_and_starts_the_next() -> None:
    gauge = Gauge()
    for number in range(100, 0, -1):
        gauge.add(latency_ms=number + 0.12345, engine_ms=2.0 * number, detections=3)
    assert gauge.take() == Window(100, 300, 50.123, 95.123, 99.123, 101.0)
    assert gauge.take() == Window(0, 0)
    gauge.add(5.0, 1.0, 0)
    assert gauge.take() == Window(1, 0, 5.0, 5.0, 5.0, 1.0)
