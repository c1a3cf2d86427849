"""A board's numbers for the plant, and what goes into it: load, and what the power mode and the tools allow. Pure.

Watts are fitted by eye: the Orin Nano's to public reports of a kit with its stock fan, about 5 W idle and 22 W flat
out, those of the others to the watts in the names of their power modes. Where the heat goes is in
`thermal_parameters`. It is no measurement of anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeagent.simulate.thermal import Network, Part

FanPoints = tuple[tuple[float, float], ...]
QUIET: FanPoints = ((0.0, 255.0), (18.0, 255.0), (30.0, 180.0), (50.0, 77.0), (200.0, 66.0))
"""(headroom C, pwm), from hot to cool."""
COOL: FanPoints = ((0.0, 255.0), (30.0, 255.0), (45.0, 180.0), (60.0, 128.0), (200.0, 77.0))


@dataclass(frozen=True)
class PlantSpec:
    """A board's numbers: clocks (lowest, highest), watts flat out and at rest, where the heat goes, trips, fan.

    `cpu_idle_khz` is the lowest clock of the governor where nobody sets another; throttling may go below it. Input
    power from `peaks_from_w` on has short peaks that trip the over-power comparator (OC3), in modes that cap nothing,
    `peaks_per_joule` times a second and watt.
    `hottest_c` is where the fan's table counts headroom from. Above `throttle_c` clocks fall, to their floor within
    `throttle_band_c`; at `critical_c` the kernel would shut down.
    """

    cores: int
    cpu_khz: tuple[int, int]
    cpu_idle_khz: int
    cpu_top_w: float
    network: Network
    gpu_hz: tuple[int, int] = (0, 0)
    gpu_top_w: float = 0.0
    dla_top_w: float = 0.0
    cores_idle_w: float = 0.9
    soc_idle_w: float = 1.6
    board_w: float = 1.8
    efficiency: float = 0.9
    peaks_from_w: float = math.inf
    peaks_per_joule: float = 4.0
    throttle_c: float = 99.0
    throttle_band_c: float = 4.0
    critical_c: float = 104.5
    hottest_c: float = 105.0
    fan_top_rpm: float = 5800.0
    fan_profiles: Mapping[str, FanPoints] = field(default_factory=lambda: {"quiet": QUIET, "cool": COOL}, hash=False)
    fan_default: str = "quiet"
    memory_mb: float = 1700.0

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.network.parts

    @property
    def free(self) -> Caps:
        """A board that nothing limits."""
        return Caps(self.cpu_khz[1], self.gpu_hz[1], tuple(range(self.cores)), self.cpu_idle_khz, self.gpu_hz[0])


@dataclass(frozen=True)
class Load:
    """What the machine is asked to do: shares 0..1 of the time of CPU, GPU and DLA, and memory on top of idle."""

    cpu: float = 0.0
    gpu: float = 0.0
    memory_mb: float = 0.0
    dla: float = 0.0


@dataclass(frozen=True)
class Slices:
    """A load that changes faster than a step: `working` for a `share` of the time, `resting` for the rest.

    Not their mean: clocks follow the load, and power follows the clocks more than linearly.
    """

    working: Load
    resting: Load
    share: float

    @property
    def mean(self) -> Load:
        pair, share = (self.working, self.resting), self.share
        cpu, gpu, memory_mb, dla = (
            share * getattr(pair[0], name) + (1 - share) * getattr(pair[1], name)
            for name in ("cpu", "gpu", "memory_mb", "dla")
        )
        return Load(cpu, gpu, memory_mb, dla)


@dataclass(frozen=True)
class Caps:
    """What the power mode and the tools allow now: highest and lowest clocks, the cores that are online, the fan.

    `fan` is a profile's name, "" the default one; `pwm` holds the fan at a value where nothing regulates it. `emc_hz`
    is the memory's cap, 0 for none.
    """

    cpu_khz: int
    gpu_hz: int
    online: tuple[int, ...]
    cpu_min_khz: int = 0
    gpu_min_hz: int = 0
    fan: str = ""
    pwm: float | None = None
    emc_hz: int = 0

    @property
    def cores(self) -> int:
        return len(self.online)
