"""Thermal zones and cooling devices: what the kernel has of them, and their values now.

Types, trip points and bindings do not change while a driver is bound, so they are read once; temperatures and states
are probes. Format: the kernel's Documentation/driver-api/thermal/sysfs-api.rst.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.board.files import OpenFiles, Probe, list_names, numbered, read_int, read_text
from edgeagent.board.limits import Limits, decide_limits, decide_lost, decide_typical, own_limits
from edgeagent.board.parse import POWERED_DOWN, parse_int
from edgeagent.board.parts import Absent, Cooling, Trip, Zone, slows_down

THERMAL = "sys/class/thermal"
_IGNORED = ("PMIC-Die",)  # a constant 100 C on every module that has it
_POSSIBLE = (-100_000, 250_000)  # millidegrees; anything else is no temperature
_POSSIBLE_STEP = (0, 250_000)  # of a hysteresis
_POSSIBLE_STATE = (0, 1_000_000)  # intel_powerclamp says -1 where it does not know; the others count from 0
_CDEV = re.compile(r"cdev[0-9]{1,3}")
_TRIP_TYPE = re.compile(r"trip_point_([0-9]{1,3})_type")


@dataclass(frozen=True)
class ZoneProbe:
    name: str
    temperature: Probe
    limits: Limits
    trips: tuple[Trip, ...]


@dataclass(frozen=True)
class CoolingProbe:
    name: str
    state: Probe
    max_state: int | None


def find_zones(root: str, files: OpenFiles, soc: str) -> Iterator[ZoneProbe]:
    kinds = [(directory, read_text(f"{directory}/type")) for directory in numbered(f"{root}/{THERMAL}", "thermal_zone")]
    zones = [(directory, kind, tuple(_trips(directory))) for directory, kind in kinds if kind and kind not in _IGNORED]
    typical = decide_typical(soc, (trips for _, _, trips in zones))
    lost_c = decide_lost(soc, (trips for _, _, trips in zones))
    seen: Counter[str] = Counter()
    for directory, kind, trips in zones:
        temperature = files.open(f"{directory}/temp")
        is_lost = own_limits(trips).throttle_c is None and _slows_down(directory)
        limits = decide_limits(kind, trips, typical, lost_c if is_lost else None)
        yield ZoneProbe(unique(kind, seen), temperature, limits, trips)


def _trips(zone: str) -> Iterator[Trip]:
    """In the order of their numbers, without those that hold no temperature."""
    names = list_names(zone)
    bound = _bound(zone, names)
    for index in sorted(int(found.group(1)) for found in map(_TRIP_TYPE.fullmatch, names) if found):
        prefix = f"{zone}/trip_point_{index}"
        millidegrees = read_int(f"{prefix}_temp", _POSSIBLE)
        hysteresis = read_int(f"{prefix}_hyst", _POSSIBLE_STEP)
        if millidegrees is not None:
            hysteresis_c = None if hysteresis is None else hysteresis / 1000
            kind = read_text(f"{prefix}_type")
            yield Trip(kind, millidegrees / 1000, hysteresis_c, tuple(bound.get(index, ())))


def _slows_down(zone: str) -> bool:
    """Whether the kernel slows something down at one of the zone's passive trips, whatever temperature that holds."""
    bound = _bound(zone, list_names(zone))
    return any(
        read_text(f"{zone}/trip_point_{index}_type") == "passive" and any(map(slows_down, devices))
        for index, devices in bound.items()
    )


def _bound(zone: str, names: tuple[str, ...]) -> dict[int, list[str]]:
    """Types of the cooling devices bound to each trip: `cdevN` is the device, `cdevN_trip_point` the trip's index."""
    bound: dict[int, list[str]] = {}
    for name in filter(_CDEV.fullmatch, names):
        trip = read_int(f"{zone}/{name}_trip_point")
        if trip is not None:
            bound.setdefault(trip, []).append(read_text(f"{zone}/{name}/type"))
    return bound


def find_cooling(root: str, files: OpenFiles) -> Iterator[CoolingProbe]:
    seen: Counter[str] = Counter()
    for directory in numbered(f"{root}/{THERMAL}", "cooling_device"):
        if kind := read_text(f"{directory}/type"):
            state = files.open(f"{directory}/cur_state")
            yield CoolingProbe(unique(kind, seen), state, read_int(f"{directory}/max_state", _POSSIBLE_STATE))


def read_zone(probe: ZoneProbe) -> Zone:
    return zone_of(probe, *probe.temperature.read())


def zone_of(probe: ZoneProbe, raw: bytes, absent: Absent) -> Zone:
    """The zone, when its temperature file gave `raw`, or nothing for the reason `absent`."""
    millidegrees = parse_int(raw)
    if millidegrees is None:
        absent = absent or "unreadable"
    if millidegrees is not None and not _POSSIBLE[0] <= millidegrees <= _POSSIBLE[1]:
        absent = "powered-down" if millidegrees == POWERED_DOWN else "unreadable"
        millidegrees = None
    return _zone_with(probe, None if millidegrees is None else millidegrees / 1000, absent)


def lost_zone(probe: ZoneProbe) -> Zone:
    """A zone that was there before and is not listed any more."""
    return _zone_with(probe, None, "vanished")


def _zone_with(probe: ZoneProbe, celsius: float | None, absent: Absent) -> Zone:
    limits = probe.limits
    return Zone(
        probe.name,
        celsius,
        absent,
        limits.throttle_c,
        limits.critical_c,
        limits.throttle_source,
        limits.critical_source,
        probe.trips,
    )


def read_cooling(probe: CoolingProbe) -> Cooling:
    state, absent = probe.state.read_int(_POSSIBLE_STATE)
    return Cooling(probe.name, state, probe.max_state, absent)


def unique(name: str, seen: Counter[str]) -> str:
    """PCs have several zones of one type: the second becomes `acpitz_2`."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}_{seen[name]}"
