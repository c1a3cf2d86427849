"""The runs of a scenario as a picture: temperature, duty and frames over time, every controller in its colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.errors import OperatorError
from edgeagent.simulate.heat_model import Point, Run
from edgeagent.simulate.heat_scenarios import Scenario

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Canvas = NDArray[np.uint8]

WIDTH, LEFT, RIGHT, GAP = 1200, 70, 20, 34
HEIGHTS = (260, 110, 110)
"""Of the strips: temperature, duty, frames."""
SMOOTH_S = 4.0
"""Duty and frames are drawn as the mean of so long: slices would be a grey area."""
COLOURS = {"governor": (180, 90, 20), "free": (60, 60, 220), "on-off": (140, 140, 140), "ideal": (70, 160, 70)}
"""BGR."""
_INK, _FAINT = (40, 40, 40), (215, 215, 215)


def write_picture(path: Path, shown: Sequence[tuple[Scenario, Sequence[Run]]]) -> None:
    """A PNG, one scenario below the other. Raises OperatorError where it cannot be written."""
    import cv2
    import numpy as np

    picture = np.vstack([_block(scenario, runs) for scenario, runs in shown])
    _, data = cv2.imencode(".png", picture)
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def check_picture(path: Path) -> None:
    """Raises OperatorError for a picture that could not be drawn, or written, in the end."""
    if find_spec("cv2") is None:
        raise OperatorError("--png needs OpenCV", mend="pip install 'edgeagent[demo]'", code="no_opencv")
    if not path.absolute().parent.is_dir():
        raise OperatorError(f"--png: there is no directory {path.absolute().parent}", mend="name one that is there")
    if path.is_dir():
        raise OperatorError(f"--png: {path} is a directory", mend="name a file in it")


def _block(scenario: Scenario, runs: Sequence[Run]) -> Canvas:
    import numpy as np

    height = sum(HEIGHTS) + GAP * (len(HEIGHTS) + 2)
    canvas = np.full((height, WIDTH, 3), 255, np.uint8)
    longest_s = _longest_s(runs)
    _legend(canvas, scenario, runs)
    top = 2 * GAP
    lowest_c = min(point.hottest_c for run in runs for point in run.points) - 2
    strips: tuple[tuple[str, float, float, Callable[[Point], float], float], ...] = (
        ("C", lowest_c, scenario.plant.throttle_c + 3, lambda point: point.hottest_c, 0.0),
        ("duty", 0.0, 1.05, lambda point: point.duty, SMOOTH_S),
        ("frames", 0.8, 1.01, lambda point: point.frames, SMOOTH_S),
    )
    for height, (name, low, high, value, smooth_s) in zip(HEIGHTS, strips, strict=True):
        strip = _Strip(canvas, top, height, longest_s, low, high)
        strip.frame(name)
        if name == "C":
            strip.level(scenario.set_point_c, "set point")
            strip.level(scenario.plant.throttle_c, "throttle trip")
        for run in reversed(runs):
            strip.curve(list(smoothed(run.points, value, smooth_s)), COLOURS[run.controller])
        top += height + GAP
    return canvas


def _longest_s(runs: Sequence[Run]) -> float:
    """What ends decides; a run that never does is cut off."""
    ended = [run.wall_s for run in runs if run.finished]
    return max(ended or [run.wall_s for run in runs])


def _legend(canvas: Canvas, scenario: Scenario, runs: Sequence[Run]) -> None:
    _text(canvas, scenario.title, (LEFT, 24), _INK, 0.6)
    x = WIDTH - RIGHT - 150 * len(runs)
    for run in runs:
        _text(canvas, f"{run.controller} {run.wall_s:.0f} s" if run.finished else run.controller, (x, 24), _INK, 0.42)
        _line(canvas, (x, 32), (x + 120, 32), COLOURS[run.controller], 3)
        x += 150


class _Strip:
    """One pair of axes on the canvas."""

    def __init__(self, canvas: Canvas, top: int, height: int, longest_s: float, low: float, high: float) -> None:
        self._canvas, self._top, self._height = canvas, top, height
        self._longest_s, self._low, self._high = longest_s, low, high

    def frame(self, name: str) -> None:
        for value in ticks(self._low, self._high, self._height // 40):
            y = self._y(value)
            _line(self._canvas, (LEFT, y), (WIDTH - RIGHT, y), _FAINT, 1)
            _text(self._canvas, f"{value:.0f}" if self._high > 2 else f"{value:.2f}", (LEFT - 42, y + 4), _INK, 0.4)
        _text(self._canvas, name, (2, self._top - 6), _INK, 0.45)
        for at_s in ticks(0.0, self._longest_s, 8):
            _text(self._canvas, f"{at_s:.0f} s", (self._x(at_s) - 14, self._top + self._height + 16), _INK, 0.38)

    def level(self, value: float, name: str) -> None:
        y = self._y(value)
        _line(self._canvas, (LEFT, y), (WIDTH - RIGHT, y), (120, 120, 120), 1)
        _text(self._canvas, f"{name} {value:.0f}", (LEFT + 4, y - 4), (120, 120, 120), 0.38)

    def curve(self, values: Sequence[tuple[float, float]], colour: tuple[int, int, int]) -> None:
        import cv2
        import numpy as np

        kept = [(self._x(at_s), self._y(value)) for at_s, value in values if at_s <= self._longest_s]
        cv2.polylines(self._canvas, [np.array(kept, np.int32).reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA)

    def _x(self, at_s: float) -> int:
        return LEFT + round((WIDTH - RIGHT - LEFT) * at_s / max(1.0, self._longest_s))

    def _y(self, value: float) -> int:
        share = (value - self._low) / (self._high - self._low)
        return self._top + round(self._height * (1 - min(1.0, max(0.0, share))))


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round values from `low` to `high`: steps of 1, 2 or 5 times a power of ten."""
    least = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= least * (1 - 1e-9))
    return [step * n for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def smoothed(
    points: Sequence[Point], value: Callable[[Point], float], smooth_s: float
) -> Iterator[tuple[float, float]]:
    """(time, value) of every point, as the mean of the last `smooth_s`; as it is for 0."""
    first, total = 0, 0.0
    for index, point in enumerate(points):
        total += value(point)
        while first < index and points[first].at_s <= point.at_s - smooth_s:
            total -= value(points[first])
            first += 1
        yield point.at_s, total / (index - first + 1)


def _text(canvas: Canvas, text: str, at: tuple[int, int], colour: tuple[int, int, int], size: float) -> None:
    import cv2

    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _line(
    canvas: Canvas, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int], width: int
) -> None:
    import cv2

    cv2.line(canvas, start, end, colour, width)
