"""What the governor holds to: what an operator may want to move, with defaults for a Jetson. Pure.

Constants of the controllers are beside their formulas.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GovernorRules:
    """Temperatures are distances below a zone's own throttle temperature, in K.

    `set_point_below_c`: where the hottest zone is held. `critical_below_c`: a build stops at once.
    `warm_below_c`: the level is no longer nominal. `heat_expected`: False on a machine without zones that throttle;
    then no temperature is no reason for care. `blind_duty`: what a build gets while no zone can be read.
    `most_duty`: the ceiling a build was started with. `least_duty`: below this a build is paused.
    `frames_floor`, `frames_good`: shares of the frames at which a build yields, and from which it may have more again,
    of the filtered share.
    `latency_limit`, `latency_good`: the same for the latency relative to the usual.
    `oc3_per_s`: a rate of instantaneous over-power events that is no longer ordinary (1 to 30 are, in MAXN modes).
    `memory_floor_mb`: a build is cancelled below it; None: 5 % of the memory, at least 200 and at most 1500 MB.
    `memory_reach_s`: and when the memory falls so fast that it gets there within this time.
    `critical_after_s`, `stuck_after_s`: how long a pause may fail to help, and how long a build may stand still.
    `dwell_s`: how long a level holds before it goes down a step.
    """

    set_point_below_c: float = 8.0
    critical_below_c: float = 3.0
    warm_below_c: float = 15.0
    heat_expected: bool = True
    blind_duty: float = 0.2
    most_duty: float = 1.0
    least_duty: float = 0.05
    frames_floor: float = 0.95
    frames_good: float = 0.952
    latency_limit: float = 1.5
    latency_good: float = 1.3
    oc3_per_s: float = 60.0
    memory_floor_mb: float | None = None
    memory_reach_s: float = 2.0
    critical_after_s: float = 20.0
    stuck_after_s: float = 900.0
    dwell_s: float = 10.0

    @property
    def critical_c(self) -> float:
        """`critical_below_c`, and well apart from a set point that is close to the throttle temperature itself."""
        return min(self.critical_below_c, 0.6 * self.set_point_below_c)

    @property
    def hot_c(self) -> float:
        """Headroom below which the set point is not held: 1 C above it, or half way to critical where that is less."""
        return max(self.set_point_below_c - 1.0, (self.set_point_below_c + self.critical_c) / 2)

    @property
    def warm_c(self) -> float:
        return max(self.warm_below_c, self.set_point_below_c + 2.0)
