"""Power against its cap, over-current events and throttle alerts: ceilings on a build's duty. Pure.

Power is a number, so its ceiling is an integral controller of the filtered power relative to the cap:

    ceiling' = RATE * (AIM - power / cap)

faster down than up; above the aim it starts from the duty in use, so it does not wind up. Events and alerts only tell
"too much" and get a ceiling that yields at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from edgeagent.thermal.ceiling import Ceiling, cut, rise
from edgeagent.thermal.rules import GovernorRules
from edgeagent.thermal.sense import Sense

AIM = 0.97
"""Share of the cap that is aimed at: sensors of power are good to a few percent."""
OVER, FULL = 1.05, 0.9
DOWN_PER_S, UP_PER_S = 0.4, 0.2
SHAKEN_S = 5.0
POWER_FILTER_S = 2.0
"""A few slices of a build, so that the mean counts and not whether a look fell into a running slice."""
OVER_CURRENT_FACTOR = 0.6
ALERT_FACTOR = 0.5


@dataclass(frozen=True)
class Electric:
    """`load`: the filtered power as a share of the cap, None while either is not known. `power`, `over_current` and
    `alert` are ceilings on the duty. `alerts`: the zones whose throttle alert is raised, as last read."""

    load: float | None = None
    power: float = 1.0
    over_current: Ceiling = field(default_factory=Ceiling)
    alert: Ceiling = field(default_factory=Ceiling)
    alerts: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """So far above the cap that the pipelines have to do less, where no build can."""
        return self.load is not None and self.load > OVER

    def is_shaken(self, at_s: float) -> bool:
        """Over-current events came a moment ago: they count now and then, not at every look."""
        trouble_s = self.over_current.trouble_s
        return trouble_s is not None and at_s - trouble_s < SHAKEN_S

    @property
    def is_full(self) -> bool:
        return self.load is not None and self.load > FULL


def look_at_electric(rules: GovernorRules, electric: Electric, sense: Sense, duty: float, dt_s: float) -> Electric:
    """After a look; the build worked with `duty` since the last one. Alerts that cannot be read stay as they were."""
    load = _load(electric.load, sense, dt_s)
    alerts = electric.alerts if sense.alerts is None else sense.alerts
    return Electric(
        load,
        _power(electric.power, load, duty, dt_s),
        _yielding(electric.over_current, is_over_current(rules, sense), OVER_CURRENT_FACTOR, sense.at_s, duty, dt_s),
        _yielding(electric.alert, bool(alerts), ALERT_FACTOR, sense.at_s, duty, dt_s),
        alerts,
    )


def is_over_current(rules: GovernorRules, sense: Sense) -> bool:
    """OC1 and OC2 should never count; OC3 may, and only its rate tells."""
    return bool(sense.over_current) or (sense.oc3_per_s is not None and sense.oc3_per_s > rules.oc3_per_s)


def rested(electric: Electric) -> Electric:
    """Without a build: what the ceilings learnt is of no use to the next one; what the board shows stays."""
    return replace(electric, power=1.0, over_current=Ceiling(), alert=Ceiling())


def _load(before: float | None, sense: Sense, dt_s: float) -> float | None:
    watts, cap = sense.power_w, sense.power_cap_w
    if watts is None or cap is None or cap <= 0 or not math.isfinite(watts):
        return None
    now = watts / cap
    return now if before is None else before + (now - before) * (1 - math.exp(-dt_s / POWER_FILTER_S))


def _power(ceiling: float, load: float | None, duty: float, dt_s: float) -> float:
    if load is None:
        return 1.0
    error, step_s = AIM - load, min(dt_s, 2.0)
    if error < 0:
        return max(0.0, min(ceiling, duty) + DOWN_PER_S * error * step_s)
    return min(1.0, ceiling + UP_PER_S * error * step_s)


def _yielding(ceiling: Ceiling, trouble: bool, factor: float, at_s: float, duty: float, dt_s: float) -> Ceiling:
    return cut(ceiling, duty, factor, at_s) if trouble else rise(ceiling, at_s, dt_s)
