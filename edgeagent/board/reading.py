"""One sample of a board's sensors as plain values, and the flat form that goes onto MQTT. Pure.

A value that could not be read is None and says why in `absent`. Zones, rails and cooling devices are found by name:
their numbers in sysfs change from boot to boot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Measurement = float | int | bool
Absent = Literal["", "offline", "powered-down", "permission", "vanished", "unreadable"]
"""Why there is no value. "" = there is one; offline = the kernel said EAGAIN or gave nothing; powered-down = R35's
-256 C; permission = closed to this user; vanished = the file or its device went away; unreadable = anything else."""

THROTTLE_ALERT = "-throttle-alert"
HOT_SURFACE = "hot-surface-alert"
INPUT_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
"""Rails that carry the whole module, in the order in which they are preferred for the total."""


@dataclass(frozen=True)
class Zone:
    """A thermal zone. `throttle_c` is its lowest passive trip that slows something down, `critical_c` the shutdown."""

    name: str
    temperature_c: float | None
    absent: Absent = ""
    throttle_c: float | None = None
    critical_c: float | None = None

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
class Rail:
    """A power rail measured by an INA3221: averaged over some milliseconds, so short peaks do not show."""

    name: str
    milliwatts: float | None
    millivolts: int | None = None
    milliamps: int | None = None
    absent: Absent = ""


@dataclass(frozen=True)
class Core:
    """A CPU core. No load before the second reading, and none for a core that is offline."""

    index: int
    load_percent: float | None
    freq_khz: int | None


@dataclass(frozen=True)
class Gpu:
    """load_percent: busy share as the driver reports it; freq_khz: current clock."""

    load_percent: float | None = None
    freq_khz: int | None = None
    absent: Absent = ""


@dataclass(frozen=True)
class Fan:
    """pwm_percent: what is asked of the fan; rpm: what it does, some seconds later."""

    pwm_percent: float | None = None
    rpm: int | None = None


@dataclass(frozen=True)
class Memory:
    """Kilobytes. CPU and GPU of a Jetson share this one pool; swap helps the CPU's pages only."""

    total_kb: int | None = None
    available_kb: int | None = None
    swap_total_kb: int | None = None
    swap_free_kb: int | None = None

    @property
    def used_kb(self) -> int | None:
        if self.total_kb is None or self.available_kb is None:
            return None
        return self.total_kb - self.available_kb


