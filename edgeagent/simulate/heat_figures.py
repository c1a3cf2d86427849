"""What a scenario's runs amount to: the figures that are promised, and whether they hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeagent.simulate.heat_model import Run
from edgeagent.simulate.heat_scenarios import Scenario

ABOVE_C = 1.0
CLOSEST_C = 3.0
MOST_OF_OPTIMUM = 1.15
LEAST_GAIN = 0.25
LEAST_FRAMES = 0.95
MOST_COST_MS = 1.0
MOST_LATE_S = 1.0
"""A look that comes later than this says that the machine was too busy for a run faster than the wall clock."""
WINDOW_S = 10.0
GAIN_IN = "fanless"
"""The scenario in which the gain over an on-off controller is promised."""


@dataclass(frozen=True)
class Figures:
    """One run. `above_s`: seconds above the set point + 1 C; `closest_c`: the least distance to the throttle trip;
    `alert_s`: seconds with a throttle alert; `of_optimum`: wall time over the best possible; `gain`: wall time saved
    against on-off, None without that run or where it never ends; `frames`: the share kept, `frames_low` in the worst
    `WINDOW_S`; `cost_ms`: CPU a second; `late_s`: how late the latest look came."""

    scenario: str
    controller: str
    finished: bool
    wall_s: float
    of_optimum: float
    gain: float | None
    above_s: float
    closest_c: float
    alert_s: float
    frames: float
    frames_low: float
    cost_ms: float | None
    late_s: float | None = None
    broken: tuple[str, ...] = ()


def figures_of(scenario: Scenario, run: Run, optimum_s: float, on_off: Run | None = None) -> Figures:
    """The run's figures, from what the plant was, not from what its sensors said."""
    above_c, trip_c = scenario.set_point_c + ABOVE_C, scenario.plant.throttle_c
    above_s = alert_s = frames_s = 0.0
    before_s = 0.0
    for point in run.points:
        dt_s, before_s = point.at_s - before_s, point.at_s
        above_s += dt_s if point.hottest_c > above_c else 0.0
        alert_s += dt_s if point.alerts else 0.0
        frames_s += dt_s * point.frames
    gain = 1.0 - run.wall_s / on_off.wall_s if on_off is not None and on_off.finished else None
    found = Figures(
        scenario.name,
        run.controller,
        run.finished,
        run.wall_s,
        run.wall_s / optimum_s,
        gain,
        above_s,
        trip_c - max((point.hottest_c for point in run.points), default=trip_c),
        alert_s,
        frames_s / run.wall_s if run.wall_s else 0.0,
        _lowest_frames(run),
        run.cost_ms_per_s,
        run.late_s,
    )
    return Figures(**{**found.__dict__, "broken": tuple(_broken(found))})


def _lowest_frames(run: Run) -> float:
    """The least mean of `WINDOW_S`; of the whole run where it is shorter."""
    times = [point.at_s for point in run.points]
    kept_s = [0.0]
    for before_s, point in zip([0.0, *times], run.points, strict=False):
        kept_s.append(kept_s[-1] + point.frames * (point.at_s - before_s))
    lowest, first = 1.0, 0
    for last, at_s in enumerate(times):
        while times[first] < at_s - WINDOW_S:
            first += 1
        if at_s - times[first] >= 0.9 * WINDOW_S:
            lowest = min(lowest, (kept_s[last + 1] - kept_s[first + 1]) / (at_s - times[first]))
    return lowest


def _broken(found: Figures) -> list[str]:
    """The promises that a run does not keep. Nothing is promised of an on-off controller."""
    if found.controller == "free":
        return [] if found.alert_s > 0 else ["without a governor it does not throttle"]
    if found.controller != "governor":
        return []
    checks: Mapping[str, bool] = {
        "the build does not end": found.finished,
        f"{found.above_s:.1f} s above set point + {ABOVE_C:.0f} C": found.above_s == 0,
        f"{found.closest_c:.1f} C from the trip": found.closest_c >= CLOSEST_C,
        f"a throttle alert for {found.alert_s:.1f} s": found.alert_s == 0,
        f"{found.of_optimum:.2f} of the optimum": found.of_optimum <= MOST_OF_OPTIMUM,
        f"{100 * found.frames:.1f} % of the frames": found.frames >= LEAST_FRAMES,
        f"{found.cost_ms or 0:.2f} ms of CPU a second": (found.cost_ms or 0.0) <= MOST_COST_MS,
        f"only {100 * (found.gain or 0):.0f} % shorter than on-off": (
            found.scenario != GAIN_IN or found.gain is None or found.gain >= LEAST_GAIN
        ),
    }
    return [text for text, holds in checks.items() if not holds]


_TITLES = (
    "scenario",
    "steered by",
    "wall s",
    "/ optimum",
    "vs on-off",
    "above sp+1",
    "to trip",
    "alerts",
    "frames",
    "worst 10 s",
    "CPU",
    "holds",
)


def render_table(rows: Sequence[Figures]) -> str:
    """One line a run, and below what does not hold."""
    cells = [_TITLES, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_TITLES))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    trouble = [f"{row.scenario}, {row.controller}: {text}" for row in rows for text in row.broken]
    return "\n".join([*lines, "", *(trouble or ["every promise holds"]), *_excuse(rows)])


def _excuse(rows: Sequence[Figures]) -> list[str]:
    """Where a promise was broken on a machine that had other work: that it may be the machine's doing."""
    late_s = max((row.late_s or 0.0 for row in rows if row.broken), default=0.0)
    if late_s <= MOST_LATE_S:
        return []
    return [
        f"Looks at the board came up to {late_s:.1f} s of its time late: this machine had other work. Run it on a "
        "quiet machine, or slower (--accelerate 5), before you believe the above; --virtual does not depend on that."
    ]


def _cells(row: Figures) -> tuple[str, ...]:
    judged = row.controller in ("governor", "free")
    return (
        row.scenario,
        row.controller,
        f"{row.wall_s:.0f}" if row.finished else "never ends",
        f"{row.of_optimum:.3f}" if row.finished else "-",
        "-" if row.gain is None or row.controller != "governor" else f"{-100 * row.gain:+.0f} %",
        f"{row.above_s:.1f} s",
        f"{row.closest_c:.1f} C",
        f"{row.alert_s:.1f} s",
        f"{100 * row.frames:.1f} %",
        f"{100 * row.frames_low:.1f} %",
        "-" if row.cost_ms is None or row.controller != "governor" else f"{row.cost_ms:.2f} ms/s",
        "-" if not judged else "no" if row.broken else "yes",
    )
