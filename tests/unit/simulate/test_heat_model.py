"""The scenarios in virtual time: what they promise of the plant, and what the figures make of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.errors import OperatorError
from edgeagent.simulate.heat import HeatOptions, run_heat
from edgeagent.simulate.heat_control import BAND_C, Free, OnOff
from edgeagent.simulate.heat_figures import figures_of, render_table
from edgeagent.simulate.heat_model import FRAMES_FLOOR, Point, Run, run_ideal, run_virtual
from edgeagent.simulate.heat_picture import smoothed, ticks, write_picture
from edgeagent.simulate.heat_plot import columns_of, plot
from edgeagent.simulate.heat_scenarios import SCENARIOS, Scenario, find_scenario, value_at
from edgeagent.thermal.sense import Sense, ZoneSense

FANLESS = SCENARIOS[0]
CAMERAS = SCENARIOS[3]
SHORT = replace(FANLESS, work_s=20.0)


def sense(celsius: float) -> Sense:
    return Sense(0.0, (ZoneSense("gpu-thermal", celsius, 99.0),))


def run_of(*points: Point, controller: str = "governor", finished: bool = True) -> Run:
    return Run("fanless", controller, points, finished, 0.5)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_without_a_governor_every_scenario_throttles(scenario: Scenario) -> None:
    figures = figures_of(scenario, run_virtual(scenario, "free", Free()), 1.0)
    assert figures.alert_s > 0
    assert figures.closest_c < 0
    assert not figures.broken


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_ideal_is_at_the_set_point_in_the_end_and_never_above(scenario: Scenario) -> None:
    run = run_ideal(scenario)
    assert run.finished
    assert max(point.hottest_c for point in run.points) <= scenario.set_point_c + 1e-9
    assert run.points[-1].hottest_c > scenario.set_point_c - 0.1
    assert min(point.frames for point in run.points) >= FRAMES_FLOOR


def test_nothing_that_keeps_to_the_limits_is_faster_than_the_ideal() -> None:
    on_off = run_virtual(FANLESS, "on-off", OnOff())
    assert max(point.hottest_c for point in on_off.points) <= FANLESS.set_point_c + 1.0
    assert on_off.wall_s > 1.3 * run_ideal(FANLESS).wall_s


def test_a_build_that_nothing_slows_takes_its_own_time() -> None:
    run = run_virtual(SHORT, "free", Free())
    assert run.wall_s == pytest.approx(20.0, abs=0.5)
    assert run.finished


def test_on_off_switches_at_the_ends_of_its_band() -> None:
    switch = OnOff()
    wishes = [switch.look(sense(91.0 + above)) for above in (-5.0, 0.0, -BAND_C + 0.1, -BAND_C, -1.0, 0.5)]
    assert wishes == [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]


def test_the_same_seed_is_the_same_run() -> None:
    assert run_virtual(SHORT, "on-off", OnOff()) == run_virtual(SHORT, "on-off", OnOff())


def test_courses_are_level_outside_and_straight_inside() -> None:
    course = ((10.0, 25.0), (20.0, 45.0))
    assert [value_at(course, at_s) for at_s in (0.0, 10.0, 15.0, 20.0, 99.0)] == [25.0, 25.0, 35.0, 45.0, 45.0]


def test_the_weather_reaches_the_load_file() -> None:
    fails = find_scenario("fan-fails")
    assert fails is not None and fails.fan_fails_s is not None
    assert fails.load_file(0.0)["fan_failed"] == 0.0
    assert fails.load_file(fails.fan_fails_s)["fan_failed"] == 1.0
    assert find_scenario("snow") is None


def test_figures_count_seconds() -> None:
    run = run_of(
        Point(1.0, 90.0, 45.0, 1.0, 1.0, 1.0),
        Point(3.0, 92.5, 45.0, 1.0, 0.5, 2.0, alerts=1),
        Point(4.0, 91.9, 45.0, 1.0, 1.0, 3.0),
    )
    figures = figures_of(FANLESS, run, 2.0, run_of(Point(8.0, 90.0, 45.0, 1.0, 1.0, 3.0), controller="on-off"))
    assert (figures.wall_s, figures.of_optimum, figures.gain) == (4.0, 2.0, 0.5)
    assert (figures.above_s, figures.alert_s, figures.closest_c) == (2.0, 2.0, 6.5)
    assert figures.frames == pytest.approx(0.75)


def test_each_promise_that_is_broken_is_named() -> None:
    bad = run_of(Point(100.0, 98.0, 45.0, 1.0, 0.5, 1.0, alerts=2), finished=False)
    figures = figures_of(
        FANLESS, replace(bad, cost_ms_per_s=3.0), 50.0, replace(bad, controller="on-off", finished=True)
    )
    assert len(figures.broken) == 8
    assert "98 %" not in render_table([figures])
    assert "of the optimum" in render_table([figures])


def test_a_broken_promise_on_a_busy_machine_may_be_the_machine_s_doing() -> None:
    bad = run_of(Point(100.0, 98.0, 45.0, 1.0, 0.5, 1.0, alerts=2), finished=False)
    late = figures_of(FANLESS, replace(bad, late_s=2.5), 50.0)
    assert "up to 2.5 s of its time late" in render_table([late])
    assert "of its time late" not in render_table([figures_of(FANLESS, replace(bad, late_s=0.2), 50.0)])
    assert "of its time late" not in render_table([replace(late, broken=())])


def test_nothing_is_promised_of_an_on_off_controller() -> None:
    bad = run_of(Point(100.0, 98.0, 45.0, 1.0, 0.5, 1.0, alerts=2), controller="on-off", finished=False)
    assert not figures_of(FANLESS, bad, 50.0).broken
    assert "every promise holds" in render_table([figures_of(FANLESS, bad, 50.0)])


def test_a_free_run_that_stays_cool_shows_nothing() -> None:
    assert figures_of(FANLESS, run_of(Point(1.0, 50.0, 45.0, 1.0, 1.0, 1.0), controller="free"), 1.0).broken


def test_an_on_off_run_that_never_ends_is_no_measure() -> None:
    stuck = run_of(Point(7200.0, 81.0, 45.0, 0.0, 1.0, 1.0), controller="on-off", finished=False)
    figures = figures_of(FANLESS, run_of(Point(50.0, 90.0, 45.0, 1.0, 1.0, 1.0)), 50.0, stuck)
    assert figures.gain is None
    assert not figures.broken


def test_the_worst_ten_seconds_are_found() -> None:
    frames = [1.0] * 20 + [0.8] * 12 + [1.0] * 20
    points = [Point(float(index + 1), 80.0, 45.0, 1.0, kept, 1.0) for index, kept in enumerate(frames)]
    assert figures_of(CAMERAS, run_of(*points), 50.0).frames_low == pytest.approx(0.8)


def test_a_scenario_that_does_not_exist_is_the_operator_s() -> None:
    with pytest.raises(OperatorError, match="no scenario called 'snow'"):
        run_heat(HeatOptions(scenarios=("snow",), virtual=True))


def test_the_table_and_its_code(tmp_path: Path) -> None:
    told: list[str] = []
    options = HeatOptions(scenarios=("fanless",), controllers=("free",), virtual=True, png=tmp_path / "heat.png")
    code, text = run_heat(options, told.append)
    assert code == 0
    assert told == ["fanless: free ..."]
    assert "every promise holds" in text
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_the_operator_s(tmp_path: Path) -> None:
    run = run_virtual(SHORT, "free", Free())
    with pytest.raises(OperatorError, match="cannot write"):
        write_picture(tmp_path / "no" / "heat.png", [(SHORT, [run])])


def test_the_plot_shows_both_lines_and_the_bars() -> None:
    runs = [run_virtual(SHORT, "governor", OnOff()), run_virtual(SHORT, "free", Free())]
    lines = plot(SHORT, runs, columns=40).splitlines()
    assert lines[0] == SHORT.title
    assert any("set point" in line for line in lines)
    assert any("*" in line for line in lines)
    assert lines[-2].startswith("    duty |")


def test_columns_and_smoothing_are_means() -> None:
    points = tuple(Point(float(at_s), 0.0, 0.0, float(at_s), 1.0, 0.0) for at_s in range(4))
    assert columns_of(run_of(*points), 4.0, 2, lambda point: point.duty) == [0.5, 2.5]
    assert columns_of(run_of(*points), 8.0, 2, lambda point: point.duty) == [1.5, None]
    assert [value for _, value in smoothed(points, lambda point: point.duty, 2.0)] == [0.0, 0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("low", "high", "most", "wanted"),
    [
        (0.0, 1.05, 2, [0.0, 1.0]),
        (0.8, 1.01, 3, [0.8, 0.9, 1.0]),
        (57.3, 102.0, 6, [60.0, 70.0, 80.0, 90.0, 100.0]),
        (0.0, 806.0, 8, [0.0, 200.0, 400.0, 600.0, 800.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, wanted: list[float]) -> None:
    assert ticks(low, high, most) == pytest.approx(wanted)
