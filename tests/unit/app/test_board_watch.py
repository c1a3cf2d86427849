"""Readings of a virtual board onto MQTT, and the alarms that follow from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from test_publisher import Memory

from edgeagent.app.board_watch import BoardWatch, OwnCost
from edgeagent.app.publisher import Publisher
from edgeagent.board.reading import Cooling, Rail, Reading, Zone
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


def watch(link: Memory, root: Path, warn_total_w: float | None = None) -> BoardWatch:
    clock = ManualClock()
    publisher = Publisher(link, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, results_qos=0)
    return BoardWatch(root, root, publisher, PowerSettings(warn_total_w=warn_total_w), ThermalSettings())


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


def test_throttling_is_an_alarm_however_cool_it_looks(link: Memory, tmp_path: Path) -> None:
    watching = watch(link, tmp_path)
    watching._reader = OneReading(at(50.0, alert=1))  # type: ignore[assignment]
    watching.sample()
    assert link.last("a/hot")["severity"] == "error"
    assert link.last("a/hot")["text"] == "the board is throttling: cpu"
    assert link.last("health")["overall"] == "degraded"


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
