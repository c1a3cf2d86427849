"""The physics of a virtual Jetson: load, power, heat, fan and throttling. Pure: state and load in, new state out.

A first-order model with two kinds of nodes. The heat sink gathers all power and loses it to the air through a
resistance that the fan lowers; each zone of the die sits above the sink by its own resistance times its own power:

    sink' = (ambient + P_total * R_sink(fan) - sink) / tau_sink
    zone' = (sink + P_zone * R_zone - zone) / tau_zone

Each step uses the exact solution of its node over the step, so no step size makes it unstable. Power follows
load * f^2.2 (dynamic power is f * V^2, and V rises about with f^0.6 on this process), f follows the load as schedutil
does, and above the throttle trip clocks fall in proportion to the excess. The numbers are fitted by eye to public
reports of an Orin Nano 8 GB with its stock fan: about 5 W and 41 C idle, 22 W and 85 C flat out at an ambient of
25 C. It is no measurement of anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

THROTTLE_C = 99.0
"""The passive trip of every Orin zone."""
THROTTLE_BAND_C = 4.0
"""Clocks are at their floor this far above the trip."""
HOTTEST_C = 105.0
"""Headroom for the fan counts from here, as in nvfancontrol's tables for Orin."""

_MAX_SUBSTEP_S = 0.5
_TAU_SINK_S = 70.0
_TAU_DIE_S = 2.5
_TAU_FAN_S = 3.0
_TAU_MEMORY_S = 4.0
_FAN_TOP_RPM = 5800.0
_FAN_POINTS = ((0.0, 255.0), (18.0, 255.0), (30.0, 180.0), (50.0, 77.0), (200.0, 66.0))
"""(headroom C, pwm), from hot to cool."""

CPU_KHZ = (115_200, 1_728_000)
"""Lowest and highest clock of the cores; throttling goes down to the lowest, the governor only to CPU_IDLE_KHZ."""
CPU_IDLE_KHZ = 729_600
GPU_HZ = (306_000_000, 1_020_000_000)
_CPU_TOP_W, _GPU_TOP_W = 5.6, 8.8
_CORES_IDLE_W, _SOC_IDLE_W, _BOARD_W, _REGULATOR_EFFICIENCY = 0.9, 1.6, 1.8, 0.9
_PEAKS_FROM_W = 18.0
"""Input power from which short peaks trip the instantaneous over-power comparator (OC3)."""
_R_ZONE = {"cpu": 1.5, "gpu": 1.0, "soc0": 0.9, "soc1": 0.7, "soc2": 0.6}
"""Kelvin per watt between the sink and a zone, for the power of that zone's part of the chip."""


@dataclass(frozen=True)
class Load:
    """What the machine is asked to do: shares 0..1 of the CPU's and the GPU's time, and memory on top of idle."""

    cpu: float = 0.0
    gpu: float = 0.0
    memory_mb: float = 0.0


@dataclass(frozen=True)
class Caps:
    """What the power mode allows."""

    cpu_khz: int = CPU_KHZ[1]
    gpu_hz: int = GPU_HZ[1]
    cores: int = 6


@dataclass(frozen=True)
class PlantState:
    """Temperatures in C, power in W, pwm 0..255. `busy_s` and `idle_s` are CPU seconds of one average core."""

    sink_c: float = 25.0
    zones_c: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_R_ZONE, 25.0))
    caps: Caps = Caps()
    cpu_khz: int = CPU_IDLE_KHZ
    gpu_hz: int = GPU_HZ[0]
    gpu_busy: float = 0.0
    cpu_gpu_w: float = 0.0
    soc_w: float = 0.0
    input_w: float = 0.0
    pwm: float = 66.0
    rpm: float = 0.0
    memory_mb: float = 1700.0
    uptime_s: float = 0.0
    busy_s: float = 0.0
    idle_s: float = 0.0
    oc3_events: float = 0.0

    @property
    def hottest_c(self) -> float:
        """What tj-thermal shows: the maximum of the other zones."""
        return max(self.zones_c.values())

    @property
    def throttle_level(self) -> float:
        """0 = clocks free, 1 = clocks at their floor."""
        return min(1.0, max(0.0, (self.hottest_c - THROTTLE_C) / THROTTLE_BAND_C))

    @property
    def alerts(self) -> frozenset[str]:
        """Zones at or above their throttle trip."""
        return frozenset(zone for zone, celsius in self.zones_c.items() if celsius >= THROTTLE_C)


def start(ambient_c: float, memory_mb: float = 1700.0) -> PlantState:
    """A board that was off for hours: everything at ambient."""
    return PlantState(sink_c=ambient_c, zones_c=dict.fromkeys(_R_ZONE, ambient_c), memory_mb=memory_mb)


