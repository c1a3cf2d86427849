"""One sample of a board's sensors, what follows from it, and the flat form that goes onto MQTT. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgeagent.board.parts import (
    HOT_SURFACE,
    THROTTLE_ALERT,
    Absent,
    ClockDomain,
    Cooling,
    Core,
    Disk,
    Dla,
    Engine,
    Fan,
    Gpu,
    LimitSource,
    Memory,
    OverCurrent,
    Rail,
    Trip,
    Zone,
    clocks_locked,
    slows_down,
)

__all__ = [
    "Absent",
    "ClockDomain",
    "Cooling",
    "Core",
    "Disk",
    "Dla",
    "Engine",
    "Fan",
    "Gpu",
    "Measurement",
    "Memory",
    "OverCurrent",
    "Rail",
    "Reading",
    "Trip",
    "Zone",
    "flat_measurements",
    "short_name",
]

Measurement = float | int | bool
INPUT_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
"""Rails that carry the whole module, in the order in which they are preferred for the total."""


@dataclass(frozen=True)
class Reading:
    """One sample. Empty tuples and None stand for parts that this board does not have.

    `emc_cap_khz` is the memory clock's cap that the power mode set, 0 for none; the rate `emc_khz` needs root.
    `engines` and `emc_load_percent` come from jtop only; `added` names what jtop gave in place of sysfs.
    """

    zones: tuple[Zone, ...] = ()
    cooling: tuple[Cooling, ...] = ()
    over_current: tuple[OverCurrent, ...] = ()
    rails: tuple[Rail, ...] = ()
    cpu_load_percent: float | None = None
    cpu_load_absent: Absent = ""
    cores: tuple[Core, ...] = ()
    cores_online: int | None = None
    clocks: tuple[ClockDomain, ...] = ()
    gpu: Gpu = field(default_factory=Gpu)
    emc_khz: int | None = None
    emc_absent: Absent = ""
    emc_cap_khz: int | None = None
    emc_cap_absent: Absent = ""
    emc_load_percent: float | None = None
    dla: tuple[Dla, ...] = ()
    engines: tuple[Engine, ...] = ()
    fans: tuple[Fan, ...] = ()
    memory: Memory = field(default_factory=Memory)
    disk: Disk | None = None
    uptime_s: float | None = None
    uptime_absent: Absent = ""
    added: tuple[str, ...] = ()

    @property
    def hottest(self) -> Zone | None:
        readable = [zone for zone in self.zones if zone.temperature_c is not None]
        return max(readable, key=lambda zone: zone.temperature_c or 0.0, default=None)

    @property
    def closest(self) -> Zone | None:
        """The zone that is the least far from its own throttle temperature."""
        known = [zone for zone in self.zones if zone.headroom_c is not None]
        return min(known, key=lambda zone: zone.headroom_c or 0.0, default=None)

    @property
    def headroom_c(self) -> float | None:
        """The smallest distance of a zone to its own throttle temperature."""
        return self.closest.headroom_c if self.closest else None

    @property
    def throttle_source(self) -> LimitSource:
        """Whether `headroom_c` rests on this board's trips or on what is typical of its chip."""
        return self.closest.throttle_source if self.closest else ""

    @property
    def throttle_alerts(self) -> tuple[str, ...]:
        """Zones whose throttle alert is raised now: the direct sign that the SoC slows itself down."""
        raised = (c for c in self.cooling if c.name.endswith(THROTTLE_ALERT) and c.state and c.state > 0)
        return tuple(cooling.name.removesuffix(THROTTLE_ALERT) for cooling in raised)

    @property
    def slowed(self) -> tuple[str, ...]:
        """Cooling devices that hold a clock down now, alerts left out: cpufreq-cpu0, devfreq-17000000.gpu."""
        held = (c for c in self.cooling if slows_down(c.name) and not c.name.endswith(THROTTLE_ALERT))
        return tuple(cooling.name for cooling in held if cooling.state and cooling.state > 0)

    @property
    def unread_alerts(self) -> tuple[str, ...]:
        """Zones whose throttle alert is there and cannot be read."""
        unread = (c for c in self.cooling if c.name.endswith(THROTTLE_ALERT) and c.state is None)
        return tuple(cooling.name.removesuffix(THROTTLE_ALERT) for cooling in unread)

    @property
    def throttling(self) -> bool | None:
        """None when no throttle alert could be read."""
        if any(c.name.endswith(THROTTLE_ALERT) and c.state is not None for c in self.cooling):
            return bool(self.throttle_alerts)
        return None

    @property
    def hot_surface(self) -> bool | None:
        """The surface warning at 70 C. It slows nothing down."""
        return next((c.state > 0 for c in self.cooling if c.name == HOT_SURFACE and c.state is not None), None)

    @property
    def clocks_locked(self) -> bool | None:
        return clocks_locked(self.clocks)

    @property
    def power_total_mw(self) -> float | None:
        """The input rail where the module measures one, else the sum; None unless every rail of the sum is there."""
        if rail := self._input_rail():
            return rail.milliwatts
        known = [rail.milliwatts for rail in self.rails if rail.milliwatts is not None]
        return sum(known) if known and len(known) == len(self.rails) else None

    @property
    def power_total_source(self) -> str:
        """What the total is made of: `VDD_IN`, or `sum of VDD_GPU_SOC, VDD_CPU_CV, ...`; "" without rails."""
        if rail := self._input_rail():
            return rail.name
        return f"sum of {', '.join(rail.name for rail in self.rails)}" if self.rails else ""

    def _input_rail(self) -> Rail | None:
        named = (rail for name in INPUT_RAILS for rail in self.rails if rail.name == name)
        return next(named, None)

    @property
    def fan(self) -> Fan:
        """The first fan; a board without one has a Fan without values."""
        return self.fans[0] if self.fans else Fan(absent="not-given")


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
        "fan": _fans(reading),
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
    for found in reading.over_current:
        yield f"{found.channel}_events", found.events
        yield f"{found.channel}_new", found.new
        yield f"{found.channel}_rate_per_s", found.rate_per_s


