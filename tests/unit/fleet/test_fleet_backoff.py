"""Backoff at its corners; its laws are in tests/property/test_fleet_laws.py."""

from __future__ import annotations

from random import Random

from edgeagent.fleet.backoff import LOST, REFUSED, Schedule, next_delay, scheduled_delay


def test_the_delay_grows_to_the_cap() -> None:
    longest = [max(next_delay(attempt, Random(seed), 1.0, 60.0) for seed in range(200)) for attempt in (0, 3, 6, 50)]
    assert longest[0] <= 1.0 < longest[1] <= 8.0 < longest[2] <= 60.0
    assert longest[3] <= 60.0


def test_two_devices_do_not_come_back_together() -> None:
    assert next_delay(5, Random(1), 1.0, 60.0) != next_delay(5, Random(2), 1.0, 60.0)


def test_a_refusal_waits_longer_than_a_loss() -> None:
    assert REFUSED.floor_s > 0
    assert REFUSED.base_s > LOST.base_s
    assert min(scheduled_delay(REFUSED, 0, Random(seed)) for seed in range(100)) >= REFUSED.floor_s


def test_the_floor_holds_even_above_the_cap() -> None:
    assert scheduled_delay(Schedule(0.0, 0.0, 2.0), 3, Random(0)) == 2.0
