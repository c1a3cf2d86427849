"""The parts of one sample of a board, as plain values. Pure.

A value that could not be read is None and says why in `absent`. Zones, rails, clocks and cooling devices go by name:
their numbers in sysfs change from boot to boot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Absent = Literal[
    "", "offline", "powered-down", "permission", "vanished", "unreadable", "slow", "not-given", "first", "still"
]
"""Why there is no value. "" = there is one; offline = the kernel said EAGAIN or EBUSY, or gave nothing; powered-down =
R35's -256 C; permission = closed to this user; vanished = the file or its device was there and went away; slow = left
alone for a while because its last read took long; not-given = this system has no file or line for it; first = a
difference of two readings, and this is the first; still = the counters did not move between the readings; unreadable =
anything else, an impossible value included."""

LimitSource = Literal["", "trip", "soc"]
"""Where a limit comes from: a trip point of this board, a table of typical values for its chip, or nowhere."""

THROTTLE_ALERT = "-throttle-alert"
HOT_SURFACE = "hot-surface-alert"
_SLOWS_DOWN = ("cpufreq-", "devfreq-", "thermal-cpufreq-", "thermal-devfreq-")


def slows_down(cooling_type: str) -> bool:
    """Whether a cooling device costs performance. hot-surface-alert and fans do not."""
    return cooling_type.startswith(_SLOWS_DOWN) or cooling_type.endswith(THROTTLE_ALERT)


@dataclass(frozen=True)
class Trip:
    """A trip point of a thermal zone, in C, and the types of the cooling devices that the kernel bound to it."""

    kind: str
    celsius: float
    hysteresis_c: float | None = None
    bound: tuple[str, ...] = ()

    @property
    def throttles(self) -> bool:
        return self.kind == "passive" and any(map(slows_down, self.bound))


@dataclass(frozen=True)
class Zone:
    """A thermal zone. `throttle_c` is its lowest passive trip that slows something down, `critical_c` the shutdown.

    The sources say whether those two are this board's own trips or typical values of its chip.
    """

    name: str
    temperature_c: float | None
    absent: Absent = ""
    throttle_c: float | None = None
    critical_c: float | None = None
    throttle_source: LimitSource = ""
    critical_source: LimitSource = ""
    trips: tuple[Trip, ...] = ()

    @property
    def headroom_c(self) -> float | None:
        """Degrees left until this zone throttles; negative beyond it."""
        if self.temperature_c is None or self.throttle_c is None:
            return None
        return self.throttle_c - self.temperature_c


@dataclass(frozen=True)
class Cooling:
    """A cooling device of the kernel: something that is slowed down, an alert, or a fan. 0 = not in use."""

    name: str
    state: int | None
    max_state: int | None = None
    absent: Absent = ""


@dataclass(frozen=True)
class OverCurrent:
    """One over-current channel. `events` since boot; `new` and `rate_per_s` since the sample before.

    `new` is None at the first sample, after a read that failed to give a count, and when the counter went backwards
    (its driver was reloaded). `throttles` says whether the channel may slow the chip down.
    """

    channel: str
    events: int | None
    new: int | None = None
    rate_per_s: float | None = None
    throttles: bool | None = None
    absent: Absent = ""

    @property
    def meaning(self) -> str:
        return OVER_CURRENT_MEANINGS.get(self.channel, "")


OVER_CURRENT_MEANINGS = {
    "oc1": "sags of the input voltage",
    "oc2": "average current or power over the limit",
    "oc3": "power peaks over the limit, common in uncapped modes",
}


@dataclass(frozen=True)
class Rail:
    """A power rail, averaged by its chip over some milliseconds: short peaks do not show. `chip` = who measures it."""

    name: str
    milliwatts: float | None
    millivolts: int | None = None
    milliamps: int | None = None
    absent: Absent = ""
    chip: str = ""


@dataclass(frozen=True)
class Core:
    """A CPU core. No load before the second reading, and none for a core that is offline."""

    index: int
    load_percent: float | None
    freq_khz: int | None


@dataclass(frozen=True)
class ClockDomain:
    """A clock of the CPU or GPU. min and max are the limits in force, lowest and highest what the chip offers.

    `absent` speaks of `freq_khz`, `limits_absent` of min and max.
    """

    name: str
    freq_khz: int | None = None
    min_khz: int | None = None
    max_khz: int | None = None
    lowest_khz: int | None = None
    highest_khz: int | None = None
    cores: tuple[int, ...] = ()
    absent: Absent = ""
    limits_absent: Absent = ""

    @property
    def lock(self) -> Literal["locked", "free", "single", "unknown"]:
        """Whether the clock can move. single: its limits leave only the lowest step, locked or not."""
        if self.min_khz is None or self.max_khz is None:
            return "unknown"
        if self.min_khz < self.max_khz:
            return "free"
        return "single" if self.lowest_khz is not None and self.max_khz <= self.lowest_khz else "locked"


@dataclass(frozen=True)
class Gpu:
    """load_percent: busy share as the driver reports it; freq_khz: current clock."""

    load_percent: float | None = None
    freq_khz: int | None = None
    absent: Absent = ""
    load_absent: Absent = ""


@dataclass(frozen=True)
class Dla:
    """A deep-learning accelerator: the power state that the kernel gives, active or suspended."""

    name: str
    state: str
    absent: Absent = ""


@dataclass(frozen=True)
class Engine:
    """The clock of a hardware unit (NVENC, DLA0_CORE, ...), from jtop: only root can read these files."""

    name: str
    online: bool | None
    freq_khz: int | None


@dataclass(frozen=True)
class Fan:
    """pwm_percent: what is asked of the fan; rpm: what it does, some seconds later; enabled False: switched off.

    `absent` speaks of `pwm_percent`, `rpm_absent` of `rpm`.
    """

    pwm_percent: float | None = None
    rpm: int | None = None
    enabled: bool | None = None
    absent: Absent = ""
    rpm_absent: Absent = ""


@dataclass(frozen=True)
class Memory:
    """Kilobytes. CPU and GPU of a Jetson share this one pool; swap helps the CPU's pages only.

    `oom_kills`: processes that the kernel killed for memory since boot. `pressure_percent`: share of the last ten
    seconds in which something waited for memory; many kernels of Jetsons do not offer it. `absent` speaks of total and
    available, `swap_absent` of both numbers of the swap.
    """

    total_kb: int | None = None
    available_kb: int | None = None
    swap_total_kb: int | None = None
    swap_free_kb: int | None = None
    oom_kills: int | None = None
    pressure_percent: float | None = None
    absent: Absent = ""
    swap_absent: Absent = ""
    oom_kills_absent: Absent = ""
    pressure_absent: Absent = ""

    @property
    def used_kb(self) -> int | None:
        return _difference(self.total_kb, self.available_kb)

    @property
    def swap_used_kb(self) -> int | None:
        return _difference(self.swap_total_kb, self.swap_free_kb)


def _difference(total: int | None, rest: int | None) -> int | None:
    return None if total is None or rest is None else max(0, total - rest)


@dataclass(frozen=True)
class Disk:
    """Bytes of the file system that holds edgeagent's state; free = what an ordinary user may still write."""

    total_bytes: int
    free_bytes: int


def clocks_locked(clocks: tuple[ClockDomain, ...]) -> bool | None:
    """Whether every clock that could move is held in place, as jetson_clocks does; None when that cannot be told.

    Clocks of cores that are offline and clocks with one step left say nothing. A power mode that itself sets its lowest
    clock to its highest looks the same as a lock: compare with the mode's own limits where that matters.
    """
    found = {clock.lock for clock in clocks if clock.absent != "offline"} - {"single"}
    if "free" in found:
        return False
    return None if not found or "unknown" in found else True
