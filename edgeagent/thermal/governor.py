"""Readings to pressure: a level, how much a build may work, how much the pipelines may do, and the reason. Pure.

`govern` is called once or twice a second with what was seen; it keeps no clock and no file. Each concern has a module
of its own and is looked at on every call; the build gets the smallest duty that any of them allows, and the reason
names that one. What cannot be read makes the governor careful: without temperatures a build gets a small fixed duty.

    sense -> sight -> heat (base, gain, duty) -+
             cameras, electric ----------------+-> wishes -> duty
             memory, patience -> endings       |
             level, allowance  <---------------+

Late looks, looks out of order and gaps of minutes are part of the contract. docs/governor.md has the formulas, the
defaults and what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgeagent.thermal.allowance import Allowance, Strain, look_at_allowance
from edgeagent.thermal.cameras import Cameras, look_at_cameras
from edgeagent.thermal.duty import Heat, first_heat, heat_duty, look_at_heat, relearn
from edgeagent.thermal.electric import Electric, is_over_current, look_at_electric, rested
from edgeagent.thermal.endings import Patience, ending, wait_on
from edgeagent.thermal.level import Standing, heat_level, highest, stand
from edgeagent.thermal.memory import MemoryWatch, is_far, is_lost, look_at_memory, memory_trouble
from edgeagent.thermal.reasons import Facts, explain
from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.sense import Sense
from edgeagent.thermal.sight import Seen, Sight, see
from edgeagent.thermal.verdict import LEVELS, Cancel, Level, Reason, Verdict
from edgeagent.thermal.wishes import Wish, choose

__all__ = ["Cancel", "GovernorRules", "GovernorState", "Level", "Reason", "Verdict", "begin", "govern"]

FIRST_DT_S = 0.5


@dataclass(frozen=True)
class GovernorState:
    """What the next look needs of the ones before. Opaque: only `govern` reads it.

    `duty` is what the build worked with since `at_s`, 0 without one. `heat` is None until a zone was read, and after a
    time without; `heat_s` is when it was last looked at.
    """

    at_s: float | None = None
    building: bool = False
    duty: float = 0.0
    seen: Seen = field(default_factory=Seen)
    heat: Heat | None = None
    heat_s: float = 0.0
    cameras: Cameras = field(default_factory=Cameras)
    electric: Electric = field(default_factory=Electric)
    memory: MemoryWatch = field(default_factory=MemoryWatch)
    patience: Patience = field(default_factory=Patience)
    standing: Standing = field(default_factory=Standing)
    allowance: Allowance = field(default_factory=Allowance)
    verdict: Verdict | None = None


def begin(rules: GovernorRules) -> GovernorState:
    """Before the first look. The rules may change from look to look."""
    return GovernorState()


def govern(
    rules: GovernorRules, state: GovernorState, sense: Sense, *, building: bool
) -> tuple[GovernorState, Verdict]:
    """The state and the verdict after a look.

    `building`: a build runs now. It is taken to have worked with the last verdict's duty since then. A look that is not
    later than the last one changes nothing.
    """
    if state.verdict is not None and state.at_s is not None and sense.at_s <= state.at_s:
        return state, state.verdict
    dt_s = FIRST_DT_S if state.at_s is None else sense.at_s - state.at_s
    seen, sight = see(state.seen, sense)
    looked = _looked(rules, state, sense, seen, sight, dt_s, building=building)
    chosen = _chosen(rules, looked, sight, building=building, began=building and not state.building, dt_s=dt_s)
    return _told(rules, looked, sense, sight, chosen, building=building)


def _looked(
    rules: GovernorRules, state: GovernorState, sense: Sense, seen: Seen, sight: Sight, dt_s: float, *, building: bool
) -> GovernorState:
    """Every concern after the look, with the duty that was in force until it."""
    duty = state.duty if building and state.building else 0.0
    heat, heat_s = _heat(rules, state, sense, sight, duty)
    if heat is not None and building and not state.building:
        heat = relearn(heat)
    electric = look_at_electric(rules, state.electric, sense, duty, dt_s)
    critical = sight.zone is not None and sight.zone.headroom_c < rules.critical_c
    danger = critical or bool(electric.alerts) or electric.is_shaken(sense.at_s)
    working = building and state.building
    return GovernorState(
        at_s=sense.at_s,
        building=building,
        duty=state.duty,
        seen=seen,
        heat=heat,
        heat_s=heat_s,
        cameras=look_at_cameras(rules, state.cameras, sense, duty, dt_s) if working else Cameras(),
        electric=electric if working else rested(electric),
        memory=look_at_memory(state.memory, sense, building=building),
        patience=wait_on(state.patience, duty, dt_s, danger=danger) if working else Patience(),
        allowance=look_at_allowance(state.allowance, _strain(rules, sight, electric, critical), duty, dt_s),
        standing=state.standing,
        verdict=state.verdict,
    )


def _heat(
    rules: GovernorRules, state: GovernorState, sense: Sense, sight: Sight, duty: float
) -> tuple[Heat | None, float]:
    """The plant after the look; a remembered temperature is no look at it, and none at all ends what was known."""
    if sight.zone is None:
        return None, sense.at_s
    if not sight.fresh:
        return state.heat, state.heat_s
    above_c = rules.set_point_below_c - sight.zone.headroom_c
    if state.heat is None or sense.at_s <= state.heat_s:
        return first_heat(above_c, duty), sense.at_s
    return look_at_heat(state.heat, above_c, duty, sense.at_s - state.heat_s), sense.at_s


def _strain(rules: GovernorRules, sight: Sight, electric: Electric, critical: bool) -> Strain:
    above_c = rules.set_point_below_c - sight.zone.headroom_c if sight.zone is not None else None
    return Strain(above_c, critical, bool(electric.alerts), electric.is_over, electric.is_full)


def _chosen(
    rules: GovernorRules, state: GovernorState, sight: Sight, *, building: bool, began: bool, dt_s: float
) -> Wish:
    """The duty for the time until the next look, and what binds it."""
    wishes = [
        *_heat_wishes(rules, state, sight),
        Wish("cameras", state.cameras.ceiling.share),
        Wish("power", state.electric.power),
        Wish("over_current", state.electric.over_current.share),
        Wish("throttling", state.electric.alert.share),
        Wish("ceiling", rules.most_duty),
    ]
    if state.allowance.share < 1:
        wishes.insert(0, Wish("inference", 0.0))
    before = state.duty if building and not began else None
    return choose(rules, tuple(wishes), before, dt_s)


def _heat_wishes(rules: GovernorRules, state: GovernorState, sight: Sight) -> list[Wish]:
    if sight.zone is not None and sight.zone.headroom_c < rules.critical_c:
        return [Wish("heat", 0.0)]
    if sight.zone is None or state.heat is None:
        return [Wish("blind", rules.blind_duty)] if rules.heat_expected else []
    wish = heat_duty(state.heat)
    return [Wish("heat", wish if sight.fresh else min(wish, state.duty))]


def _told(
    rules: GovernorRules, state: GovernorState, sense: Sense, sight: Sight, chosen: Wish, *, building: bool
) -> tuple[GovernorState, Verdict]:
    """The level, the ending and the reason, and everything as a verdict."""
    trouble = memory_trouble(rules, state.memory, sense.memory_total_mb)
    facts = Facts(rules, sense, sight.zone, state.electric, trouble)
    pressing = _pressing(rules, state, sense, sight, trouble)
    asked = highest("nominal", *pressing.values())
    standing = stand(rules, state.standing, asked, sense.at_s)
    cancel = ending(rules, state.patience, trouble) if building else ""
    code = _code(chosen, cancel, standing.level, pressing, state.allowance.share, building=building)
    zone = sight.zone
    verdict = Verdict(
        level=standing.level,
        build_duty=chosen.duty,
        allowance=state.allowance.share,
        reason=explain(code, facts),
        cancel=cancel,
        memory_is_far=sense.memory_available_mb is not None and is_far(rules, state.memory, sense.memory_total_mb),
        set_point_c=None if zone is None else zone.throttle_c - rules.set_point_below_c,
        hottest="" if zone is None else zone.name,
        celsius=None if zone is None else zone.celsius,
        headroom_c=None if zone is None else zone.headroom_c,
    )
    return replace(state, duty=chosen.duty, standing=standing, verdict=verdict), verdict


def _pressing(rules: GovernorRules, state: GovernorState, sense: Sense, sight: Sight, memory: str) -> dict[str, Level]:
    """The level that each concern asks for, by its code, the one that explains most first."""
    found: dict[str, Level] = {}
    if state.electric.alerts:
        found["throttling"] = "hot"
    if sight.zone is not None:
        found["heat"] = heat_level(rules, sight.zone.headroom_c, state.standing.level)
    elif rules.heat_expected:
        found["blind"] = highest("warm", state.standing.level)
    if is_over_current(rules, sense):
        found["over_current"] = "hot"
    if state.electric.load is not None and state.electric.load > 1:
        found["power"] = "hot" if state.electric.is_over else "warm"
    if memory:
        found["memory"] = "hot"
    elif state.building and is_lost(state.memory, sense.at_s):
        found["blind_memory"] = "warm"
    return found


def _code(
    chosen: Wish, cancel: Cancel, level: Level, pressing: dict[str, Level], allowance: float, *, building: bool
) -> str:
    """What binds: the build's ending, its duty, what the pipelines do less for, what the level stands for."""
    worst = max(pressing, key=lambda code: LEVELS.index(pressing[code]), default="none")
    if cancel == "memory":
        return "memory"
    if cancel == "critical":
        return worst
    if building and chosen.code == "none" and "blind_memory" in pressing:
        return "blind_memory"
    if building and not (chosen.code == "inference" and worst != "none"):
        return chosen.code
    if allowance < 1 or level != "nominal":
        return worst
    return "none"
