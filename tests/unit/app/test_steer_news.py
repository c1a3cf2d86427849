"""What is said of a steered build and by which means it is slowed."""

from __future__ import annotations

import pytest

from edgeagent.app.steer_news import (
    BRAKE_AFTER_S,
    QUIET_S,
    News,
    Paces,
    choose_paces,
    hold_for_heat,
    next_news,
    pace_line,
)
from edgeagent.thermal.verdict import Reason, Verdict

HEAT = Reason("heat", "cpu-thermal is 0.4 C below its set point of 91 C")


@pytest.mark.parametrize(
    ("pacing", "duty", "has_steps", "paces"),
    [
        ("auto", 1.0, False, Paces()),
        ("auto", 0.6, False, Paces(signals=0.6)),
        ("auto", 0.6, True, Paces(steps=0.6)),
        ("signals", 0.6, True, Paces(signals=0.6)),
        ("steps", 0.6, True, Paces(steps=0.6)),
        ("steps", 0.6, False, Paces()),
        ("steps", 0.0, False, Paces(signals=0.0)),
        ("off", 0.0, True, Paces()),
    ],
)
def test_the_means_follow_the_operator_and_the_builder(pacing, duty: float, has_steps: bool, paces: Paces) -> None:
    assert choose_paces(pacing, duty, "warm", has_steps=has_steps) == paces


def test_a_builder_with_steps_is_stopped_by_signals_only_as_the_last_resort() -> None:
    def standing(level="hot", **values) -> Paces:
        return choose_paces("auto", 0.0, level, has_steps=True, **values)

    assert standing() == Paces(steps=0.0)
    assert standing("critical") == Paces(signals=0.0, steps=0.0)
    assert standing(still_s=BRAKE_AFTER_S) == Paces(signals=0.0, steps=0.0), "its step does not end"
    assert standing("critical", resting=True, still_s=60) == Paces(steps=0.0), "it rests already"


def told(looks: list[tuple[float, float, str]]) -> list[tuple[float, str]]:
    """The words said over looks of (time, duty, code)."""
    news, said = News(), []
    for at_s, duty, code in looks:
        news, word = next_news(news, duty, code, at_s)
        if word is not None:
            said.append((at_s, word))
    return said


def every_half(begin_s: float, end_s: float, duty: float, code: str = "heat") -> list[tuple[float, float, str]]:
    return [(begin_s + n / 2, duty, code) for n in range(round(2 * (end_s - begin_s)))]


def test_slowed_paused_and_resumed_are_each_said_once() -> None:
    looks = every_half(0, 60, 0.6) + every_half(60, 90, 0.0) + every_half(90, 150, 1.0, "none")
    assert told(looks) == [(2.0, "slowed"), (61.0, "paused"), (95.0, "free")]


def test_coming_up_to_speed_is_no_news() -> None:
    ramp = [(n / 2, n / 10, "heat_rising") for n in range(1, 10)]
    assert told(ramp + every_half(5, 30, 1.0, "none")) == []


def test_a_duty_that_plays_around_the_limit_is_not_told_again_and_again() -> None:
    looks = [(n / 2, 0.98 if n % 2 else 0.94, "heat") for n in range(1200)]
    assert len(told(looks)) <= 1
    swings = [
        look
        for n in range(60)
        for look in every_half(20 * n, 20 * n + 10, 0.5) + every_half(20 * n + 10, 20 * n + 20, 1.0)
    ]
    assert len(told(swings)) <= 1200 / QUIET_S + 1


def test_the_progress_line() -> None:
    assert pace_line(1.0, HEAT.text) == ""
    assert pace_line(0.62, HEAT.text) == "at 62 % pace: cpu-thermal is 0.4 C below its set point of 91 C"
    assert pace_line(0.0, "x") == "at a standstill: x"


def at(celsius: float | None, level="warm") -> Verdict:
    headroom = None if celsius is None else 99 - celsius
    return Verdict(level, 1.0, 1.0, HEAT, "", None if celsius is None else 91.0, "cpu-thermal", celsius, headroom)


def test_a_build_starts_below_the_set_point_only() -> None:
    assert hold_for_heat(None) is None and hold_for_heat(at(None)) is None
    assert hold_for_heat(at(89.9)) is None
    hold = hold_for_heat(at(90.4))
    assert hold is not None and hold.code == "hot"
    assert hold.reason == "cpu-thermal is at 90.4 C, and a build starts below 90 C"
