"""One reading of a board as text for a person. Pure: a reading in, lines out.

First what somebody woken at night asks first: is it slowing itself down, how far is it from doing so. A value that is
missing says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgeagent.board.parts import HOT_SURFACE, Absent, Fan, OverCurrent, Rail, Zone
from edgeagent.board.reading import Reading, short_name

WHY: dict[Absent, str] = {
    "": "",
    "offline": "no answer: that part is powered down (normal while it is not in use)",
    "powered-down": "powered down (normal while it is not in use)",
    "permission": "closed to this user",
    "vanished": "gone since an earlier look: its driver was unloaded",
    "unreadable": "the kernel could not read it, or the file holds no number or an impossible one",
    "slow": "left alone for a while: the last answer took too long",
    "not-given": "no file of this system gives it",
    "first": "it needs two readings",
    "still": "the kernel's counters did not move between the readings",
}


def readings_text(reading: Reading) -> Iterator[list[str]]:
    """The sections in their order, each a list of lines; empty where the board has nothing of the kind."""
    for section in (_verdict, _temperatures, _power, _work):
        yield list(section(reading))


def _verdict(reading: Reading) -> Iterable[str]:
    """One sentence on throttling, and one on the surface warning when it is up."""
    yield _throttling(reading)
    if reading.slowed:
        yield f"Held back by heat now: {', '.join(reading.slowed)}."
    if reading.hot_surface:
        yield "Hot surface: do not touch the heat sink. This warning slows nothing down."


def _throttling(reading: Reading) -> str:
    if alerts := reading.throttle_alerts:
        return f"THROTTLING NOW: {', '.join(alerts)}. Clocks are lowered until it cools down."
    if reading.throttling is None:
        return f"Whether it throttles cannot be told: no throttle alert can be read. {_distance(reading)}"
    unread = f" The alert of {', '.join(reading.unread_alerts)} cannot be read." if reading.unread_alerts else ""
    headroom_c = reading.headroom_c
    if headroom_c is None:
        return f"Not throttling. {_distance(reading)}{unread}"
    if headroom_c < 0:
        return f"{_past(reading, ', though no alert is raised')}{unread}"
    return f"Not throttling; {headroom_c:.0f} C to go until it does{_typical(reading)}.{unread}"


def _distance(reading: Reading) -> str:
    """How far the closest zone is from its throttle temperature."""
    if reading.headroom_c is None:
        missing = "No temperature can be read" if reading.hottest is None else "No zone has a throttle temperature"
        return f"{missing} here."
    if reading.headroom_c < 0:
        return _past(reading)
    return f"{reading.headroom_c:.0f} C to go until its throttle temperature{_typical(reading)}."


def _past(reading: Reading, although: str = "") -> str:
    closest = reading.closest
    name, past_c = (short_name(closest.name), -(closest.headroom_c or 0.0)) if closest else ("", 0.0)
    return f"{name} is {past_c:.0f} C past its throttle temperature{although}{_typical(reading)}."


def _typical(reading: Reading) -> str:
    return ", by what is usual for this chip: this board does not say" if reading.throttle_source == "soc" else ""


def _temperatures(reading: Reading) -> Iterable[str]:
    if reading.zones:
        yield f"{'Temperatures':<18}{'now':>9}{'throttles at':>15}{'shuts down at':>16}"
    for zone in sorted(reading.zones, key=lambda zone: zone.name):
        yield f"  {short_name(zone.name):<16}{_zone_columns(zone)}".rstrip()
    if any("soc" in (zone.throttle_source, zone.critical_source) for zone in reading.zones):
        yield "  ~ is what is usual for this chip: the board's own trip points do not say"
    yield from _surface_warnings(reading)


def _surface_warnings(reading: Reading) -> Iterable[str]:
    """The trips that look like throttling and are not: they drive nothing but the surface warning."""
    trips = (trip for zone in reading.zones for trip in zone.trips if trip.bound)
    warnings = sorted({trip.celsius for trip in trips if set(trip.bound) == {HOT_SURFACE}})
    if warnings:
        yield f"  surface warning at {', '.join(f'{celsius:.0f} C' for celsius in warnings)}: it slows nothing down"


def _zone_columns(zone: Zone) -> str:
    if zone.temperature_c is None:
        return f"{'-':>7}    {WHY[zone.absent]}"
    throttle = _celsius(zone.throttle_c, zone.throttle_source)
    return f"{zone.temperature_c:7.1f} C{throttle:>15}{_celsius(zone.critical_c, zone.critical_source):>16}"


def _celsius(value: float | None, source: str) -> str:
    return "-" if value is None else f"{'~' if source == 'soc' else ''}{value:.1f} C"


def _power(reading: Reading) -> Iterable[str]:
    if reading.rails:
        total = reading.power_total_mw
        watts = "total unknown" if total is None else f"{total / 1000:7.2f} W in all"
        yield f"{'Power':<18}{watts} ({reading.power_total_source})"
    for rail in reading.rails:
        yield f"  {rail.name:<16}{_rail(rail)}"
    for found in reading.over_current:
        yield f"  {found.channel:<9} {_over_current(found)}"


def _rail(rail: Rail) -> str:
    return f"{rail.milliwatts / 1000:7.2f} W" if rail.milliwatts is not None else f"      -  {WHY[rail.absent]}"


def _over_current(found: OverCurrent) -> str:
    if found.events is None:
        return WHY[found.absent]
    rate = f", {found.rate_per_s:.1f} a second now" if found.rate_per_s else ""
    meaning = f" ({found.meaning})" if found.meaning else ""
    return f"{found.events} over-current events since boot{rate}{meaning}"


def _work(reading: Reading) -> Iterable[str]:
    yield "Work"
    khz = max((core.freq_khz or 0 for core in reading.cores), default=0)
    cpu_absent: Absent = next((clock.absent for clock in reading.clocks if clock.cores and clock.absent), "")
    load_absent = reading.cpu_load_absent or "first"
    yield f"  cpu       {_busy(reading.cpu_load_percent, load_absent, khz or None, cpu_absent)}"
    gpu = reading.gpu
    yield f"  gpu       {_busy(gpu.load_percent, gpu.load_absent, gpu.freq_khz, gpu.absent)}"
    yield from _clocks(reading)
    for dla in reading.dla:
        yield f"  {dla.name:<9} {dla.state or WHY[dla.absent]}"
    for engine in reading.engines:
        state = f"{(engine.freq_khz or 0) / 1000:.0f} MHz" if engine.online else "off"
        yield f"  {engine.name.lower():<9} {state}"
    yield from _memory(reading)
    for number, fan in enumerate(reading.fans, start=1):
        yield f"  {'fan' if number == 1 else f'fan {number}':<9} {_fan(fan)}"
    if reading.added:
        yield f"  from jtop: {', '.join(reading.added)}"


def _busy(load_percent: float | None, load_absent: Absent, khz: int | None, clock_absent: Absent) -> str:
    """Load and clock, each as a value or with its reason; a reason that both share is said once."""
    clock = f" at {khz / 1000:.0f} MHz" if khz is not None else ""
    if load_percent is not None:
        why = f" (clock: {WHY[clock_absent]})" if clock_absent else ""
        return f"{load_percent:5.1f} % busy{clock or why}"
    if clock or clock_absent in ("", load_absent):
        return f"(load{'' if clock else ' and clock' if clock_absent else ''}: {_why(load_absent)}){clock}"
    return f"(load: {_why(load_absent)}; clock: {_why(clock_absent)})"


def _why(absent: Absent) -> str:
    return WHY[absent] or "not read"


def _clocks(reading: Reading) -> Iterable[str]:
    if reading.clocks_locked is not None:
        yield f"  clocks    {'locked: none of them moves' if reading.clocks_locked else 'free to follow the load'}"
    elif absent := [clock.limits_absent for clock in reading.clocks if clock.limits_absent]:
        yield f"  clocks    (whether they are locked: {WHY[absent[0]]})"
    if reading.emc_khz is not None:
        load = "" if reading.emc_load_percent is None else f", {reading.emc_load_percent:.0f} % busy"
        yield f"  emc       {reading.emc_khz / 1000:.0f} MHz{load} (the memory's clock)"


def _memory(reading: Reading) -> Iterable[str]:
    memory, disk = reading.memory, reading.disk
    if memory.available_kb is not None and memory.total_kb is not None:
        yield f"  memory    {memory.available_kb // 1024} MB of {memory.total_kb // 1024} MB available"
    else:
        yield f"  memory    ({_why(memory.absent)})"
    if memory.swap_used_kb is not None and memory.swap_total_kb:
        yield f"  swap      {memory.swap_used_kb // 1024} MB of {memory.swap_total_kb // 1024} MB used"
    elif memory.swap_absent and not memory.absent:
        yield f"  swap      ({WHY[memory.swap_absent]})"
    if memory.oom_kills:
        yield f"  killed    processes since boot, because memory ran out: {memory.oom_kills}"
    if disk is not None:
        free, total = disk.free_bytes / 2**30, disk.total_bytes / 2**30
        yield f"  disk      {free:.1f} GiB of {total:.1f} GiB free for edgeagent's state"
    if reading.uptime_absent:
        yield f"  uptime    ({WHY[reading.uptime_absent]})"


def _fan(fan: Fan) -> str:
    """What is asked of it and what it does; a part that this fan does not have is left out where the other is there."""
    parts = []
    if fan.enabled is False:
        parts.append("SWITCHED OFF (pwm1_enable is 0)")
    elif fan.pwm_percent is not None:
        parts.append(f"asked for {fan.pwm_percent:.0f} %")
    elif fan.absent not in ("", "not-given"):
        parts.append(f"(asked for: {WHY[fan.absent]})")
    if fan.rpm is not None:
        parts.append(f"turns at {fan.rpm} rpm")
    elif fan.rpm_absent not in ("", "not-given"):
        parts.append(f"(turns: {WHY[fan.rpm_absent]})")
    return ", ".join(parts) or _why(fan.absent)