def _cpu(reading: Reading) -> _Pairs:
    cpus = [clock for clock in reading.clocks if clock.cores]
    yield "load_percent", reading.cpu_load_percent
    yield "freq_mhz", _scaled(max((core.freq_khz or 0 for core in reading.cores), default=0) or None, 1e-3)
    yield "freq_limit_mhz", _scaled(max((clock.max_khz or 0 for clock in cpus), default=0) or None, 1e-3)
    yield "cores_online", reading.cores_online
    yield "clocks_locked", reading.clocks_locked
    for core in reading.cores:
        yield f"core{core.index}_percent", core.load_percent
        yield f"core{core.index}_mhz", _scaled(core.freq_khz, 1e-3)


def _gpu(reading: Reading) -> _Pairs:
    yield "load_percent", reading.gpu.load_percent
    yield "freq_mhz", _scaled(reading.gpu.freq_khz, 1e-3)
    yield "freq_limit_mhz", next((_scaled(clock.max_khz, 1e-3) for clock in reading.clocks if not clock.cores), None)
    for dla in reading.dla:
        yield f"{short_name(dla.name)}_active", dla.state == "active" if dla.state else None
    for engine in reading.engines:
        yield f"engine_{short_name(engine.name)}_mhz", _scaled(engine.freq_khz, 1e-3) if engine.online else 0.0


def _memory(reading: Reading) -> _Pairs:
    memory, disk = reading.memory, reading.disk
    for key, kilobytes in (
        ("total_mb", memory.total_kb),
        ("available_mb", memory.available_kb),
        ("used_mb", memory.used_kb),
        ("swap_total_mb", memory.swap_total_kb),
        ("swap_free_mb", memory.swap_free_kb),
        ("swap_used_mb", memory.swap_used_kb),
    ):
        yield key, None if kilobytes is None else kilobytes // 1024
    yield "oom_kills", memory.oom_kills
    yield "pressure_percent", memory.pressure_percent
    yield "emc_freq_mhz", _scaled(reading.emc_khz, 1e-3)
    yield "emc_cap_mhz", _scaled(reading.emc_cap_khz, 1e-3)
    yield "emc_load_percent", reading.emc_load_percent
    yield "disk_total_mb", disk.total_bytes >> 20 if disk else None
    yield "disk_free_mb", disk.free_bytes >> 20 if disk else None


def _fans(reading: Reading) -> _Pairs:
    for number, fan in enumerate(reading.fans, start=1):
        prefix = "" if number == 1 else f"fan{number}_"
        yield f"{prefix}pwm_percent", fan.pwm_percent
        yield f"{prefix}rpm", fan.rpm