def step(state: PlantState, load: Load, dt_s: float, ambient_c: float) -> PlantState:
    """The board `dt_s` seconds later. Shares outside 0..1 are clamped; `dt_s` at or below 0 changes nothing."""
    if dt_s <= 0:
        return state
    wanted = Load(_clamp(load.cpu), _clamp(load.gpu), max(0.0, load.memory_mb))
    count = max(1, math.ceil(dt_s / _MAX_SUBSTEP_S))
    for _ in range(count):
        state = _substep(state, wanted, dt_s / count, ambient_c)
    return state


def settle(load: Load, ambient_c: float, caps: Caps = Caps()) -> PlantState:
    """The state that a constant load ends in: half an hour of it, seven time constants and more."""
    return step(replace(start(ambient_c), caps=caps), load, 1800.0, ambient_c)


def _substep(state: PlantState, load: Load, dt_s: float, ambient_c: float) -> PlantState:
    slow = state.throttle_level
    cpu_khz = _clock(load.cpu, CPU_KHZ, state.caps.cpu_khz, slow, CPU_IDLE_KHZ)
    gpu_hz = _clock(load.gpu, GPU_HZ, state.caps.gpu_hz, slow, GPU_HZ[0])
    cpu_w = _dynamic(_CPU_TOP_W * state.caps.cores / 6, load.cpu, cpu_khz / CPU_KHZ[1])
    gpu_w = _dynamic(_GPU_TOP_W, load.gpu, gpu_hz / GPU_HZ[1])
    cpu_gpu_w = cpu_w + gpu_w + _CORES_IDLE_W
    soc_w = _SOC_IDLE_W + 0.12 * (cpu_w + gpu_w)
    input_w = (cpu_gpu_w + soc_w) / _REGULATOR_EFFICIENCY + _BOARD_W
    sink_c = _approach(state.sink_c, ambient_c + input_w * _sink_resistance(state.rpm), dt_s, _TAU_SINK_S)
    watts = {"cpu": cpu_w, "gpu": gpu_w, "soc0": soc_w, "soc1": soc_w, "soc2": soc_w}
    pwm = _fan_pwm(HOTTEST_C - state.hottest_c)
    return replace(
        state,
        sink_c=sink_c,
        zones_c=_zones(state.zones_c, sink_c, watts, dt_s),
        cpu_khz=cpu_khz,
        gpu_hz=gpu_hz,
        gpu_busy=load.gpu,
        cpu_gpu_w=cpu_gpu_w,
        soc_w=soc_w,
        input_w=input_w,
        pwm=pwm,
        rpm=_approach(state.rpm, _FAN_TOP_RPM * pwm / 255, dt_s, _TAU_FAN_S),
        memory_mb=_approach(state.memory_mb, 1700.0 + load.memory_mb, dt_s, _TAU_MEMORY_S),
        uptime_s=state.uptime_s + dt_s,
        busy_s=state.busy_s + load.cpu * dt_s,
        idle_s=state.idle_s + (1 - load.cpu) * dt_s,
        oc3_events=state.oc3_events + 4.0 * max(0.0, input_w - _PEAKS_FROM_W) * dt_s,
    )


def _zones(zones_c: Mapping[str, float], sink_c: float, watts: Mapping[str, float], dt_s: float) -> dict[str, float]:
    """Each zone on its way to the sink's temperature plus its own resistance times its part's power."""
    return {
        zone: _approach(celsius, sink_c + _R_ZONE[zone] * watts[zone], dt_s, _TAU_DIE_S)
        for zone, celsius in zones_c.items()
    }


def _approach(value: float, target: float, dt_s: float, tau_s: float) -> float:
    """First-order lag, exact for a constant target: stays between the two for any step."""
    return target + (value - target) * math.exp(-dt_s / tau_s)


def _clock(load: float, span: tuple[int, int], cap: int, slow: float, idle: int) -> int:
    """schedutil aims at 1.25 times the load's share of the top clock; throttling pulls the cap to the floor."""
    floor = span[0]
    top = max(floor, min(cap, span[1]))
    allowed = floor + (top - floor) * (1 - slow)
    return round(min(allowed, max(idle, 1.25 * load * top)))


def _dynamic(top_w: float, load: float, clock_share: float) -> float:
    return top_w * load * float(clock_share**2.2)


def _sink_resistance(rpm: float) -> float:
    """Kelvin per watt between heat sink and air: 4.6 with the fan still, 2.0 at full speed."""
    return 2.0 + 2.6 * math.exp(-2.4 * rpm / _FAN_TOP_RPM)


def _fan_pwm(headroom_c: float) -> float:
    """Linear between the points of the fan's table, level beyond its ends."""
    if headroom_c <= _FAN_POINTS[0][0]:
        return _FAN_POINTS[0][1]
    for (low, pwm_low), (high, pwm_high) in pairwise(_FAN_POINTS):
        if headroom_c <= high:
            return pwm_low + (pwm_high - pwm_low) * (headroom_c - low) / (high - low)
    return _FAN_POINTS[-1][1]


def _clamp(share: float) -> float:
    return min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0