@dataclass(frozen=True)
class Disk:
    """Bytes of the file system that holds edgeagent's state; free = what an ordinary user may still write."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Reading:
    """One sample. Empty tuples and None stand for parts that this board does not have.

    `over_current` counts events since boot by channel (`oc1`: under-voltage, `oc2`: average, `oc3`: instantaneous;
    oc3 climbs all the time in an uncapped mode and means little by itself). `emc_cap_khz` is the cap that the power
    mode set, 0 for none; `emc_khz` needs root. `dla` is each core's power state, active or suspended.
    """

    zones: tuple[Zone, ...] = ()
    cooling: tuple[Cooling, ...] = ()
    over_current: tuple[tuple[str, int], ...] = ()
    rails: tuple[Rail, ...] = ()
    cpu_load_percent: float | None = None
    cores: tuple[Core, ...] = ()
    gpu: Gpu = Gpu()
    emc_khz: int | None = None
    emc_cap_khz: int | None = None
    dla: tuple[tuple[str, str], ...] = ()
    fan: Fan = Fan()
    memory: Memory = Memory()
    disk: Disk | None = None
    uptime_s: float | None = None

    @property
    def hottest(self) -> Zone | None:
        readable = [zone for zone in self.zones if zone.temperature_c is not None]
        return max(readable, key=lambda zone: zone.temperature_c or 0.0, default=None)

    @property
    def headroom_c(self) -> float | None:
        """The smallest distance of a zone to its own throttle temperature."""
        return min((zone.headroom_c for zone in self.zones if zone.headroom_c is not None), default=None)

    @property
    def throttle_alerts(self) -> tuple[str, ...]:
        """Zones whose throttle alert is raised now: the direct sign that the SoC slows itself down."""
        raised = (c for c in self.cooling if c.name.endswith(THROTTLE_ALERT) and c.state)
        return tuple(cooling.name.removesuffix(THROTTLE_ALERT) for cooling in raised)

    @property
    def throttling(self) -> bool | None:
        """None when no throttle alert could be read."""
        if any(c.name.endswith(THROTTLE_ALERT) and c.state is not None for c in self.cooling):
            return bool(self.throttle_alerts)
        return None

    @property
    def hot_surface(self) -> bool | None:
        """The surface warning at 70 C. It slows nothing down."""
        return next((bool(c.state) for c in self.cooling if c.name == HOT_SURFACE and c.state is not None), None)

    @property
    def power_total_mw(self) -> float | None:
        """The input rail where the module measures one, else the sum; None unless every rail of the sum is there."""
        for name in INPUT_RAILS:
            if found := [rail for rail in self.rails if rail.name == name]:
                return found[0].milliwatts
        known = [rail.milliwatts for rail in self.rails if rail.milliwatts is not None]
        return sum(known) if known and len(known) == len(self.rails) else None


def flat_measurements(reading: Reading) -> dict[str, dict[str, Measurement]]:
    """Measurements by group, each a flat dict whose keys end in their unit; what is absent has no key.

    Groups: thermal, power, cpu, gpu, memory, fan. All six are always there, maybe empty.
    """
    groups = {
        "thermal": _thermal(reading),
        "power": _power(reading),
        "cpu": _cpu(reading),
        "gpu": _gpu(reading),
        "memory": _memory(reading),
        "fan": [("pwm_percent", reading.fan.pwm_percent), ("rpm", reading.fan.rpm)],
    }
    return {group: {key: _rounded(v) for key, v in pairs if v is not None} for group, pairs in groups.items()}


def short_name(name: str) -> str:
    """A name as part of a key: `cpu` for `cpu-thermal` and `CPU-therm`, `vdd_in` for `VDD_IN`."""
    bare = re.sub(r"-therm(al)?$", "", name.lower())
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_") or "unnamed"


_Pairs = Iterable[tuple[str, Measurement | None]]


def _rounded(value: Measurement) -> Measurement:
    return round(value, 3) if isinstance(value, float) else value


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _thermal(reading: Reading) -> _Pairs:
    for zone in reading.zones:
        yield f"temp_{short_name(zone.name)}_c", zone.temperature_c
    yield "temp_max_c", reading.hottest.temperature_c if reading.hottest else None
    yield "headroom_c", reading.headroom_c
    yield "throttling", reading.throttling
    yield "hot_surface", reading.hot_surface


def _power(reading: Reading) -> _Pairs:
    for rail in reading.rails:
        yield f"power_{short_name(rail.name)}_w", _scaled(rail.milliwatts, 1e-3)
    yield "power_total_w", _scaled(reading.power_total_mw, 1e-3)
    for channel, events in reading.over_current:
        yield f"{channel}_events", events


def _cpu(reading: Reading) -> _Pairs:
    yield "load_percent", reading.cpu_load_percent
    yield "freq_mhz", _scaled(max((core.freq_khz or 0 for core in reading.cores), default=0) or None, 1e-3)
    for core in reading.cores:
        yield f"load_core{core.index}_percent", core.load_percent


def _gpu(reading: Reading) -> _Pairs:
    yield "load_percent", reading.gpu.load_percent
    yield "freq_mhz", _scaled(reading.gpu.freq_khz, 1e-3)
    for name, state in reading.dla:
        yield f"{short_name(name)}_active", state == "active"


def _memory(reading: Reading) -> _Pairs:
    memory, disk = reading.memory, reading.disk
    for key, kilobytes in (
        ("total_mb", memory.total_kb),
        ("available_mb", memory.available_kb),
        ("used_mb", memory.used_kb),
        ("swap_total_mb", memory.swap_total_kb),
        ("swap_free_mb", memory.swap_free_kb),
    ):
        yield key, None if kilobytes is None else kilobytes // 1024
    yield "emc_freq_mhz", _scaled(reading.emc_khz, 1e-3)
    yield "emc_cap_mhz", _scaled(reading.emc_cap_khz, 1e-3)
    yield "disk_total_mb", disk.total_bytes >> 20 if disk else None
    yield "disk_free_mb", disk.free_bytes >> 20 if disk else None
