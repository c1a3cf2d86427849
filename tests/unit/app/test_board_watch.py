"""Readings of a virtual board onto MQTT, and the alarms that follow from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from test_publisher import Memory

from edgeagent.app.board_watch import BoardWatch, OwnCost
from edgeagent.app.publisher import Publisher
from edgeagent.board.reading import Cooling, OverCurrent, Rail, Reading, Zone
from edgeagent.clock import ManualClock
from edgeagent.config.schema import PowerSettings, ThermalSettings
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.topics import Topics
from edgeagent.simulate.board import make_board


class OneReading:
    """A board that reads whatever it is told to."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def read(self) -> Reading:
        return self.reading

    def close(self) -> None:
        pass


def at(celsius: float, watts: float = 5.0, alert: int = 0) -> Reading:
    return Reading(
        zones=(Zone("cpu-thermal", celsius, throttle_c=99.0),),
        cooling=(Cooling("cpu-throttle-alert", alert, 1),),
        rails=(Rail("VDD_IN", watts * 1000),),
    )


@pytest.fixture
def link() -> Memory:
    return Memory()


def watch(link: Memory, root: Path, clock: ManualClock | None = None, **power: float) -> BoardWatch:
    clock = clock or ManualClock()
    publisher = Publisher(link, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, results_qos=0)
    return BoardWatch(root, root, "t234", publisher, PowerSettings(**power), ThermalSettings(), clock)  # type: ignore[arg-type]


def alarms(link: Memory, name: str) -> list[bool]:
    """True for each time the alarm was raised, False for each time it was cleared."""
    return [bool(payload) for topic, payload, _, _ in link.sent if topic == f"a/{name}"]


def test_a_virtual_board_is_read_and_well(link: Memory, tmp_path: Path) -> None:
    board = make_board("orin-nano", tmp_path / "board", seed=3)
    watching = watch(link, board.root)
    watching.sample()
    watching.close()
    assert link.last("m/thermal")["headroom_c"] > 20
    assert link.last("m/power")["power_total_w"] > 1
    assert link.last("m/memory")["available_mb"] > 1000
    assert link.last("health")["components"][0]["health"] == "ok"


def test_heat_raises_an_alarm_that_ends_a_little_further_down(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path)
    board = OneReading(at(80.0))
    watching._reader = board  # type: ignore[assignment]
    seen = []
    for celsius in (80.0, 92.0, 90.5, 88.0):
        board.reading = at(celsius)
        watching.sample()
        seen.append(alarms(link, "hot"))
    assert seen == [[False], [False, True], [False, True], [False, True, False]]


def test_heat_past_the_limit_is_told_as_such(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path)
    board = OneReading(at(95.0))
    watching._reader = board  # type: ignore[assignment]
    told = []
    for celsius in (95.0, 99.5, 98.0, 96.0):  # past 99 C, and not below it by 2 C until the last
        board.reading = at(celsius)
        watching.sample()
        told.append((link.last("a/hot")["severity"], link.last("a/hot")["text"]))
    near = ("warning", "the board is less than 8 C below throttling")
    past = ("error", "the board is past the temperature at which it throttles")
    assert told == [near, past, past, near]


def test_throttling_is_an_alarm_however_cool_it_looks(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path)
    watching._reader = OneReading(at(50.0, alert=1))  # type: ignore[assignment]
    watching.sample()
    assert link.last("a/throttling")["severity"] == "error"
    assert link.last("a/throttling")["text"] == "the board is throttling: cpu"
    assert link.last("health")["overall"] == "degraded"


def test_alerts_that_can_no_longer_be_read_do_not_end_the_alarm(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path)
    board = OneReading(at(50.0, alert=1))
    watching._reader = board  # type: ignore[assignment]
    watching.sample()
    board.reading = dataclasses.replace(at(50.0), cooling=(Cooling("cpu-throttle-alert", None, 1, "unreadable"),))
    watching.sample()
    assert alarms(link, "throttling") == [True]
    board.reading = at(50.0)
    watching.sample()
    assert alarms(link, "throttling") == [True, False]


def counted(**channels: tuple[int, float]) -> Reading:
    """Channels with (events since the sample before, events a second)."""
    found = (OverCurrent(name, 1000 + new, new, rate, True) for name, (new, rate) in channels.items())
    return dataclasses.replace(at(50.0), over_current=tuple(found))


def test_under_voltage_and_average_over_current_are_alarms_at_the_first_event(link: Memory, tmp_path: Path) -> None:
    clock = ManualClock()
    watching = watch(link, tmp_path, clock)
    board = OneReading(counted(oc1=(0, 0.0), oc2=(0, 0.0), oc3=(30, 15.0)))
    watching._reader = board  # type: ignore[assignment]
    watching.sample()
    assert alarms(link, "over-current") == [False]  # oc3 climbs all the time in an uncapped mode
    board.reading = counted(oc1=(1, 0.5), oc2=(0, 0.0), oc3=(30, 15.0))
    watching.sample()
    assert "oc1" in link.last("a/over-current")["text"]
    assert "oc3" not in link.last("a/over-current")["text"]
    board.reading = counted(oc1=(0, 0.0), oc2=(0, 0.0), oc3=(30, 15.0))
    clock.advance(59)
    watching.sample()
    assert alarms(link, "over-current") == [False, True]
    clock.advance(2)
    watching.sample()
    assert alarms(link, "over-current") == [False, True, False]


def test_only_the_rate_of_oc3_is_an_alarm(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path, warn_oc3_per_s=60.0)
    board = OneReading(counted(oc3=(118, 59.0)))
    watching._reader = board  # type: ignore[assignment]
    watching.sample()
    board.reading = counted(oc3=(200, 100.0))
    watching.sample()
    assert alarms(link, "over-current") == [False, True]


def test_too_much_power_is_an_alarm_with_hysteresis(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path, warn_total_w=20.0)
    board = OneReading(at(50.0))
    watching._reader = board  # type: ignore[assignment]
    for watts in (15.0, 21.0, 19.5, 18.0):
        board.reading = at(50.0, watts)
        watching.sample()
    assert alarms(link, "power") == [False, True, False]


def test_a_board_without_sensors_is_no_reason_to_complain(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path)
    watching._reader = OneReading(dataclasses.replace(Reading()))  # type: ignore[assignment]
    watching.sample()
    assert link.last("health")["components"][0]["health"] == "ok"


def test_the_agents_own_cost_is_plausible() -> None:
    rss_mb, cpu_percent = OwnCost().take()
    assert 5 < rss_mb < 4000
    assert cpu_percent >= 0
