"""What may steer the build in a scenario: the governor, an on-off switch, nobody, or one who knows everything. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgeagent.simulate.heat_scenarios import SET_POINT_BELOW_C
from edgeagent.thermal.governor import GovernorRules, begin, govern
from edgeagent.thermal.sense import Sense, hottest

BAND_C = 10.0
LOOK_S = 0.5
"""Of the board's time, between two looks while a build runs."""


class Controller(Protocol):
    def look(self, sense: Sense) -> float:
        """The build's duty until the next look, 0..1."""
        ...


class Free:
    """Nobody steers: the build runs as fast as it can."""

    def look(self, sense: Sense) -> float:
        return 1.0


class OnOff:
    """Stops the build on the set point and lets it go on `BAND_C` below it."""

    def __init__(self) -> None:
        self._duty = 1.0

    def look(self, sense: Sense) -> float:
        zone = hottest(sense.zones)
        if zone is not None:
            above_c = SET_POINT_BELOW_C - zone.headroom_c
            self._duty = 0.0 if above_c >= 0 else 1.0 if above_c <= -BAND_C else self._duty
        return self._duty


class Governed:
    """edgeagent's governor, as it is."""

    def __init__(self, rules: GovernorRules | None = None) -> None:
        self._rules = rules or GovernorRules(set_point_below_c=SET_POINT_BELOW_C)
        self._state = begin(self._rules)
        self.reason = ""

    def look(self, sense: Sense) -> float:
        self._state, verdict = govern(self._rules, self._state, sense, building=True)
        self.reason = verdict.reason.code
        return 0.0 if verdict.cancel else verdict.build_duty


CONTROLLERS: dict[str, Callable[[], Controller]] = {"governor": Governed, "free": Free, "on-off": OnOff}
