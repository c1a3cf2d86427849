"""Which clocks a power mode limits, and what their files should read. Pure: table and state in, numbers out.

A mode names a limit as it likes: -1 or a largest integer for "none", or a number between two entries of the clock's
table. The kernel shows what it made of it, so an expected value is a span, not a number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from edgeagent.power.nvpmodel_conf import NEXT_KERNEL, UNLIMITED, Parameter, PowerConf, PowerMode, Setting
from edgeagent.power.state import PowerState

Domain = Literal["cpu", "gpu"]
_CPU_CLOCK = re.compile(r"/cpu(\d+)/cpufreq/|/cpufreq/policy(\d+)/")
_GPU_CLOCK = re.compile(r"gpu|gv11b|gp10b|ga10b|gb10b", re.IGNORECASE)
_HZ_PER_KHZ = {"cpu": 1, "gpu": 1000}


class Span(NamedTuple):
    """Values that count as the wanted one, both ends included."""

    low: int
    high: int

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


@dataclass(frozen=True)
class ClockEnds:
    """Both ends of one clock of the table, in kHz; `low_khz` 0: as the mode has it."""

    name: str
    low_khz: int
    high_khz: int


def file_of(parameter: Parameter, argument: str, state: PowerState) -> str:
    """The file of an argument: of the path for older kernels and that for newer ones the one that this board has."""
    paths = [path for key in (argument, argument + NEXT_KERNEL) if (path := parameter.paths.get(key))]
    known = (path for path in paths if path in state.values or path in state.tables)
    return next(known, paths[0] if paths else "")


def value_of(parameter: Parameter, argument: str, state: PowerState) -> int | None:
    """What the file of an argument says now."""
    return state.values.get(file_of(parameter, argument, state))


def domain_of(parameter: Parameter) -> Domain | None:
    """Whether a clock is the processor's, the GPU's or something else's (memory, DLA, video)."""
    path = _highest(parameter)
    if _CPU_CLOCK.search(path):
        return "cpu"
    return "gpu" if "devfreq" in path and _GPU_CLOCK.search(path) else None


def clocks(conf: PowerConf, domain: Domain | None = None) -> Iterator[Parameter]:
    """The processor's and the GPU's clocks, or those of one of the two."""
    for parameter in conf.parameters:
        found = domain_of(parameter)
        if found and domain in (None, found):
            yield parameter


def core_of(parameter: Parameter) -> int | None:
    """The core whose clock this is; None for anything but a core's."""
    found = _CPU_CLOCK.search(_highest(parameter))
    return int(found.group(1) or found.group(2)) if found else None


def _highest(parameter: Parameter) -> str:
    return parameter.paths.get("MAX_FREQ") or parameter.paths.get("MAX_FREQ" + NEXT_KERNEL, "")


def frequency_table(parameter: Parameter, state: PowerState) -> tuple[int, ...]:
    """The clock's frequencies in the unit of its files, rising; empty where the board shows none."""
    return state.tables.get(file_of(parameter, "FREQ_TABLE", state), ())


def limit_span(parameter: Parameter, setting: Setting, state: PowerState) -> Span | None:
    """What MAX_FREQ may read once `setting` is in force; None where that cannot be told.

    A limit between two entries of the table reads as it was written, or as one of the two: kernels differ.
    """
    table = frequency_table(parameter, state)
    if setting.value in UNLIMITED:
        return Span(table[-1], max(table[-1], *UNLIMITED)) if table else None
    if not table:
        return Span(setting.value, setting.value)
    above = min((entry for entry in table if entry >= setting.value), default=setting.value)
    return Span(floor_in(table, setting.value), above)


def cap_in_files(parameter: Parameter, khz: int, state: PowerState) -> int:
    """The entry of this clock's table at or below `khz`, in the unit of its files (CPU kHz, GPU Hz)."""
    domain = domain_of(parameter)
    wanted = khz * _HZ_PER_KHZ[domain] if domain else khz
    table = frequency_table(parameter, state)
    return floor_in(table, wanted) if table else wanted


def cap_khz(conf: PowerConf, domain: Domain, mhz: int, state: PowerState) -> int | None:
    """The cap that this board can set for `mhz`, in kHz; None where it has no such clock with a table."""
    for parameter in clocks(conf, domain):
        if frequency_table(parameter, state):
            return cap_in_files(parameter, mhz * 1000, state) // _HZ_PER_KHZ[domain]
    return None


