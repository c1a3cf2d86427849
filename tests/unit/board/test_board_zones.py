"""Thermal zones: their temperatures, their trips, and when a zone throttles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sysfs_kit import THERMAL, Tree

from edgeagent.board.limits import Limits, Pair, decide_limits, decide_typical
from edgeagent.board.parts import Trip, slows_down


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize(
    ("content", "celsius", "absent"),
    [
        ("45250\n", 45.25, ""),
        ("-10000\n", -10.0, ""),
        ("-256000\n", None, "powered-down"),
        ("warm\n", None, "unreadable"),
        ("4294967295\n", None, "unreadable"),
        ("-274000\n", None, "unreadable"),
        ("", None, "offline"),
    ],
)
def test_zone_temperatures(tree: Tree, content: str, celsius: float | None, absent: str) -> None:
    tree.zone(0, "CPU-therm", content)
    zone = tree.read().zones[0]
    assert (zone.temperature_c, zone.absent) == (celsius, absent)


def test_a_zone_that_says_eagain_is_offline(tree: Tree) -> None:
    path = tree.zone(3, "cv0-thermal")
    path.unlink()
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    assert tree.read().zones[0].absent == "offline"
    os.close(held)


def orin_zone(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    tree.cooling(2, "hot-surface-alert")
    tree.cooling(10, "cpu-throttle-alert")
    tree.cooling(3, "cpufreq-cpu0")
    tree.trip(0, 0, "passive", 99_000, 10, 3)
    tree.trip(0, 1, "critical", 104_500)
    tree.trip(0, 2, "passive", 70_000, 2)
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_2_hyst", 8000)


def test_throttle_and_critical_come_from_bound_trips(tree: Tree) -> None:
    orin_zone(tree)
    tree.cooling(4, "pwm-fan")
    tree.trip(0, 3, "active", 50_000, 4)
    tree.trip(0, 4, "passive", 60_000)
    zone = tree.read().zones[0]
    assert (zone.throttle_c, zone.critical_c) == (99.0, 104.5)
    assert (zone.throttle_source, zone.critical_source) == ("trip", "trip")


def test_trips_keep_what_they_are_bound_to(tree: Tree) -> None:
    orin_zone(tree)
    assert tree.read().zones[0].trips == (
        Trip("passive", 99.0, None, ("cpu-throttle-alert", "cpufreq-cpu0")),
        Trip("critical", 104.5, None, ()),
        Trip("passive", 70.0, 8.0, ("hot-surface-alert",)),
    )


def test_trips_are_in_the_order_of_their_numbers(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    for index in (10, 2, 0):
        tree.trip(0, index, "active", 1000 * index)
    assert [trip.celsius for trip in tree.read().zones[0].trips] == [0.0, 2.0, 10.0]


def test_a_trip_whose_file_is_junk_counts_for_nothing(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_0_type", "critical\n")
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_0_temp", "hot\n")
    zone = tree.read().zones[0]
    assert (zone.critical_c, zone.critical_source, zone.trips) == (None, "", ())


@pytest.mark.parametrize("content", ["-1\n", "\n", "disabled\n", "2147483647\n", "0\n"])
def test_a_zone_whose_throttle_trip_holds_nothing_is_taken_to_throttle_like_the_others(
    tree: Tree, content: str
) -> None:
    orin_zone(tree)
    tree.zone(1, "gpu-thermal")
    tree.cooling(11, "gpu-throttle-alert")
    tree.trip(1, 0, "passive", 97_000, 11)
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_0_temp", content)
    cpu, gpu = tree.read(soc="t234").zones
    assert (cpu.throttle_c, cpu.throttle_source, gpu.throttle_c) == (97.0, "soc", 97.0)
    tree.write(f"{THERMAL}/thermal_zone1/trip_point_0_temp", content)
    cpu, gpu = tree.read(soc="t234").zones
    assert (cpu.throttle_c, gpu.throttle_c) == (99.0, 99.0), "as is typical of the chip"


THROTTLE = Trip("passive", 99.0, None, ("cpufreq-cpu0",))
CRITICAL = Trip("critical", 104.5)
WARNING = Trip("passive", 70.0, None, ("hot-surface-alert",))


@pytest.mark.parametrize(
    ("soc", "zones", "typical"),
    [
        ("t234", [], (99.0, 104.5)),
        ("t264", [[], [CRITICAL]], (109.0, None)),
        ("t234", [[THROTTLE, CRITICAL], []], (None, None)),
        ("t234", [[WARNING], [Trip("passive", 50.0)]], (99.0, 104.5)),
        ("t194", [[]], (None, None)),
        ("", [[]], (None, None)),
    ],
)
def test_typical_limits_stand_in_where_the_board_has_none(
    soc: str, zones: list[list[Trip]], typical: tuple[float | None, float | None]
) -> None:
    assert decide_typical(soc, zones) == typical


TYPICAL = Pair(109.0, 114.5)


@pytest.mark.parametrize(
    ("kind", "trips", "limits"),
    [
        ("cpu-thermal", [THROTTLE, WARNING], Limits(99.0, "trip", 114.5, "soc")),
        ("gpu-thermal", [CRITICAL], Limits(109.0, "soc", 104.5, "trip")),
        ("soc012-thermal", [], Limits(109.0, "soc", 114.5, "soc")),
        ("CV1-therm", [], Limits(109.0, "soc", 114.5, "soc")),
        ("tj-therm", [], Limits(109.0, "soc", 114.5, "soc")),
        ("Tboard_tegra", [], Limits(None, "", None, "")),
        ("acpitz", [CRITICAL], Limits(None, "", 104.5, "trip")),
        ("Tboard_tegra", [Trip("critical", 0.0), Trip("critical", -273.0)], Limits(None, "", None, "")),
        ("Tboard_tegra", [Trip("critical", 2147483.647)], Limits(None, "", None, "")),
    ],
)
def test_limits_of_a_zone(kind: str, trips: list[Trip], limits: Limits) -> None:
    assert decide_limits(kind, trips, TYPICAL) == limits


def test_the_reader_marks_typical_limits(tree: Tree) -> None:
    tree.zone(0, "gpu-thermal")
    reading = tree.read(soc="t264")
    assert (reading.headroom_c, reading.throttle_source) == (69.0, "soc")
    assert tree.read().headroom_c is None


@pytest.mark.parametrize(
    ("kind", "slows"),
    [
        ("cpufreq-cpu0", True),
        ("devfreq-17000000.gpu", True),
        ("devfreq-gpu-gpc-0", True),
        ("thermal-cpufreq-0", True),
        ("soc0-throttle-alert", True),
        ("hot-surface-alert", False),
        ("pwm-fan", False),
        ("Processor", False),
    ],
)
def test_what_slows_down(kind: str, slows: bool) -> None:
    assert slows_down(kind) is slows


def test_the_constant_zone_is_left_out_and_twins_are_told_apart(tree: Tree) -> None:
    for number, kind in enumerate(("PMIC-Die", "acpitz", "acpitz")):
        tree.zone(number, kind)
    assert [zone.name for zone in tree.read().zones] == ["acpitz", "acpitz_2"]


def test_numbers_sort_as_numbers(tree: Tree) -> None:
    for number in (10, 2, 0):
        tree.cooling(number, f"device-{number}")
    assert [cooling.name for cooling in tree.read().cooling] == ["device-0", "device-2", "device-10"]


@pytest.mark.parametrize("content", ["-1\n", "hot\n", "9" * 20])
def test_an_alert_that_holds_nothing_possible_is_no_evidence(tree: Tree, content: str) -> None:
    tree.cooling(0, "cpu-throttle-alert", content)
    reading = tree.read()
    assert (reading.cooling[0].state, reading.cooling[0].absent) == (None, "unreadable")
    assert (reading.throttling, reading.unread_alerts) == (None, ("cpu",))


@pytest.mark.parametrize("celsius", ["-274000\n", "9" * 20])
def test_a_trip_at_an_impossible_temperature_is_none(tree: Tree, celsius: str) -> None:
    orin_zone(tree)
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_2_temp", celsius)
    assert [trip.celsius for trip in tree.read().zones[0].trips] == [99.0, 104.5]
