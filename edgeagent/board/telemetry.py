"""The board's sensors, read once a call. Thin: `discovery` finds the files, the modules of the parts understand them.

Invariants: `read` never raises and tries nothing twice; every value is from this call except what is a difference to
the call before (CPU load, new over-current events). Files stay open, and are looked for again only when the kernel's
class directories change or a file's device went away. `read` waits for nothing but the kernel: sysfs and procfs are
read without blocking, and a power monitor that answers slowly over I2C is left alone for a growing time (`patience`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from edgeagent.board.clocks import read_clock, read_dla, read_gpu, read_memory_clock
from edgeagent.board.cpu_load import ALL, CpuLoads, next_loads
from edgeagent.board.discovery import Layout, class_names, discover
from edgeagent.board.fans import read_fan
from edgeagent.board.memory import PROC_LIMIT, read_available, read_disk, read_memory, read_uptime
from edgeagent.board.over_current import Counted, read_over_current
from edgeagent.board.parts import ClockDomain, Core, OverCurrent, Rail, Zone
from edgeagent.board.patience import Patience
from edgeagent.board.quick import QuickZones
from edgeagent.board.rails import read_chip
from edgeagent.board.reading import Reading, flat_measurements
from edgeagent.board.zones import ZoneProbe, lost_zone, read_cooling, read_zone
from edgeagent.clock import Clock, SystemClock

__all__ = ["BoardReader", "Reading", "flat_measurements"]

STATE_DIRECTORY = "/var/lib/edgeagent"
_NO_FILE = ("vanished", "not-given")


class BoardReader:
    """Reads the board under `root` ("/" on a device). One owner; `close` it or use it in a `with`."""

    def __init__(self, root: Path, *, state_dir: Path | None = None, soc: str = "", clock: Clock | None = None) -> None:
        """`state_dir`: whose disk to report, as a path of this machine; by default /var/lib/edgeagent of the board.

        `soc` (`t234`, from the board's identity) gives typical limits to zones whose own trips give none.
        """
        self._root = str(root).rstrip("/")
        self._state_dir = state_dir or Path(self._root + STATE_DIRECTORY)
        self._soc = soc
        self._clock = clock or SystemClock()
        self._layout: Layout | None = None
        self._quick: QuickZones | None = None
        self._names: tuple[tuple[str, ...], ...] = ()
        self._gone: frozenset[str] = frozenset()
        self._silent: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._zones_seen: dict[str, ZoneProbe] = {}
        self._loads = CpuLoads()
        self._counted: dict[str, Counted] = {}
        self._patience: dict[str, Patience] = {}

    def __enter__(self) -> BoardReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files. A later `read` opens them again."""
        if self._layout is not None:
            self._layout.close()
        self._layout = self._quick = None

    @property
    def open_files(self) -> int:
        return len(self._layout.files) if self._layout else 0

    def read(self) -> Reading:
        """One sample. The CPU load and what is new of over-current are None on the first call: they need two."""
        layout = self._current_layout()
        now_s = self._clock.monotonic_ns() / 1e9
        self._loads = loads = next_loads(self._loads, *layout.proc["stat"].read(PROC_LIMIT), now_s)
        cpu_clocks = tuple(map(read_clock, layout.cpu_clocks))
        gpu_clocks = tuple(map(read_clock, layout.gpu.clocks)) if layout.gpu else ()
        emc_khz, emc_absent = read_memory_clock(layout.emc)
        emc_cap_khz, emc_cap_absent = read_memory_clock(layout.emc_cap)
        uptime_s, uptime_absent = read_uptime(layout.proc["uptime"])
        reading = Reading(
            zones=tuple(self._read_zones(layout)),
            cooling=tuple(map(read_cooling, layout.cooling)),
            over_current=tuple(self._read_over_current(layout, now_s)),
            rails=tuple(self._read_rails(layout)),
            cpu_load_percent=loads.loads.get(ALL),
            cpu_load_absent=loads.absent,
            cores=_read_cores(loads, cpu_clocks),
            cores_online=len(loads.cores) or None,
            clocks=(*cpu_clocks, *gpu_clocks),
            gpu=read_gpu(layout.gpu, gpu_clocks),
            emc_khz=emc_khz,
            emc_absent=emc_absent,
            emc_cap_khz=emc_cap_khz,
            emc_cap_absent=emc_cap_absent,
            dla=tuple(read_dla(name, probe) for name, probe in layout.dla.items()),
            fans=tuple(map(read_fan, layout.fans)),
            memory=read_memory(layout.proc),
            disk=read_disk(self._state_dir),
            uptime_s=uptime_s,
            uptime_absent=uptime_absent,
        )
        self._note_gone(reading)
        silent = frozenset(zone.name for zone in reading.zones if zone.temperature_c is None)
        self._silent = (self._silent[1], silent)
        return reading

    def read_quick(self) -> Reading:
        """Only what changes within a second and is steered by: the zones that throttle, and memory.

        A sixth of what `read` costs, for several looks a second. Devices that came since the last `read` are not seen,
        and a zone that gave nothing to the last two of those is not asked: its part is off.
        """
        layout = self._layout or self._current_layout()
        off = self._silent[0] & self._silent[1]
        if self._quick is None:
            self._quick = QuickZones(layout)
        return Reading(zones=self._quick.read(off), memory=read_available(layout.proc["meminfo"]))

    def _current_layout(self) -> Layout:
        names = class_names(self._root)
        if self._layout is not None and names == self._names and not self._is_another_tree(self._layout):
            return self._layout
        self.close()
        self._layout = layout = discover(self._root, self._soc)
        self._names = names
        self._zones_seen.update({probe.name: probe for probe in layout.zones})
        return layout

    def _is_another_tree(self, layout: Layout) -> bool:
        """The files below another root than the machine's own can be made anew, with the same names."""
        return bool(self._root) and layout.proc["uptime"].is_replaced()

    def _note_gone(self, reading: Reading) -> None:
        """A device without its file behind an unchanged directory is looked for once more, at the next call."""
        gone = frozenset(
            [zone.name for zone in reading.zones if zone.absent in _NO_FILE]
            + [rail.name for rail in reading.rails if rail.absent in _NO_FILE]
            + [cooling.name for cooling in reading.cooling if cooling.absent in _NO_FILE]
            + [clock.name for clock in reading.clocks if clock.absent in _NO_FILE]
        )
        if gone - self._gone:
            self._names = ()
        self._gone = gone

    def _read_zones(self, layout: Layout) -> Iterator[Zone]:
        yield from map(read_zone, layout.zones)
        present = {probe.name for probe in layout.zones}
        yield from (lost_zone(probe) for name, probe in self._zones_seen.items() if name not in present)

    def _read_over_current(self, layout: Layout, now_s: float) -> Iterator[OverCurrent]:
        for probe in layout.over_current:
            found, counted = read_over_current(probe, self._counted, now_s)
            if counted is not None:
                self._counted[probe.channel] = counted
            yield found

    def _read_rails(self, layout: Layout) -> Iterator[Rail]:
        for chip in layout.chips:
            rails, patience = read_chip(chip, self._patience.get(chip.path, Patience()), self._clock)
            self._patience[chip.path] = patience
            yield from rails


def _read_cores(loads: CpuLoads, clocks: tuple[ClockDomain, ...]) -> tuple[Core, ...]:
    freqs = {core: clock.freq_khz for clock in clocks for core in clock.cores}
    return tuple(Core(core, loads.loads.get(core), freqs.get(core)) for core in sorted(loads.cores | set(freqs)))