def own_ends(conf: PowerConf, mode: PowerMode, state: PowerState, *, locked: bool) -> tuple[ClockEnds, ...]:
    """Clocks whose ends somebody has set by hand: the upper or the lower one is not the mode's own.

    Nothing while heat holds clocks down; with `locked`, lower ends are the lock's and not looked at.
    """
    found = []
    for parameter in clocks(conf) if not state.slowed else ():
        pair, span = _ends(parameter, state), highest_span(parameter, mode, state)
        if pair is None or span is None:
            continue
        moved = not locked and pair[0] != _lowest(parameter, mode, state, pair[0])
        if pair[1] not in span or moved:
            unit = _HZ_PER_KHZ[domain_of(parameter) or "cpu"]
            found.append(ClockEnds(parameter.name, pair[0] // unit if moved else 0, pair[1] // unit))
    return tuple(found)


def highest_span(parameter: Parameter, mode: PowerMode, state: PowerState) -> Span | None:
    """What the upper end may read in this mode: its limit, or the table's top where it sets none. None: not known."""
    limit = next((s for s in mode.settings if (s.parameter, s.argument) == (parameter.name, "MAX_FREQ")), None)
    table = frequency_table(parameter, state)
    if limit is None:
        return Span(table[-1], table[-1]) if table else None
    return limit_span(parameter, limit, state)


def within_mode(ends: ClockEnds, conf: PowerConf, mode: PowerMode, state: PowerState) -> ClockEnds:
    """These ends, the upper one no higher than the mode's own: nothing is set above what a mode allows."""
    parameter = next((found for found in clocks(conf) if found.name == ends.name), None)
    span = highest_span(parameter, mode, state) if parameter else None
    if parameter is None or span is None:
        return ends
    unit = _HZ_PER_KHZ[domain_of(parameter) or "cpu"]
    high = ends.high_khz if ends.high_khz <= span.high // unit else span.low // unit
    return replace(ends, high_khz=high, low_khz=min(ends.low_khz, high))


def has_ends(parameter: Parameter, wanted: ClockEnds, mode: PowerMode, state: PowerState) -> bool | None:
    """Whether a clock has these ends; None where its files do not say."""
    pair = _ends(parameter, state)
    if pair is None:
        return None
    unit = _HZ_PER_KHZ[domain_of(parameter) or "cpu"]
    lowest = _lowest(parameter, mode, state, pair[0])
    low = pair[0] // unit == wanted.low_khz if wanted.low_khz else pair[0] <= lowest or pair[0] == pair[1]
    return low and pair[1] // unit == wanted.high_khz


def _lowest(parameter: Parameter, mode: PowerMode, state: PowerState, unknown: int) -> int:
    """The lower end that the mode gives this clock, rounded up into its table."""
    wanted = mode.value(parameter.name, "MIN_FREQ") or 0
    table = frequency_table(parameter, state)
    return min((entry for entry in table if entry >= wanted), default=max(wanted, unknown))


def limit_khz(conf: PowerConf, domain: Domain, mode: PowerMode) -> int | None:
    """The mode's own lowest limit of this domain in kHz; None where it sets none."""
    limits = [mode.value(parameter.name, "MAX_FREQ") for parameter in clocks(conf, domain)]
    known = [limit for limit in limits if limit is not None and limit not in UNLIMITED]
    return min(known) // _HZ_PER_KHZ[domain] if known else None


def floor_in(table: tuple[int, ...], value: int) -> int:
    """The highest entry that is not above `value`, or the lowest entry."""
    return max((entry for entry in table if entry <= value), default=table[0])


def clocks_locked(conf: PowerConf, state: PowerState) -> bool | None:
    """Whether every processor and GPU clock stands at one value: what jetson_clocks does. None: cannot be read."""
    pairs = [pair for parameter in clocks(conf) if (pair := _ends(parameter, state))]
    return all(low == high for low, high in pairs) if pairs else None


def _ends(parameter: Parameter, state: PowerState) -> tuple[int, int] | None:
    low, high = value_of(parameter, "MIN_FREQ", state), value_of(parameter, "MAX_FREQ", state)
    if low is None or high is None or is_offline(core_of(parameter), state):
        return None
    return low, high


def is_offline(core: int | None, state: PowerState) -> bool:
    """A core that is switched off keeps files that mean nothing."""
    return core is not None and state.values.get(f"/sys/devices/system/cpu/cpu{core}/online") == 0


def held_clocks(conf: PowerConf, mode: PowerMode | None, state: PowerState, but: Collection[str] = ()) -> list[str]:
    """Names of the clocks that stand at one value although the mode and their table leave them room; without `but`."""
    return [
        parameter.name
        for parameter in clocks(conf)
        if parameter.name not in but
        and (pair := _ends(parameter, state))
        and pair[0] == pair[1]
        and _has_room(parameter, mode, state)
    ]


def _has_room(parameter: Parameter, mode: PowerMode | None, state: PowerState) -> bool:
    """False where the mode itself pins the clock, or where only the lowest entry of its table is left."""
    low = mode.value(parameter.name, "MIN_FREQ") if mode else None
    high = mode.value(parameter.name, "MAX_FREQ") if mode else None
    pinned = low is not None and high is not None and low >= high and high not in UNLIMITED
    table, top = frequency_table(parameter, state), value_of(parameter, "MAX_FREQ", state)
    return not pinned and not (table and top is not None and top <= table[0])
