"""Which zone binds, and over which gaps in the readings it still does."""

from __future__ import annotations

import math

import pytest

from edgeagent.thermal.sense import Sense, ZoneSense, hottest, is_temperature
from edgeagent.thermal.sight import REMEMBER_S, Seen, see


def test_the_zone_nearest_to_its_own_limit_binds_not_the_hottest() -> None:
    zone = hottest((ZoneSense("cpu", 80.0, 99.0), ZoneSense("soc", 75.0, 85.0)))
    assert zone is not None
    assert (zone.name, zone.headroom_c) == ("soc", 10.0)


@pytest.mark.parametrize("celsius", [None, math.nan, math.inf, -256.0, 300.0])
def test_what_no_die_shows_is_no_temperature(celsius: float | None) -> None:
    assert not is_temperature(celsius)
    assert hottest((ZoneSense("cpu", celsius, 99.0),)) is None
    assert hottest((ZoneSense("cpu", 50.0, celsius),)) is None


def look(at_s: float, cpu: float | None, tj: float | None) -> Sense:
    return Sense(at_s, (ZoneSense("cpu", cpu, 99.0), ZoneSense("tj", tj, 99.0)))


def test_a_zone_silent_for_a_moment_counts_with_what_it_showed() -> None:
    seen, sight = see(Seen(), look(0.0, 90.0, 70.0))
    assert sight.zone is not None
    assert sight.zone.name == "cpu"
    assert sight.fresh
    seen, sight = see(seen, look(1.0, None, 70.0))
    assert sight.zone is not None
    assert (sight.zone.name, sight.zone.celsius, sight.fresh) == ("cpu", 90.0, False)


def test_a_zone_that_stays_silent_is_left_to_the_others() -> None:
    seen, _ = see(Seen(), look(0.0, 90.0, 70.0))
    seen, sight = see(seen, look(REMEMBER_S + 0.1, None, 70.0))
    assert sight.zone is not None
    assert (sight.zone.name, sight.fresh) == ("tj", True)


def test_a_remembered_value_is_not_kept_alive_by_being_remembered() -> None:
    seen = Seen()
    sights = []
    for at_s, cpu in ((0.0, 90.0), (2.0, None), (4.0, None)):
        seen, sight = see(seen, look(at_s, cpu, None))
        sights.append(sight.zone is not None)
    assert sights == [True, True, False]


def test_a_fresh_zone_may_bind_beside_a_remembered_one() -> None:
    seen, _ = see(Seen(), look(0.0, 60.0, 70.0))
    _, sight = see(seen, look(1.0, None, 71.0))
    assert sight.zone is not None
    assert (sight.zone.name, sight.fresh) == ("tj", True)
