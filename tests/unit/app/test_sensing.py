"""From a sample of the board to what the governor looks at."""

from __future__ import annotations

import math

from edgeagent.app.sensing import SLOW_LASTS_S, Counters, Slow, Streams, sense_of, slow_of
from edgeagent.board.parts import Cooling, Memory, OverCurrent, Rail, Zone
from edgeagent.board.reading import Reading
from edgeagent.thermal.sense import ZoneSense


def board(oc: tuple[int | None, ...] = (0, 0, 0), alert: int | None = 0) -> Reading:
    return Reading(
        zones=(Zone("cpu-thermal", 60.5, throttle_c=99.0), Zone("cv0-thermal", None, "offline", throttle_c=99.0)),
        cooling=(Cooling("cpu-throttle-alert", alert, 1),),
        over_current=tuple(OverCurrent(f"oc{number}", events) for number, events in enumerate(oc, 1)),
        rails=(Rail("VDD_IN", 10_000.0),),
        memory=Memory(8_000_000, 3_000_000, oom_kills=2),
    )


def test_a_whole_sample_gives_everything() -> None:
    reading = board(alert=1)
    sense, counters = sense_of(
        reading, Counters(), 100.0, slow=slow_of(reading, 100.0), streams=Streams(0.97, 1.2), power_cap_w=25.0
    )
    assert sense.zones == (ZoneSense("cpu-thermal", 60.5, 99.0), ZoneSense("cv0-thermal", None, 99.0))
    assert (sense.alerts, sense.power_w, sense.power_cap_w, sense.oom_kills) == (("cpu",), 10.0, 25.0, 2)
    assert (sense.frames_kept, sense.latency) == (0.97, 1.2)
    assert (sense.memory_total_mb, sense.memory_available_mb) == (8192.0, 3072.0)
    assert sense.over_current is None and sense.oc3_per_s is None, "a first look has nothing to compare with"
    assert counters == Counters(100.0, 0, 0)


def test_what_is_new_is_counted_from_look_to_look() -> None:
    _, before = sense_of(board((1, 2, 100)), Counters(), 100.0)
    sense, before = sense_of(board((1, 5, 160)), before, 102.0)
    assert sense.over_current == 3 and sense.oc3_per_s == 30.0
    sense, before = sense_of(Reading(), before, 102.5)
    assert sense.over_current is None, "a quick sample does not count"
    sense, before = sense_of(board((1, 6, 160)), before, 104.0)
    assert sense.over_current == 1, "and loses nothing"
    sense, _ = sense_of(board((0, 0, 0)), before, 106.0)
    assert sense.over_current is None, "a driver was reloaded"


def test_a_rate_is_over_the_time_between_its_counts_whatever_was_looked_at_between() -> None:
    _, before = sense_of(board((0, 0, 100)), Counters(), 100.0)
    for at_s in (100.5, 101.0, 101.5):
        sense, before = sense_of(Reading(), before, at_s)
        assert sense.oc3_per_s is None
    sense, _ = sense_of(board((0, 0, 160)), before, 102.0)
    assert sense.oc3_per_s == 30.0


def test_counts_that_nobody_looked_at_come_with_the_next_quick_look() -> None:
    _, before = sense_of(board((1, 2, 100)), Counters(), 100.0)
    sense, _ = sense_of(Reading(), before, 102.0, over_current=board((1, 4, 160)).over_current)
    assert (sense.over_current, sense.oc3_per_s) == (2, 30.0)


def test_one_channel_that_cannot_be_read_makes_the_count_unknown() -> None:
    _, before = sense_of(board((1, 2, 0)), Counters(), 100.0)
    sense, _ = sense_of(board((1, None, 0)), before, 102.0)
    assert sense.over_current is None


def test_alerts_that_cannot_be_read_are_not_quiet() -> None:
    assert sense_of(board(alert=None), Counters(), 1.0, slow=slow_of(board(alert=None), 1.0))[0].alerts is None
    assert sense_of(board(), Counters(), 1.0, slow=slow_of(board(), 1.0))[0].alerts == ()


def test_what_a_whole_sample_told_holds_for_a_while_only() -> None:
    slow = slow_of(board(), 100.0)
    assert sense_of(Reading(), Counters(), 102.0, slow=slow)[0].power_w == 10.0
    assert sense_of(Reading(), Counters(), 101.0 + SLOW_LASTS_S, slow=slow)[0].power_w is None
    assert Slow().at(0.0) == Slow()


def test_a_mode_without_a_cap_has_none() -> None:
    assert sense_of(Reading(), Counters(), 1.0, power_cap_w=math.inf)[0].power_cap_w is None
