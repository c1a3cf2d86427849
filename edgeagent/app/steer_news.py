"""What is said of a steered build, and by which means it is slowed. Pure.

A duty changes with every look; a person wants to hear when a build is slowed, stands still, and goes on. So a word has
to hold for a while before it is said, and is not said again and again while the duty plays around a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgeagent.engine.build.gate import Hold
from edgeagent.thermal.verdict import Level, Verdict

Pacing = Literal["auto", "signals", "steps", "off"]
Word = Literal["free", "slowed", "paused"]

FREE_FROM, SLOWED_BELOW, PAUSED_BELOW = 0.97, 0.95, 0.01
HOLDS_S: dict[Word, float] = {"free": 5.0, "slowed": 2.0, "paused": 1.0}
QUIET_S = 20.0  # between two words; a standstill is told at once
BRAKE_AFTER_S = 2.0  # a builder that shall stand still and has not come to the end of a step by then is stopped
QUIET_REASONS = ("none", "heat_rising")  # a build that comes up to speed is not slowed
START_BELOW_C = 1.0  # below the set point, for a build to start


@dataclass(frozen=True)
class Paces:
    """The duty kept by signals and the one kept between the builder's own steps; 1 where a means is not used."""

    signals: float = 1.0
    steps: float = 1.0


def choose_paces(
    pacing: Pacing, duty: float, level: Level, *, has_steps: bool, resting: bool = False, still_s: float = 0.0
) -> Paces:
    """By which means a build comes to `duty`. `has_steps`: its builder can rest between steps just now; `resting`: it
    does; `still_s`: for how long it has been told to stand still.

    Signals interrupt the timing of kernels, so a builder with steps is only stopped by them as the last resort: when it
    is critical, or when it shall stand still and its step does not end.
    """
    if pacing == "off" or duty >= 1.0:
        return Paces()
    if pacing == "signals":
        return Paces(signals=duty)
    if not has_steps:
        return Paces(signals=duty if pacing == "auto" or duty <= 0.0 else 1.0)
    brake = duty <= 0.0 and not resting and (level == "critical" or still_s >= BRAKE_AFTER_S)
    return Paces(signals=0.0 if brake else 1.0, steps=duty)


@dataclass(frozen=True)
class News:
    """What was said last, what might be said next, and since when."""

    said: Word = "free"
    said_s: float = float("-inf")
    next: Word = "free"
    since_s: float = 0.0


def next_news(news: News, duty: float, reason: str, now_s: float) -> tuple[News, Word | None]:
    """The news after a look, and the word that is to be said now, if any. `reason`: the code of what binds."""
    word = _word(duty, news.said)
    if word == "slowed" and reason in QUIET_REASONS:
        word = news.said  # it only comes up to speed
    if word != news.next:
        news = replace(news, next=word, since_s=now_s)
    quiet_s = 0.0 if word == "paused" else QUIET_S
    holds = now_s - news.since_s >= HOLDS_S[word]
    if word == news.said or not holds or now_s - news.said_s < quiet_s:
        return news, None
    return replace(news, said=word, said_s=now_s), word


def _word(duty: float, said: Word) -> Word:
    if duty < PAUSED_BELOW:
        return "paused"
    if duty >= FREE_FROM:
        return "free"
    return "slowed" if duty < SLOWED_BELOW or said != "free" else "free"


def pace_line(duty: float, reason: str) -> str:
    """`at 62 % pace: cpu-thermal is ...`; empty at full pace."""
    if duty >= FREE_FROM:
        return ""
    pace = "at a standstill" if duty < PAUSED_BELOW else f"at {100 * duty:.0f} % pace"
    return f"{pace}: {reason}" if reason else pace


def hold_for_heat(verdict: Verdict | None) -> Hold | None:
    """Why a build may not start yet: it would be slowed from its first second on."""
    if verdict is None or verdict.headroom_c is None or verdict.set_point_c is None or verdict.celsius is None:
        return None
    start_c = verdict.set_point_c - START_BELOW_C
    if verdict.celsius < start_c and verdict.level != "critical":
        return None
    return Hold(
        "hot",
        f"{verdict.hottest} is at {verdict.celsius:.1f} C, and a build starts below {start_c:g} C",
        "let air to it; the build starts by itself once it is cooler",
    )
