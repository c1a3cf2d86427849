"""Readings to pressure: how hot it is, how much a build may work, how much the inference may. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgeagent.thermal.sense import Sense, hottest

Level = Literal["nominal", "warm", "hot", "critical"]
Cancel = Literal["", "memory", "critical", "stuck"]


@dataclass(frozen=True)
class GovernorRules:
    """What the governor holds to. Temperatures are distances below a zone's own throttle temperature."""

    set_point_below_c: float = 8.0
    critical_below_c: float = 3.0
    blind_duty: float = 0.2


@dataclass(frozen=True)
class Reason:
    """Why the build or the inference does less: a stable code, it in words, and what a person can do about it."""

    code: str
    text: str
    mend: str = ""


@dataclass(frozen=True)
class Verdict:
    """What follows from a look. `build_duty` and `allowance` are shares 0..1 of everything."""

    level: Level
    build_duty: float
    allowance: float
    reason: Reason
    cancel: Cancel = ""
    set_point_c: float | None = None
    hottest: str = ""
    celsius: float | None = None
    headroom_c: float | None = None


@dataclass(frozen=True)
class GovernorState:
    """Opaque: what the next look needs of the ones before."""

    at_s: float | None = None
    duty: float = 0.0
    seen: dict[str, float] = field(default_factory=dict)


def begin(rules: GovernorRules) -> GovernorState:
    return GovernorState()


def govern(
    rules: GovernorRules, state: GovernorState, sense: Sense, *, building: bool
) -> tuple[GovernorState, Verdict]:
    """The state and the verdict after a look. `building`: a build runs now, with the duty of the last verdict."""
    zone = hottest(sense.zones)
    if zone is None:
        return GovernorState(sense.at_s, rules.blind_duty), Verdict(
            "warm", rules.blind_duty, 1.0, Reason("blind", "no temperature can be read")
        )
    above = rules.set_point_below_c - zone.headroom_c
    duty = min(1.0, max(0.0, state.duty - 0.05 * above))
    level: Level = "critical" if zone.headroom_c < rules.critical_below_c else "hot" if above > 1 else "warm"
    if above < -7:
        level = "nominal"
    reason = Reason("heat", f"{zone.name} is at {zone.celsius:.1f} C") if duty < 1 else Reason("none", "")
    set_point_c = zone.throttle_c - rules.set_point_below_c
    told = Verdict(level, duty, 1.0, reason, "", set_point_c, zone.name, zone.celsius, zone.headroom_c)
    return GovernorState(sense.at_s, duty), told
