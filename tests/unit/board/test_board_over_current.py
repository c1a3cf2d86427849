"""Over-current counters: since boot, new since the sample before, and when neither can be said."""

from __future__ import annotations

from pathlib import Path

import pytest
from sysfs_kit import Tree

from edgeagent.board.over_current import Counted, count_over_current
from edgeagent.board.parts import OverCurrent
from edgeagent.board.telemetry import BoardReader
from edgeagent.clock import ManualClock


@pytest.mark.parametrize(
    ("events", "before", "new", "rate"),
    [
        (7, None, None, None),
        (7, Counted(7, 10.0), 0, 0.0),
        (37, Counted(7, 10.0), 30, 15.0),
        (2, Counted(7, 10.0), None, None),
        (9, Counted(7, 12.0), 2, None),
        (9, Counted(7, 13.0), 2, None),
    ],
)
def test_what_is_new(events: int, before: Counted | None, new: int | None, rate: float | None) -> None:
    found, counted = count_over_current("oc3", events, "", before, 12.0, throttles=True)
    assert found == OverCurrent("oc3", events, new, rate, True)
    assert counted == Counted(events, 12.0)


@pytest.mark.parametrize(
    ("events", "absent", "said"),
    [
        (None, "offline", "offline"),
        (-1, "", "unreadable"),
        (10**20 - 1, "", "unreadable"),
        (2**53 + 1, "", "unreadable"),
    ],
)
def test_a_failed_read_keeps_what_was_counted(events: int | None, absent: str, said: str) -> None:
    before = Counted(7, 10.0)
    found, counted = count_over_current("oc1", events, absent, before, 12.0, throttles=None)  # type: ignore[arg-type]
    assert (found.events, found.new, found.absent) == (None, None, said)
    assert counted == before


def test_the_reader_counts_from_sample_to_sample(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path), ManualClock()
    directory = tree.hwmon(2, "soctherm_oc", oc1_event_cnt=0, oc2_event_cnt=4, oc3_event_cnt=100)
    tree.lines(directory, oc1_throt_en=1, oc3_throt_en=0)
    with BoardReader(tmp_path, clock=clock) as reader:
        assert [(found.channel, found.events, found.new) for found in reader.read().over_current] == [
            ("oc1", 0, None),
            ("oc2", 4, None),
            ("oc3", 100, None),
        ]
        clock.advance(2.0)
        tree.lines(directory, oc3_event_cnt=160)
        found = reader.read().over_current
    assert found[1] == OverCurrent("oc2", 4, 0, 0.0, None)
    assert found[2] == OverCurrent("oc3", 160, 60, 30.0, False)
    assert len({part.meaning for part in found}) == 3


def test_a_reloaded_driver_starts_anew(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path), ManualClock()
    directory = tree.hwmon(2, "soctherm_oc", oc3_event_cnt=500)
    with BoardReader(tmp_path, clock=clock) as reader:
        reader.read()
        (tmp_path / directory).rename(tmp_path / "sys/class/hwmon/hwmon7")
        tree.lines("sys/class/hwmon/hwmon7", oc3_event_cnt=3)
        clock.advance(1.0)
        assert (reader.read().over_current[0].new, reader.read().over_current[0].events) == (None, 3)
        clock.advance(1.0)
        tree.lines("sys/class/hwmon/hwmon7", oc3_event_cnt=5)
        assert reader.read().over_current[0].new == 2
