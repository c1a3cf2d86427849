"""The board's sensors, read once a call. Thin: finds files through `discovery`, understands them through `parse`.

Invariants: `read` never raises, never waits and tries nothing twice; every value is from this call except the CPU
load, which is the difference to the call before. Files stay open, and are looked for again only when the kernel's
class directories change or a file's device went away.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from edgeagent.board import parse
from edgeagent.board.discovery import CoolingProbe, Layout, RailProbe, ZoneProbe, class_names, discover
from edgeagent.board.files import Probe
from edgeagent.board.reading import (
    Absent,
    Cooling,
    Core,
    Disk,
    Fan,
    Gpu,
    Memory,
    Rail,
    Reading,
    Zone,
    flat_measurements,
)

__all__ = ["BoardReader", "Reading", "flat_measurements"]

STATE_DIRECTORY = "/var/lib/edgeagent"
_PROC_LIMIT = 65536


class BoardReader:
    """Reads the board under `root` ("/" on a device). One owner; `close` it or use it in a `with`."""

    def __init__(self, root: Path, *, state_dir: Path | None = None) -> None:
        """`state_dir`: whose disk to report, as a path of this machine; by default /var/lib/edgeagent of the board."""
        self._root = str(root).rstrip("/")
        self._state_dir = state_dir or Path(self._root + STATE_DIRECTORY)
        self._layout = Layout()
        self._names: tuple[tuple[str, ...], ...] | None = None
        self._gone: frozenset[str] = frozenset()
        self._zones_seen: dict[str, ZoneProbe] = {}
        self._times: Mapping[int, parse.CpuTimes] = {}
        self._loads: dict[int, float] = {}

    def __enter__(self) -> BoardReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files. A later `read` opens them again."""
        self._layout.close()
        self._names = None

    def read(self) -> Reading:
        """One sample. The CPU load is None on the first call, for it needs two."""
        self._refresh_layout()
        layout = self._layout
        loads = self._read_loads()
        reading = Reading(
            zones=self._read_zones(),
            cooling=tuple(_read_cooling(probe) for probe in layout.cooling),
            over_current=_read_counts(layout),
            rails=tuple(_read_rail(probe) for probe in layout.rails),
            cpu_load_percent=loads.get(-1),
            cores=self._read_cores(loads),
            gpu=_read_gpu(layout),
            emc_khz=_clock(layout.single.get("emc")),
            emc_cap_khz=_clock(layout.single.get("emc_cap")),
            dla=_read_dla(layout),
            fan=_read_fan(layout),
            memory=_read_memory(layout.single["meminfo"]),
            disk=_read_disk(self._state_dir),
            uptime_s=parse.parse_uptime(layout.single["uptime"].read()[0]),
        )
        self._note_gone(reading)
        return reading

    def _refresh_layout(self) -> None:
        names = class_names(self._root)
        if names != self._names:
            self._layout.close()
            self._layout = discover(self._root)
            self._names = names
            self._zones_seen.update({probe.name: probe for probe in self._layout.zones})

    def _note_gone(self, reading: Reading) -> None:
        """A device that went away behind an unchanged directory is looked for once more, at the next call."""
        gone = frozenset(
            [zone.name for zone in reading.zones if zone.absent == "vanished"]
            + [rail.name for rail in reading.rails if rail.absent == "vanished"]
            + [cooling.name for cooling in reading.cooling if cooling.absent == "vanished"]
        )
        if gone - self._gone:
            self._names = None
        self._gone = gone

    def _read_zones(self) -> tuple[Zone, ...]:
        present = {probe.name for probe in self._layout.zones}
        lost = (probe for name, probe in self._zones_seen.items() if name not in present)
        return (
            *map(_read_zone, self._layout.zones),
            *(Zone(probe.name, None, "vanished", probe.throttle_c, probe.critical_c) for probe in lost),
        )

    def _read_loads(self) -> dict[int, float]:
        """Percent by core, -1 for all. Two calls within one tick of the kernel's clock give the same answer."""
        times = parse.parse_proc_stat(self._layout.single["stat"].read(_PROC_LIMIT)[0])
        if times.get(-1) != self._times.get(-1):
            before, self._times = self._times, times
            pairs = ((core, parse.cpu_load(before[core], now)) for core, now in times.items() if core in before)
            self._loads = {core: load for core, load in pairs if load is not None}
        return self._loads

    def _read_cores(self, loads: Mapping[int, float]) -> tuple[Core, ...]:
        freqs = {core: _int(policy.freq_khz) for policy in self._layout.policies for core in policy.cores}
        cores = sorted((set(self._times) - {-1}) | set(freqs))
        return tuple(Core(core, loads.get(core), freqs.get(core)) for core in cores)


