"""The reason that binds, in words for a progress line and for the fleet. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeagent.thermal.electric import Electric
from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.sense import Hottest, Sense
from edgeagent.thermal.verdict import Reason

COOL = "look at the fan, the heat sink and the air around the box, or choose a power mode that draws less"
SUPPLY = "look at the supply and its cable, or choose a power mode that draws less"


@dataclass(frozen=True)
class Facts:
    """What a reason may speak of. `memory`: what is wrong with the memory, in words."""

    rules: GovernorRules
    sense: Sense
    zone: Hottest | None
    electric: Electric
    memory: str


def explain(code: str, facts: Facts) -> Reason:
    """The reason with this code. A KeyError for a code that is not in the table."""
    words, mend = TABLE[code]
    return Reason(code, words(facts), mend)


def _rising(facts: Facts) -> str:
    zone = facts.zone
    if zone is None:
        return "works up to what it may have"
    return f"works up to the set point of {zone.name}, {zone.throttle_c - facts.rules.set_point_below_c:.0f} C"


def _heat(facts: Facts) -> str:
    zone = facts.zone
    if zone is None:
        return "the temperature cannot be read now"
    set_point_c = zone.throttle_c - facts.rules.set_point_below_c
    above_c = zone.celsius - set_point_c
    side = "above" if above_c > 0 else "below"
    return f"{zone.name} is {abs(above_c):.1f} C {side} its set point of {set_point_c:.0f} C"


def _over_current(facts: Facts) -> str:
    if facts.sense.over_current:
        return f"{facts.sense.over_current} new over-current events"
    if facts.sense.oc3_per_s is not None and facts.sense.oc3_per_s > facts.rules.oc3_per_s:
        return f"{facts.sense.oc3_per_s:.0f} over-power events a second"
    return "over-current events a moment ago"


def _cameras(facts: Facts) -> str:
    kept, latency = facts.sense.frames_kept, facts.sense.latency
    if kept is not None and kept < facts.rules.frames_good:
        return f"the pipelines get {100 * kept:.0f} % of their frames"
    if latency is not None and latency > facts.rules.latency_good:
        return f"the inference takes {latency:.1f} times as long as usual"
    return "the pipelines were late a moment ago"


def _power(facts: Facts) -> str:
    return f"the board draws {100 * (facts.electric.load or 0.0):.0f} % of the power that it may"


def _throttling(facts: Facts) -> str:
    return f"{', '.join(facts.electric.alerts) or 'the board'} was throttled by the SoC"


def _ceiling(facts: Facts) -> str:
    return f"no more than {100 * facts.rules.most_duty:.0f} % after an earlier attempt"


TABLE: dict[str, tuple[Callable[[Facts], str], str]] = {
    "none": (lambda facts: "", ""),
    "heat": (_heat, COOL),
    "heat_rising": (_rising, COOL),
    "throttling": (_throttling, COOL),
    "over_current": (_over_current, SUPPLY),
    "power": (_power, SUPPLY),
    "memory": (lambda facts: facts.memory, "stop what else needs memory, or build a smaller model"),
    "cameras": (_cameras, "fewer frames a second, or build while fewer cameras run"),
    "blind": (lambda facts: "no thermal zone can be read", "edgeagent doctor shows what the board lets be read"),
    "blind_memory": (
        lambda facts: "the available memory cannot be read any more",
        "edgeagent doctor shows what the board lets be read",
    ),
    "inference": (lambda facts: "the pipelines themselves have to do less now", COOL),
    "ceiling": (_ceiling, ""),
}
