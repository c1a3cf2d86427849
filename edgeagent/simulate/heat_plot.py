"""The governor's run, and what happens without it, as lines of text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeagent.simulate.heat_model import Point, Run
from edgeagent.simulate.heat_scenarios import Scenario

COLUMNS, ROWS = 96, 12
_BARS = " ▁▂▃▄▅▆▇█"


def plot(scenario: Scenario, runs: Sequence[Run], columns: int = COLUMNS) -> str:
    """Temperature over time (`*` governor, `.` free), the set point and the trip; duty and frames as bars below."""
    by_name = {run.controller: run for run in runs}
    main = by_name.get("governor") or runs[0]
    longest_s = max(main.wall_s, by_name["free"].wall_s if "free" in by_name else 0.0)
    low_c = min(point.hottest_c for point in main.points)
    high_c = scenario.plant.throttle_c + 2
    canvas = [[" "] * columns for _ in range(ROWS)]

    def row(celsius: float) -> int:
        share = (celsius - low_c) / (high_c - low_c)
        return ROWS - 1 - round((ROWS - 1) * min(1.0, max(0.0, share)))

    for celsius in (scenario.set_point_c, scenario.plant.throttle_c):
        canvas[row(celsius)] = ["-"] * columns
    for name, mark in (("free", "."), (main.controller, "*")):
        if name in by_name:
            for column, value in enumerate(columns_of(by_name[name], longest_s, columns, lambda p: p.hottest_c)):
                if value is not None:
                    canvas[row(value)][column] = mark
    labels = {row(scenario.set_point_c): "set point", row(scenario.plant.throttle_c): "trip"}
    lines = [scenario.title]
    for number, line in enumerate(canvas):
        celsius = high_c - (high_c - low_c) * number / (ROWS - 1)
        lines.append(f"{celsius:6.1f} C |{''.join(line)} {labels.get(number, '')}".rstrip())
    lines.append(f"    duty |{_bars(columns_of(main, longest_s, columns, lambda p: p.duty), 0.0)}")
    if scenario.infer:
        lines.append(f"  frames |{_bars(columns_of(main, longest_s, columns, lambda p: p.frames), 0.8)} from 80 %")
    lines.append(f"         0 s{f'{longest_s:.0f} s':>{columns - 3}}")
    return "\n".join(lines)


def columns_of(run: Run, longest_s: float, columns: int, value: Callable[[Point], float]) -> list[float | None]:
    """The mean of each column's time; None where the run is over or has no point."""
    found: list[list[float]] = [[] for _ in range(columns)]
    for point in run.points:
        if point.at_s <= longest_s:
            found[min(columns - 1, int(columns * point.at_s / longest_s))].append(value(point))
    return [sum(values) / len(values) if values else None for values in found]


def _bars(values: Sequence[float | None], low: float) -> str:
    top = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[max(0, min(top, round(top * (value - low) / (1.0 - low))))] for value in values
    )