def _int(probe: Probe | None) -> int | None:
    return parse.parse_int(probe.read()[0]) if probe else None


def _int_or_reason(probe: Probe) -> tuple[int | None, Absent]:
    raw, absent = probe.read()
    value = parse.parse_int(raw)
    return value, absent or ("" if value is not None else "unreadable")


def _read_zone(probe: ZoneProbe) -> Zone:
    millidegrees, absent = _int_or_reason(probe.temperature)
    if millidegrees is not None and millidegrees <= parse.POWERED_DOWN:
        millidegrees, absent = None, "powered-down"
    celsius = None if millidegrees is None else millidegrees / 1000
    return Zone(probe.name, celsius, absent, probe.throttle_c, probe.critical_c)


def _read_cooling(probe: CoolingProbe) -> Cooling:
    state, absent = _int_or_reason(probe.state)
    return Cooling(probe.name, state, probe.max_state, absent)


def _read_counts(layout: Layout) -> tuple[tuple[str, int], ...]:
    counts = ((channel, _int(probe)) for channel, probe in layout.over_current)
    return tuple((channel, count) for channel, count in counts if count is not None)


def _read_rail(probe: RailProbe) -> Rail:
    """Millivolts times milliamps is microwatts."""
    millivolts, no_volts = _int_or_reason(probe.millivolts)
    milliamps, no_amps = _int_or_reason(probe.milliamps)
    if millivolts is None or milliamps is None:
        return Rail(probe.name, None, millivolts, milliamps, no_volts or no_amps)
    return Rail(probe.name, millivolts * milliamps / 1000, millivolts, milliamps)


def _read_gpu(layout: Layout) -> Gpu:
    """The load file holds thousandths; the clock is in Hz."""
    if "gpu_freq" not in layout.single:
        return Gpu(absent="vanished")
    per_mille, hertz = _int(layout.single.get("gpu_load")), _int(layout.single["gpu_freq"])
    load_percent = None if per_mille is None else min(100.0, max(0.0, per_mille / 10))
    return Gpu(load_percent, None if hertz is None else hertz // 1000)


def _clock(probe: Probe | None) -> int | None:
    value = _int(probe)
    return None if value is None else parse.memory_clock_khz(value)


def _read_dla(layout: Layout) -> tuple[tuple[str, str], ...]:
    states = ((name, parse.parse_text(probe.read()[0])) for name, probe in layout.dla)
    return tuple((name, state) for name, state in states if state)


def _read_fan(layout: Layout) -> Fan:
    """pwm1 runs from 0 to 255."""
    pwm = _int(layout.single.get("pwm"))
    return Fan(None if pwm is None else pwm * 100 / 255, _int(layout.single.get("rpm")))


def _read_memory(probe: Probe) -> Memory:
    values = parse.parse_meminfo(probe.read(_PROC_LIMIT)[0])
    return Memory(
        total_kb=values.get("MemTotal"),
        available_kb=values.get("MemAvailable"),
        swap_total_kb=values.get("SwapTotal"),
        swap_free_kb=values.get("SwapFree"),
    )


def _read_disk(state_dir: Path) -> Disk | None:
    """The directory's file system, or that of the nearest parent that exists."""
    for directory in (state_dir, *state_dir.parents):
        try:
            stats = os.statvfs(directory)
        except (OSError, ValueError):
            continue
        return Disk(stats.f_blocks * stats.f_frsize, stats.f_bavail * stats.f_frsize)
    return None
