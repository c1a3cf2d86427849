"""What the governor looks at: one look at the board and at the pipelines, in the units of the formulas. Pure.

Everything may be missing. None means that it could not be read or is not known; it never means zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

COLDEST_C, HOTTEST_C = -60.0, 160.0
"""What a sensor of a die can show; -256 is what older kernels show for a part without power."""


@dataclass(frozen=True)
class ZoneSense:
    """A thermal zone: what it shows now, and the temperature at which the SoC slows itself down because of it."""

    name: str
    celsius: float | None
    throttle_c: float | None


@dataclass(frozen=True)
class Sense:
    """One look.

    `at_s` is monotonic. `alerts` are the zones whose throttle alert is raised. `over_current` counts the new events of
    OC1 and OC2 since the last look; `oc3_per_s` is the rate of the instantaneous comparator, which may count all day.
    `frames_kept` is the share of the frames that the running pipelines should have delivered lately, None where
    nothing runs; `latency` is the 95th percentile of the inference relative to the pipeline's usual one.
    `oom_kills` is the kernel's counter since boot.
    """

    at_s: float
    zones: tuple[ZoneSense, ...] = ()
    alerts: tuple[str, ...] | None = None
    over_current: int | None = None
    oc3_per_s: float | None = None
    power_w: float | None = None
    power_cap_w: float | None = None
    memory_available_mb: float | None = None
    memory_total_mb: float | None = None
    oom_kills: int | None = None
    frames_kept: float | None = None
    latency: float | None = None


@dataclass(frozen=True)
class Hottest:
    """The zone nearest to its own throttle temperature."""

    name: str
    celsius: float
    throttle_c: float

    @property
    def headroom_c(self) -> float:
        return self.throttle_c - self.celsius


def is_temperature(celsius: float | None) -> bool:
    """Whether a die can have this temperature."""
    return celsius is not None and COLDEST_C <= celsius <= HOTTEST_C  # NaN is not


def hottest(zones: tuple[ZoneSense, ...]) -> Hottest | None:
    """The zone that binds; None when no zone has both a temperature and a throttle temperature."""
    found, least_c = None, math.inf
    for zone in zones:
        celsius, throttle_c = zone.celsius, zone.throttle_c
        if celsius is None or throttle_c is None or throttle_c - celsius >= least_c:
            continue
        if is_temperature(celsius) and is_temperature(throttle_c):
            found, least_c = zone, throttle_c - celsius
    if found is None or found.celsius is None or found.throttle_c is None:
        return None
    return Hottest(found.name, found.celsius, found.throttle_c)
